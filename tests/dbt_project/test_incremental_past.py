"""What changes the past is made anew in a build that continues the one before: refunds that come in between, label
times, campaigns that end, late purchases, customers who become one; and a daily feed of products changes none of it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import plain_lake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import built
from support.readers import current, publish_build, same_for_readers, whole_build

from genome import export, warehouse
from genome.identity import decisions
from genome.identity.resolve import resolve
from genome.lake import files, layout, manifest
from genome.settings import Settings

SHAPE = plain_lake.Shape(customers=120, days=44)
"""Day 45, the 24th of February, ends the first campaign and sends the second, whose label time is when it begins."""


def settings_of(home: Path, days_later: int) -> Settings:
    return Settings(
        home=home,
        now=plain_lake.now(SHAPE, days_later),
        business_timezone="UTC",
        memory_limit="2GB",
    )


def line(key: str, order: str, product: str, day: float, known: float, **also: Any) -> dict[str, Any]:
    """A line of an order: days are counted from the first one."""
    return {
        "interaction_type": "Order Completed",
        "customer_key_type": "user",
        "customer_key": key,
        "session_id": order,
        "product_id": product,
        "quantity": 2.0,
        "amount": None,
        "occurred_at": plain_lake.FIRST_DAY + timedelta(days=day),
        "received_at": plain_lake.FIRST_DAY + timedelta(days=known),
        **also,
    }


def refund(key: str, order: str, product: str, day: float, known: float, **also: Any) -> dict[str, Any]:
    return line(key, order, product, day, known, **{"interaction_type": "Order Refunded", **also})


def land_products(settings: Settings, batch: str, rows: list[dict[str, Any]]) -> None:
    """A feed of products: a copy of the first one with what is said otherwise."""
    first = pq.read_table(manifest.Manifest.read(settings, layout.CATALOG).files("products")[0]).slice(0, 1)
    filled = [{**first.to_pylist()[0], "_batch_id": batch, **row} for row in rows]
    relative = layout.catalog_file("products", batch)
    path = settings.lake / relative
    files.make_folder(path.parent)
    pq.write_table(pa.Table.from_pylist(filled, first.schema), path)
    plain_lake._commit(
        settings,
        layout.CATALOG,
        "products",
        batch,
        [manifest.DataFile(relative, len(rows), path.stat().st_size, batch)],
    )


def build(settings: Settings) -> warehouse.DbtReport:
    resolve(settings)
    report = warehouse.build(settings)
    publish_build(settings)
    return report


def reached(settings: Settings, campaign: str) -> list[str]:
    """The keys of customers who were sent a campaign."""
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        rows = connection.execute(
            "select customer_id from fct_campaign_sends where campaign_id = ? order by 1", [campaign]
        ).fetchall()
    return [customer.removeprefix("user:") for (customer,) in rows]


def will_be_sent() -> list[str]:
    """The keys of some who are sent the second campaign, as `plain_lake` draws them."""
    rows = duckdb.sql(
        f"select 'u' || substr(md5(c::varchar), 1, 16) from range({SHAPE.customers}) as people(c)"
        " where hash(c, 45::bigint, 8) % 5 = 0 order by c limit 6"
    ).fetchall()
    return [key for (key,) in rows[3:]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        # A day touches so much of so few people that the tables would be published whole.
        patch.setattr(export, "MOST_ADDED", 3.0)
        yield _kept(tmp_path_factory.mktemp("past") / "home")


def _kept(home: Path) -> Settings:
    start = settings_of(home, 0)
    plain_lake.write_history(start, SHAPE)
    land_products(start, "products-own", [{"product_id": "own"}])
    built.land_rows(
        start,
        "pos-orders",
        [
            # of one order only the second line is known, and a refund took one of its two units
            line("reorder", "o1", "100021", 40, 40, properties='{"line_number": 2}'),
            refund("reorder", "o1", "100021", 41, 41, quantity=1.0),
            # a refund of one unit; an earlier one is not known yet
            line("in-turn", "o2", "100022", 40, 40, quantity=3.0),
            refund("in-turn", "o2", "100022", 42, 42, quantity=2.0),
            # the same of people who will have a label time before the first line is known
            *(line(key, "o9", "own", 40, 40, properties='{"line_number": 2}') for key in will_be_sent()),
            *(refund(key, "o9", "own", 41, 41, quantity=1.0) for key in will_be_sent()),
        ],
    )
    assert build(start).anew == "there is nothing to continue"

    # the first campaign ends, and a feed of products comes with a new one and new words for another
    first = settings_of(home, 1)
    plain_lake.write_days(first, SHAPE, 44, 1, "day44")
    land_products(
        first,
        "products-new",
        [
            {"product_id": "new-one", "valid_from": first.now, "received_at": first.now},
            {"product_id": "100001", "department": "D9", "valid_from": first.now, "received_at": first.now},
        ],
    )
    assert build(first).anew == ""

    # the second campaign is sent, after its label time; refunds find another line, another turn
    second = settings_of(home, 2)
    plain_lake.write_days(second, SHAPE, 45, 1, "day45")
    one, other = reached(first, "campaign-0")[:2]
    built.land_rows(
        second,
        "pos-late",
        [
            line("reorder", "o1", "100021", 40, 45.5, properties='{"line_number": 1}', quantity=1.0),
            # it was known at its shop before the other refund; here only now
            refund(
                "in-turn", "o2", "100022", 41, 45.5, occurred_at=plain_lake.FIRST_DAY + timedelta(days=41)
            ),
            line("buys", "o3", "new-one", 45.3, 45.3),
            # bought in the first campaign's window, known after its end
            line(one, "o4", "100050", 40, 45.6),
            line(other, "o5", "100100", 41, 45.6),
        ],
    )
    decisions.merge(second, f"user:{one}", "user:reorder", by="an agent", reason="they said so")
    assert build(second).anew == ""

    # what its source had delivered before the second campaign's label time lands two days later
    third = settings_of(home, 3)
    plain_lake.write_days(third, SHAPE, 46, 1, "day46")
    built.land_rows(
        third,
        "pos-pipeline",
        [
            *(line(key, f"p-{key}", "100031", 44.7, 44.9) for key in reached(second, "campaign-1")[:3]),
            *(
                line(key, "o9", "own", 40, 46.5, properties='{"line_number": 1}', quantity=1.0)
                for key in will_be_sent()
            ),
        ],
    )
    assert build(third).anew == ""
    return third


def test_days_that_change_the_past_give_what_one_build_of_everything_gives(
    kept: Settings, tmp_path: Path
) -> None:
    # Relations stand for their month as they were found when it began, with the customers of then.
    relations = frozenset({"fct_product_relations"})
    assert same_for_readers(kept, whole_build(kept, tmp_path / "whole"), but=relations) >= 15
    assert current(kept).tables["genome_history"].has_deltas


def test_the_days_hold_the_cases_that_the_comparison_is_about(kept: Settings) -> None:
    with duckdb.connect(str(kept.warehouse), read_only=True) as connection:

        def said(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        # a refund takes the line that came late, and not the one that it took at first; two follow one another
        taken = said(
            "select source_key, count(*) from fct_evidence where takes_back_id is not null"
            " and source_key in ('user:reorder', 'user:in-turn') group by 1 order by 1"
        )
        assert taken == [("user:in-turn", 2), ("user:reorder", 1)]
        # … which a label time had seen: the row that a refund had taken back then is whole again
        sent = ", ".join(f"'user:{key}'" for key in will_be_sent())
        late = said(
            f"select count(*), count(takes_back_id), sum(evidence_for) from fct_evidence"
            f" where product_id = 'own' and source_key in ({sent})"
        )
        assert late[0][:2] == (9, 3)
        labels = said(
            f"select count(*) from feat_customer_genome where customer_id in ({sent}) and not _is_cutoff"
        )
        assert labels[0][0] >= 3
        assert said("select count(*) from fct_offer_outcomes where campaign_id = 'campaign-0'")[0][0] > 20
        assert said("select count(*) from fct_campaign_sends where campaign_id = 'campaign-1'")[0][0] > 10
        assert said(
            "select count(distinct customer_id) from dim_customers where source_key = 'user:reorder'"
            " or customer_id in (select customer_id from dim_customers where source_key = 'user:reorder')"
        ) == [(1,)]
        assert said("select count(*) from fct_evidence where product_id = 'new-one'") == [(1,)]
        whole = dict(said("select is_whole, count(*) from int_customers_touched group by 1"))
    # of the last day, those whose past has changed are few
    assert 3 <= whole[True] < whole[False]


@pytest.mark.prove
def test_a_past_that_is_told_otherwise_begins_anew(kept: Settings, tmp_path: Path) -> None:
    for case, row in {
        "dna": {"product_id": "100001", "department": "D9", "valid_from": plain_lake.now(SHAPE, -20)},
        "unknown until now": {
            "product_id": "100031",
            "category": "C-other",
            "valid_from": plain_lake.now(SHAPE, -9),
        },
    }.items():
        copy = built.copy_of(kept, tmp_path / case.replace(" ", "-"))
        fourth = settings_of(copy.home, 4)
        land_products(fourth, "products-past", [row | {"received_at": fourth.now}])
        assert warehouse.build(fourth).anew == "what has landed changes what was closed", case
