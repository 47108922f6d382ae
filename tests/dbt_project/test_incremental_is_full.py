"""The law of incremental builds: day by day gives the tables that one build of everything gives."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import plain_lake
import pytest
from support import built
from support.readers import current, in_order, publish_build, same_for_readers, whole_build
from support.same import same_tables

from genome import export, warehouse
from genome.api.published import Published
from genome.customers.history import History
from genome.lake import files
from genome.lake.maintain import maintain
from genome.settings import Settings
from genome.stream.epoch import load

SHAPE = plain_lake.Shape(customers=150, days=40)
ZONE = "America/New_York"


def settings_of(home: Path, days_later: int) -> Settings:
    """A day after the history, later and later."""
    return Settings(
        home=home,
        now=plain_lake.now(SHAPE, days_later),
        business_timezone=ZONE,
        memory_limit="2GB",
        lake_compact_files=2,
    )


DELTAS = {
    "feat_customer_genome",
    "feat_customer_traits",
    "feat_customer_purchases",
    "genome",
    "genome_history",
    "fct_reversible_lines",
}
"""Tables of a day; a day without label times adds nothing to outcomes and baselines."""
GROWING = {"genome_history", "fct_reversible_lines"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A history, and two days that continued it, all published; a third has landed."""
    with pytest.MonkeyPatch.context() as patch:
        # A day touches so much of so few people that the tables would be published whole.
        patch.setattr(export, "MOST_ADDED", 3.0)
        yield _kept(tmp_path_factory.mktemp("incremental") / "home")


def _kept(home: Path) -> Settings:
    before = settings_of(home, 0)
    plain_lake.write_history(before, SHAPE)
    assert warehouse.build(before).anew == "there is nothing to continue"
    assert not any(each.has_deltas for each in publish_build(before).tables.values())

    first = settings_of(home, 1)
    plain_lake.write_days(first, SHAPE, 40, 1, "day40")
    # what happened a week ago is known today; half of it was known and comes again, some with another content
    busier = plain_lake.Shape(SHAPE.customers, SHAPE.days, active=120)
    plain_lake.write_days(first, busier, 34, 1, "late", late_days=6)
    again = built.lake(first).query("channel == 'web' and interaction_type == 'Product Viewed'").head(40)
    built.land_rows(
        first,
        "pos-again",
        [
            {
                **{name: value for name, value in row.items() if isinstance(value, str)},
                "channel": "pos",
                "occurred_at": row["occurred_at"].to_pydatetime(),
                "received_at": plain_lake.now(SHAPE, 0) + timedelta(hours=1),
                "product_id": row["product_id"] if number % 3 else "100007",
                "_batch_id": "pos-again",
            }
            for number, row in enumerate(again.to_dict("records"))
        ],
    )
    # a till whose clock runs ahead: it counts when its time has come, on the second day
    built.land_rows(
        first,
        "pos-ahead",
        [
            {
                "interaction_type": "Order Completed",
                "customer_key_type": "user",
                "customer_key": "from-the-future",
                "session_id": "ahead",
                "product_id": "100011",
                "quantity": 1.0,
                "amount": None,
                "occurred_at": plain_lake.now(SHAPE, 1) + timedelta(hours=3),
                "received_at": plain_lake.now(SHAPE, 0) + timedelta(hours=3),
                "properties": "{}",
            }
        ],
    )
    # The refund of a line comes before the line: its till had no line to the outside.
    built.land_rows(
        first,
        "pos-refund",
        [
            _line("100013", days=40)
            | {"interaction_type": "Order Refunded", "received_at": plain_lake.now(SHAPE, 0), "quantity": 1.0}
        ],
    )
    assert warehouse.build(first).anew == ""
    publish_build(first)

    second = settings_of(home, 2)
    plain_lake.write_days(second, SHAPE, 41, 1, "day41")
    built.land_rows(second, "pos-outage", [_line("100013", days=39)])
    # Files of batches that have been read and of those that have not become one.
    assert maintain(second).compacted > 0
    assert warehouse.build(second).anew == ""
    publish_build(second)
    return second


def _line(product: str, days: float) -> dict[str, object]:
    """A line of an order that is known from day 41 on."""
    return {
        "interaction_type": "Order Completed",
        "customer_key_type": "user",
        "customer_key": "from-the-future",
        "session_id": "outage",
        "product_id": product,
        "quantity": 2.0,
        "amount": None,
        "occurred_at": plain_lake.FIRST_DAY + timedelta(days=days),
        "received_at": plain_lake.FIRST_DAY + timedelta(days=41, hours=2),
        "properties": "{}",
    }


@pytest.fixture(scope="module")
def whole(kept: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What one build of everything publishes."""
    return whole_build(kept, tmp_path_factory.mktemp("whole") / "home")


def test_day_by_day_gives_what_one_build_of_everything_gives(kept: Settings, whole: Settings) -> None:
    assert same_for_readers(kept, whole) >= 15


def test_a_day_publishes_what_it_has_made_anew(kept: Settings) -> None:
    tables = current(kept).tables
    assert {name for name, each in tables.items() if each.has_deltas} >= DELTAS
    for name in DELTAS:
        base, *deltas = tables[name].parts
        assert len(deltas) == 2, name
        assert 0 < deltas[1].rows < tables[name].rows / 2, name
        dead = base.rows + sum(each.rows for each in deltas) - tables[name].rows
        # history only grows: no day took a piece of evidence out of it
        assert dead == 0 if name in GROWING else dead > 0, name
    assert not any(tables[name].has_deltas for name in ("dim_genes", "fct_customer_keys", "loci"))


def test_the_live_path_and_the_api_read_out_of_parts_and_write_no_whole_table(
    kept: Settings, whole: Settings, tmp_path: Path
) -> None:
    copy = built.copy_of(kept, tmp_path / "home")
    for folder in copy.lake.glob("*/*/present"):
        shutil.rmtree(folder)
    now, customer = copy.now, "user:from-the-future"
    assert now is not None
    told = []
    for settings in (copy, whole):
        published, epoch = Published(settings), load(current(settings))
        keys, lines = epoch.lines([customer])
        state = History(settings, published.catalogue(), customer).state(now, now)
        told.append(
            (
                len(epoch.refunded),
                sorted(zip(keys, lines["identity"].tolist(), strict=True)),
                np.round(state.affinity_now, 9).tolist(),
                sorted(published.singular(customer)),
            )
        )
    assert told[0] == told[1]
    assert len(told[0][3]) > 0
    assert not list(copy.lake.glob("*/*/present"))


def test_a_version_that_continues_one_that_was_not_published_is_whole(
    kept: Settings, whole: Settings, tmp_path: Path
) -> None:
    copy = built.copy_of(kept, tmp_path / "home")
    path = copy.home / "dbt" / "built.json"
    # as if the gate had refused the build before, and this one had continued it
    files.write_json(path, {**files.read_json(path), "build_id": "next", "continues": "refused"})
    ours, theirs = publish_build(copy), current(whole)
    assert not any(each.has_deltas for each in ours.tables.values())
    for each in warehouse.published_tables(kept):
        if each.delta is not None:
            # rows of customers whom no build has touched for days are as of this one
            found, expected = (in_order(one.read(each.name), each.order_by) for one in (ours, theirs))
            same_tables(found, expected, each.name)


def test_a_day_makes_only_those_anew_whom_it_touches(kept: Settings) -> None:
    with duckdb.connect(str(kept.warehouse), read_only=True) as connection:
        count = connection.table("int_customers_touched").shape[0]
        stamps = connection.table("int_customer_genomes").filter("is_cutoff").df().valid_at
    assert 0 < count < SHAPE.customers / 3
    assert (stamps == pd.Timestamp(kept.now)).sum() == count
    # readers see all of them at the cut-off
    newest = current(kept).read("feat_customer_genome", ["customer_id", "valid_at"]).to_pandas()
    assert (newest.groupby("customer_id").valid_at.max() == pd.Timestamp(kept.now)).all()


def test_what_a_build_was_made_from_says_whether_it_can_be_continued() -> None:
    base = warehouse.Kept(
        batches=("pos-1", "stream-1"),
        retired=(),
        project="p",
        engine="1",
        business_timezone=ZONE,
        as_of="2026-03-10T05:00:00+00:00",
        build_number=3,
        made_at=datetime(2026, 3, 10, 5, tzinfo=UTC).isoformat(),
    )

    def objection(**changes: object) -> str:
        return base.objection(warehouse.replace(base, **changes))  # type: ignore[arg-type]

    assert objection() == ""
    assert objection(batches=("pos-1", "pos-2", "stream-folded-9")) == ""
    assert objection(batches=("stream-1",)) == "batches have gone"
    assert objection(project="q") == "the dbt project has changed"
    assert objection(engine="2") == "DuckDB has changed"
    assert objection(motives="m") == "texts have been read anew"
    assert objection(retired=("retired-1",)) == "rows have left the lake"
    assert objection(business_timezone="UTC") == "the business time zone has changed"
    assert objection(as_of="2026-03-10T04:59:59+00:00") == "the clock was set back"
    # the month begins by the retailer's clock: four o'clock in the morning is still March there
    assert objection(as_of="2026-04-01T03:59:00+00:00") == ""
    assert objection(as_of="2026-04-01T04:01:00+00:00") == "a month has begun"
    assert objection(made_at="2026-03-17T05:00:00+00:00") == "the build before is too long ago"


@pytest.mark.prove
def test_what_says_that_it_was_known_in_a_closed_month_makes_everything_anew(
    kept: Settings, tmp_path: Path
) -> None:
    copy = built.copy_of(kept, tmp_path / "home")
    third = settings_of(copy.home, 3)
    plain_lake.write_days(third, SHAPE, 42, 1, "day42")
    built.land_rows(
        third,
        "pos-import",
        [_line("100017", days=2) | {"received_at": plain_lake.FIRST_DAY + timedelta(days=3)}],
    )
    assert warehouse.build(third).anew == "what has landed changes what was closed"


@pytest.mark.prove
def test_a_build_that_did_not_end_is_followed_by_one_that_begins_anew(kept: Settings, tmp_path: Path) -> None:
    copy = built.copy_of(kept, tmp_path / "home")
    (copy.home / "dbt" / "kept.json").unlink()
    third = settings_of(copy.home, 3)
    plain_lake.write_days(third, SHAPE, 42, 1, "day42")
    assert warehouse.build(third).anew == "there is nothing to continue"
