"""Time travel: any state from the history, against dbt at the cut-off and against itself after a backfill."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import built

from genome import warehouse
from genome.api.published import Published
from genome.customers.history import History
from genome.errors import GenomeError, UsageError
from genome.lake import publish
from genome.settings import Settings

SUMMER = datetime(2017, 7, 1, 4, tzinfo=UTC)
WINTER = datetime(2017, 12, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    yield from built.read_only(tmp_path_factory.getbasetemp())


def history(settings: Settings, customer: str) -> History:
    return History(settings, Published(settings).catalogue(), customer)


def customers(settings: Settings) -> list[str]:
    refunded = built.lake(settings).query("interaction_type == 'Order Refunded'").customer_key
    return [f"household:{key}" for key in sorted(set(refunded))[:6]]


def test_the_state_at_the_cut_off_is_what_dbt_says(world: Settings) -> None:
    table = built.published(world, "genome").set_index(["customer_id", "gene_hash"]).sort_index()
    compared = 0
    for customer in customers(world):
        own = history(world, customer)
        state = own.state(built.NOW, built.NOW)
        rows = table.loc[customer]
        assert state.gene.tolist() == rows.index.tolist()
        size = np.maximum(1.0, rows.affinity_character.abs().to_numpy())
        for name in ("affinity_now", "affinity_character"):
            assert np.abs(getattr(state, name) - rows[name].to_numpy()).max() <= 1e-9 * size.max()
        found = own.distinctiveness(state, built.NOW)
        np.testing.assert_allclose(found, rows.distinctiveness.to_numpy(), atol=1e-6)
        for name in ("share_now", "share_character", "confidence"):
            np.testing.assert_allclose(getattr(state, name), rows[name].to_numpy(), rtol=1e-7, atol=1e-9)
        compared += len(rows)
    assert compared > 1_000


def test_a_state_in_the_past_is_the_feature_row_of_that_time(world: Settings) -> None:
    table = built.published(world, "feat_customer_genome")
    rows = table[table.customer_id.isin(customers(world)) & (table.valid_at < built.NOW)]
    assert len(rows) >= 5
    for row in rows.itertuples():
        at = row.valid_at.to_pydatetime()
        state = history(world, row.customer_id).state(at, at)
        assert state.gene.tolist() == list(row.gene_hashes)
        for found, expected in (
            (state.share_now, row.shares_now),
            (state.share_character, row.shares_character),
        ):
            np.testing.assert_allclose(found, np.asarray(expected, float), rtol=1e-6, atol=1e-9)


def test_the_interactions_behind_an_affinity_add_up_to_it(world: Settings) -> None:
    table = built.published(world, "genome")
    mine = table[table.customer_id == customers(world)[0]]
    told = history(world, customers(world)[0])
    for row in mine.sort_values("affinity_character").iloc[[0, len(mine) // 2, -1]].itertuples():
        why = told.why(row.gene_id, built.NOW, built.NOW)
        assert sum(each.character for each in why.contributions) == pytest.approx(
            row.affinity_character, abs=1e-9
        )
        assert sum(each.now for each in why.contributions) == pytest.approx(row.affinity_now, abs=1e-9)
        assert sum(why.by_channel.values()) == pytest.approx(row.affinity_character, abs=1e-9)
        assert why.share_character == pytest.approx(row.share_character, abs=1e-9)


def test_a_refund_is_among_the_reasons_and_says_what_it_takes_back(world: Settings) -> None:
    for customer in customers(world):
        told = history(world, customer)
        refunds = told.pieces.evidence.filter(
            [each is not None for each in told.pieces.evidence.column("takes_back_id").to_pylist()]
        ).to_pylist()
        for refund in refunds:
            try:
                why = told.why(f"product:{refund['product_id']}", built.NOW, built.NOW)
            except UsageError:
                continue  # of a product without DNA there is no gene to ask about
            found = [each for each in why.contributions if each.interaction_id == refund["interaction_id"]]
            assert found
            assert all(each.takes_back and each.evidence < 0 for each in found)
            return
    raise AssertionError("the world holds refunds")


def test_what_was_known_then_is_the_same_to_the_byte_after_a_backfill(world: Settings, tmp_path: Any) -> None:
    settings = built.copy_of(world, tmp_path / "home")
    customer = customers(settings)[0]
    key = customer.split(":")[1]
    asked = [
        (SUMMER, SUMMER),
        (SUMMER, WINTER),
        (built.NOW - timedelta(days=5), built.NOW - timedelta(days=5)),
    ]

    def told() -> list[str]:
        own = history(settings, customer)
        return [own.genome(as_of, known, by_locus=30).model_dump_json() for as_of, known in asked]

    def training_rows() -> dict[str, Any]:
        """What the point-in-time join can find: every feature row of a label time."""
        found = {}
        for table in ("feat_customer_genome", "feat_customer_traits", "feat_customer_purchases"):
            rows = built.published(settings, table)
            rows = rows[rows.valid_at < built.NOW - timedelta(days=3)]
            found[table] = rows.sort_values(["customer_id", "valid_at"], ignore_index=True)
        return found

    before, rows_before = told(), training_rows()
    now_before = history(settings, customer).state(SUMMER, built.NOW)
    lines = built.lake(settings).query("customer_key == @key and quantity > 0 and product_id == product_id")
    early = lines[lines.occurred_at < SUMMER - timedelta(days=20)].iloc[:5]
    # Five more lines of spring, delivered in the last days of the year, and a refund of one that is there.
    built.land_rows(
        settings,
        "pos-backfill",
        [
            {
                "interaction_type": "Order Completed",
                "customer_key": key,
                "product_id": line.product_id,
                "session_id": f"late-{number}",
                "quantity": 3.0,
                "occurred_at": line.occurred_at.to_pydatetime() + timedelta(days=7),
                "received_at": built.NOW - timedelta(days=2),
            }
            for number, line in enumerate(early.itertuples())
        ],
    )
    warehouse.build(settings)
    warehouse.stage(settings)
    publish.publish_staged(settings, "genome")
    assert told() == before
    # The same history feeds training: facts from the future of a label time change no row of it.
    rows_after = training_rows()
    for table, rows in rows_before.items():
        assert len(rows) > 20
        # An engine adds up in any order: the last digits of a sum may differ.
        pd.testing.assert_frame_equal(rows_after[table], rows, rtol=1e-12, atol=1e-12)
    now_after = history(settings, customer).state(SUMMER, built.NOW)
    assert now_after.affinity_character.sum() > now_before.affinity_character.sum() + 1.0


def test_a_change_is_told_in_words(world: Settings) -> None:
    diff = history(world, customers(world)[0]).diff(SUMMER, WINTER, built.NOW, least=0.0)
    kinds = {each.kind: each for each in diff.changes}
    assert {"new", "rising", "falling"} <= set(kinds)
    new = kinds["new"]
    assert not new.share_before
    assert new.in_words.startswith(f"{new.label}: new in ")
    assert "2017" in new.in_words
    moved = [abs((each.share_after or 0) - (each.share_before or 0)) for each in diff.changes]
    assert moved == sorted(moved, reverse=True)


def test_wrong_questions_say_what_would_be_right(world: Settings) -> None:
    own = history(world, customers(world)[0])
    with pytest.raises(UsageError, match="There is no gene 'nonsense'"):
        own.why("nonsense", built.NOW, built.NOW)
    with pytest.raises(UsageError, match="is not before"):
        own.diff(WINTER, SUMMER, built.NOW)
    with pytest.raises(GenomeError, match="Nobody is called 'household:none'"):
        history(world, "household:none")


def test_a_past_state_is_shown_with_the_identity_map_of_its_time(
    world: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, other = customers(world)[:2]
    alone = history(world, one).genome(WINTER, WINTER)
    settings = built.copy_of(world, tmp_path_factory.mktemp("merged") / "home")
    # In the autumn the two became known to be one, as a merge of that day leaves it.
    autumn = pd.Timestamp(datetime(2017, 10, 1, tzinfo=UTC))
    keys = built.published(settings, "fct_customer_keys")
    row = keys.source_key == other
    later = keys[row].assign(customer_id=one, known_at=autumn)
    keys.loc[row, "known_to"] = autumn
    replace(settings, "fct_customer_keys", pd.concat([keys, later]))

    merged = history(settings, one)
    assert merged.membership.names == tuple(sorted((one, other)))
    assert merged.genome(SUMMER, SUMMER) == history(world, one).genome(SUMMER, SUMMER)
    assert merged.genome(WINTER, WINTER) != alone
    both = [history(world, each).state(WINTER, WINTER) for each in (one, other)]
    whole = merged.state(WINTER, WINTER)
    assert whole.affinity_character.sum() == pytest.approx(
        sum(each.affinity_character.sum() for each in both)
    )
    # What was said of the other one then can still be said, and nothing of them is left since.
    assert history(settings, other).genome(SUMMER, SUMMER) == history(world, other).genome(SUMMER, SUMMER)
    assert len(history(settings, other).state(WINTER, WINTER).gene) == 0


def replace(settings: Settings, table: str, rows: pd.DataFrame) -> None:
    """Publish the same tables once more, one of them with other rows."""
    publication = publish.current(settings, "genome")
    assert publication is not None
    area = publish.stage(settings, "genome")
    for name, entry in publication.tables.items():
        kind = Path(entry.path).parts[0]
        for number, path in enumerate(publication.files(name)):
            if name == table:
                schema = pq.read_schema(path)
                pq.write_table(
                    pa.Table.from_pandas(rows, schema, preserve_index=False), area.file(kind, name)
                )
            else:
                shutil.copyfile(path, area.file(kind, name, number))
    publish.publish(area)


def test_a_motive_names_the_messages_that_it_was_named_in(world: Settings) -> None:
    rows = built.lake(world)
    said = rows[rows.properties.str.contains('"quality -price"') & (rows.interaction_type != "Post Liked")]
    customer = f"household:{sorted(said.customer_key)[0]}"
    mine = rows[(rows.customer_key == customer.partition(":")[2]) & rows.properties.str.contains("price")]
    weights = {"Survey Answered": 0.6, "Complaint Opened": 1.0}
    mine = mine[mine.interaction_type.isin(weights)]
    found = history(world, customer).why("motive:price", built.NOW, built.NOW)
    assert {each.interaction_id for each in found.contributions} == set(mine.interaction_id)
    assert {each.product for each in found.contributions} == {"price"}
    assert found.label == "price"
    signs = {
        row.interaction_id: weights[row.interaction_type] * (-1 if "-price" in row.properties else 1)
        for row in mine.itertuples()
    }
    assert {each.interaction_id: each.evidence for each in found.contributions} == pytest.approx(signs)
    assert sum(each.character for each in found.contributions) == pytest.approx(found.affinity_character)
