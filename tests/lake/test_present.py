"""Rows brought forward to a cut-off, by literal numbers."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from genome.lake.present import Fading, HalfLives, Lasts, forward

MADE = datetime(2024, 3, 1, 6, tzinfo=UTC)
NOW = MADE + timedelta(days=28)
INSTANT = pa.timestamp("us", "UTC")
LOCI = pa.table({"locus_id": ["brand", "motive"], "days_now": [28.0, 56.0]})
GENES = pa.table({"gene_hash": [30, 10, 20], "locus_id": ["motive", "brand", "brand"]})


def half_lives(column: str) -> HalfLives:
    return HalfLives.of_loci(GENES, LOCI, column)


def fading(**rules: object) -> Fading:
    return Fading.at(NOW.isoformat(), "America/New_York", "customer_id", **rules)


def moved(table: pa.Table, rules: Fading, moves: list[bool] | None = None) -> pa.Table:
    which = np.ones(len(table), bool) if moves is None else np.array(moves)
    return forward(table, rules, half_lives, which)


def test_a_sum_halves_in_its_half_life_and_what_does_not_fade_stands() -> None:
    rows = pa.table(
        {
            "valid_at": pa.array([MADE, MADE], INSTANT),
            "known_at": pa.array([MADE, MADE], INSTANT),
            "orders_h28_sum": [8.0, None],
            "order_count": [3, 4],
        }
    )
    found = moved(rows, fading(stamps=("valid_at", "known_at"), fades={"orders_h28_sum": 28}))
    assert found.schema == rows.schema
    assert found.to_pylist() == [
        {"valid_at": NOW, "known_at": NOW, "orders_h28_sum": 4.0, "order_count": 3},
        {"valid_at": NOW, "known_at": NOW, "orders_h28_sum": None, "order_count": 4},
    ]


def test_a_row_of_a_label_time_stands_as_it_was() -> None:
    rows = pa.table({"valid_at": pa.array([MADE, MADE], INSTANT), "orders_h28_sum": [8.0, 8.0]})
    rules = fading(stamps=("valid_at",), fades={"orders_h28_sum": 28})
    found = moved(rows, rules, [False, True])
    assert found.column("orders_h28_sum").to_pylist() == [8.0, 4.0]
    assert found.column("valid_at").to_pylist() == [MADE, NOW]


def test_elements_fade_by_the_half_life_of_their_genes_locus() -> None:
    lists = pa.list_(pa.field("element", pa.float32()))
    rows = pa.table(
        {
            "valid_at": pa.array([MADE] * 4, INSTANT),
            "gene_hashes": pa.array([[10, 30], [], None, [20]], pa.list_(pa.int64())),
            "affinities": pa.array([[4.0, 4.0], [], None, [-2.0]], lists),
        }
    ).slice(0, 4)
    rules = fading(stamps=("valid_at",), fades={"affinities": "days_now"}, genes="gene_hashes")
    found = moved(rows, rules)
    assert found.schema == rows.schema
    [first, empty, missing, against] = found.column("affinities").to_pylist()
    # one half-life of a brand, half a one of a motive
    assert first == pytest.approx([2.0, 4.0 * 2**-0.5], rel=1e-7)
    assert (empty, missing, against) == ([], None, [-1.0])


def test_a_part_of_a_table_fades_like_the_whole_of_it() -> None:
    lists = pa.array([[1.0] * size for size in (3, 0, 2, 1)], pa.list_(pa.float32()))
    hashes = pa.array([[10, 20, 30], [], [10, 30], [30]], pa.list_(pa.int64()))
    rows = pa.table({"valid_at": pa.array([MADE] * 4, INSTANT), "gene_hashes": hashes, "affinities": lists})
    rules = fading(stamps=("valid_at",), fades={"affinities": "days_now"}, genes="gene_hashes")
    assert moved(rows.slice(2), rules).to_pylist() == moved(rows, rules).slice(2).to_pylist()


def test_one_row_for_each_gene_fades_by_its_locus() -> None:
    rows = pa.table({"as_of": pa.array([MADE] * 2, INSTANT), "gene_hash": [30, 20], "affinity": [4.0, 4.0]})
    rules = fading(stamps=("as_of",), fades={"affinity": "days_now"}, genes="gene_hash")
    found = moved(rows, rules)
    assert found.column("affinity").to_pylist() == pytest.approx([4.0 * 2**-0.5, 2.0], rel=1e-12)
    assert found.column("as_of").to_pylist() == [NOW, NOW]


def test_what_is_too_old_leaves_the_lists_and_its_day_is_the_retailers() -> None:
    today = (NOW.date() - date(1970, 1, 1)).days  # two in the morning in New York
    rows = pa.table(
        {
            "valid_at": pa.array([MADE] * 3, INSTANT),
            "hashes": [[1, 2, 3], [], [4]],
            "days": pa.array([[today - 400, today - 399, today], [], [today - 400]], pa.list_(pa.int32())),
        }
    )
    lasts = {"hashes": Lasts(400, "days"), "days": Lasts(400, "days")}
    found = moved(rows, fading(stamps=("valid_at",), lasts=lasts), [True, True, False])
    assert found.column("hashes").to_pylist() == [[2, 3], [], [4]]
    assert found.column("days").to_pylist() == [[today - 399, today], [], [today - 400]]


def test_a_row_goes_when_its_instant_is_too_old() -> None:
    at = [NOW - timedelta(days=400), NOW - timedelta(days=400) + timedelta(microseconds=1)]
    rows = pa.table({"at": pa.array(at, INSTANT), "line": ["old", "just not"]})
    found = moved(rows, fading(lasts={"at": Lasts(400)}))
    assert found.column("line").to_pylist() == ["just not"]


def test_what_moves_says_which_columns_it_needs() -> None:
    rules = fading(
        stamps=("valid_at", "known_at"),
        fades={"affinities": "days_now", "orders_h28_sum": 28},
        genes="gene_hashes",
        lasts={"hashes": Lasts(400, "days")},
    )
    assert rules.needs(["order_count"]) == ("order_count", "valid_at")
    assert rules.needs(["affinities"]) == ("affinities", "valid_at", "gene_hashes")
    assert rules.needs(["hashes"]) == ("hashes", "valid_at", "days")
    assert Fading.read(rules.document()) == rules
    assert rules.moving == {"valid_at", "known_at", "affinities", "orders_h28_sum", "hashes"}
