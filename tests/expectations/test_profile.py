"""A table of several part files is one table to the gate, and each rule says how many of its rows break it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support import staged

from expectations.judge import Judge
from expectations.suite import Rule
from genome.errors import GenomeError
from genome.settings import Settings

SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("gene_id", pa.string()),
        ("share", pa.float64()),
        ("total", pa.float64()),
        ("kind", pa.string()),
        ("first_at", staged.INSTANT),
        ("last_at", staged.INSTANT),
        ("weights", pa.list_(pa.float32())),
        ("hashes", pa.list_(pa.int64())),
    ]
)
GRAIN, NEVER_NULL = ("customer_id", "gene_id"), ("customer_id", "gene_id", "share")
RULES = [
    staged.rule("expect_column_values_to_be_between", column="share", min_value=0, max_value=1),
    staged.rule("expect_column_values_to_be_between", column="weights__sum", max_value=1.001),
    staged.rule("expect_column_values_to_be_in_set", column="kind", value_set=["for", "against"]),
    staged.rule(
        "expect_column_pair_values_a_to_be_greater_than_b", column_A="total", column_B="share", or_equal=True
    ),
    staged.rule("expect_column_pair_values_a_to_be_greater_than_b", column_A="last_at", column_B="first_at"),
    staged.rule(
        "expect_column_pair_values_to_be_equal", column_A="weights__length", column_B="hashes__length"
    ),
    staged.rule("expect_column_mean_to_be_between", column="total", min_value=1, max_value=3),
    staged.rule("expect_column_values_to_be_unique", column="gene_id"),
    staged.rule("expect_table_row_count_to_be_between", max_value=6),
]
GOOD: Mapping[str, Any] = {
    "share": 0.5,
    "total": 2.0,
    "kind": "for",
    "first_at": datetime(2017, 1, 1, tzinfo=UTC),
    "last_at": datetime(2017, 1, 2, tzinfo=UTC),
    "weights": [0.5, 0.5],
    "hashes": [1, 2],
}


def row(number: int, **changed: Any) -> dict[str, Any]:
    return {"customer_id": f"c{number // 3}", "gene_id": f"g{number}", **GOOD, **changed}


def broken(
    settings: Settings, judge: Judge, folder: Path, *parts: pa.Table
) -> dict[tuple[str, tuple[str, ...]], str]:
    """What did not hold, and how far."""
    described = staged.contract(SCHEMA, GRAIN, NEVER_NULL)
    found = staged.outcomes(settings, judge, described, RULES, staged.write(folder, *parts))
    assert len(found) == 2 + 1 + 3 + 1 + len(RULES)
    return {(each.expectation, each.columns): each.extent for each in found if not each.passed}


def test_good_rows_in_two_parts_pass(judge: Judge, settings: Settings, tmp_path: Path) -> None:
    first = staged.table(SCHEMA, [row(number) for number in range(3)])
    # A table of no rows at all is one of no broken rows.
    second, none = staged.table(SCHEMA, [row(3), row(4)]), staged.table(SCHEMA, [])
    assert broken(settings, judge, tmp_path / "t", first, second, none) == {}


@pytest.mark.parametrize(
    ("bad", "expectation", "columns", "extent"),
    [
        ([row(3, share=-0.1), row(4)], "expect_column_values_to_be_between", ("share",), " in 1 of 5 rows"),
        (
            [row(3, share=1.1), row(4, share=2.0)],
            "expect_column_values_to_be_between",
            ("share",),
            " in 2 of 5 rows",
        ),
        (
            [row(3, weights=[0.7, 0.7])],
            "expect_column_values_to_be_between",
            ("weights__sum",),
            " in 1 of 4 rows",
        ),
        ([row(3, kind="For")], "expect_column_values_to_be_in_set", ("kind",), " in 1 of 4 rows"),
        (
            [row(3, total=0.4), row(4, total=None)],
            "expect_column_pair_values_a_to_be_greater_than_b",
            ("total", "share"),
            " in 2 of 5 rows",
        ),
        (
            [row(3, last_at=GOOD["first_at"])],
            "expect_column_pair_values_a_to_be_greater_than_b",
            ("last_at", "first_at"),
            " in 1 of 4 rows",
        ),
        (
            [row(3, hashes=[1]), row(4, hashes=None)],
            "expect_column_pair_values_to_be_equal",
            ("weights__length", "hashes__length"),
            " in 2 of 5 rows",
        ),
        ([row(3, total=90.0)], "expect_column_mean_to_be_between", ("total",), " over 4 rows"),
        # Both twins break it, the one in the first part too.
        ([row(5, gene_id="g0")], "expect_column_values_to_be_unique", ("gene_id",), " in 2 of 4 rows"),
        ([row(3), row(4), row(5), row(6)], "expect_table_row_count_to_be_between", (), " over 7 rows"),
        ([row(3, share=None)], "expect_column_values_to_not_be_null", ("share",), " in 1 of 4 rows"),
        # NaN is a missing number.
        ([row(3, share=float("nan"))], "expect_column_values_to_not_be_null", ("share",), " in 1 of 4 rows"),
    ],
)
def test_each_rule_fails_alone_and_says_in_how_many_rows(
    bad: list[dict[str, Any]],
    expectation: str,
    columns: tuple[str, ...],
    extent: str,
    judge: Judge,
    settings: Settings,
    tmp_path: Path,
) -> None:
    first, second = staged.table(SCHEMA, [row(number) for number in range(3)]), staged.table(SCHEMA, bad)
    found = broken(settings, judge, tmp_path / "t", first, second)
    if columns == ("share",) and expectation.endswith("null"):
        pair = ("expect_column_pair_values_a_to_be_greater_than_b", ("total", "share"))
        assert found.pop(pair) == " in 1 of 4 rows"
    assert found == {(expectation, columns): extent}


def test_a_mean_of_no_values_fails_unless_the_rule_says_otherwise(
    judge: Judge, settings: Settings, tmp_path: Path
) -> None:
    # as z-scores have none in a retailer's first month: there is nobody yet to be compared with
    rows = [row(number, total=None) for number in range(3)]
    none = staged.write(tmp_path / "none", staged.table(SCHEMA, rows))
    some = staged.write(tmp_path / "some", staged.table(SCHEMA, [row(0, total=1e9), *rows[1:]]))
    (rule,) = (rule for rule in RULES if rule.type == "expect_column_mean_to_be_between")
    lenient = rule.model_copy(update={"passes_without_values": True})

    def judged(asked: Rule, parts: Path) -> list[bool]:
        described = staged.contract(SCHEMA, GRAIN, NEVER_NULL)
        found = staged.outcomes(settings, judge, described, [asked], parts)
        assert all(each.passed for each in found if each.expectation != rule.type)
        return [each.passed for each in found if each.expectation == rule.type]

    assert (judged(rule, none), judged(rule, some)) == ([False], [False])
    assert (judged(lenient, none), judged(lenient, some)) == ([], [False])


def test_a_row_that_lies_in_two_parts_breaks_the_grain(
    judge: Judge, settings: Settings, tmp_path: Path
) -> None:
    parts = [staged.table(SCHEMA, [row(number) for number in numbers]) for numbers in ((0, 1), (2, 3), (1,))]
    assert broken(settings, judge, tmp_path / "t", *parts) == {
        ("expect_compound_columns_to_be_unique", GRAIN): " in 2 of 5 rows",
        ("expect_column_values_to_be_unique", ("gene_id",)): " in 2 of 5 rows",
    }


def test_what_a_later_part_has_otherwise_is_not_asked_and_does_not_hold(
    judge: Judge, settings: Settings, tmp_path: Path
) -> None:
    first = staged.table(SCHEMA, [row(0), row(1, kind="For")])
    second = staged.table(SCHEMA, [row(2)])
    second = second.set_column(2, "share", second.column("share").cast("float32")).append_column(
        "more", [[1]]
    )
    assert broken(settings, judge, tmp_path / "t", first, second) == {
        ("expect_column_pair_values_to_be_equal", ("contract_column", "staged_column")): "",
        ("expect_column_pair_values_to_be_equal", ("contract_type", "staged_type")): "",
        ("expect_column_values_to_not_be_null", ("share",)): "",
        ("expect_column_values_to_be_between", ("share",)): "",
        ("expect_column_pair_values_a_to_be_greater_than_b", ("total", "share")): "",
        # The others are answered all the same.
        ("expect_column_values_to_be_in_set", ("kind",)): " in 1 of 3 rows",
    }


def test_a_file_that_cannot_be_read_is_refused_with_a_remedy(
    judge: Judge, settings: Settings, tmp_path: Path
) -> None:
    folder = staged.write(tmp_path / "t", staged.table(SCHEMA, [row(number) for number in range(99)]))
    path = folder / "part-00000.parquet"
    content = bytearray(path.read_bytes())
    # The footer stays whole.
    content[4:600] = bytes(596)
    path.write_bytes(content)
    with pytest.raises(GenomeError, match=r"The gate cannot read .*/t .* raise GENOME_MEMORY_LIMIT"):
        staged.outcomes(settings, judge, staged.contract(SCHEMA), RULES, folder)
