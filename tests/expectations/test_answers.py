"""The gate's verdict is Great Expectations' own: both judge the same small tables, ours by its profile."""

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from support import staged

from expectations.judge import Judge
from expectations.rules import SUPPORTED
from genome.settings import Settings

SCHEMA = pa.schema(
    [
        ("a", pa.float64()),
        ("b", pa.float64()),
        ("single", pa.float32()),
        ("whole", pa.int64()),
        ("word", pa.string()),
        ("truth", pa.bool_()),
        ("begun", staged.INSTANT),
        ("ended", staged.INSTANT),
        ("floats", pa.list_(pa.float32())),
        ("others", pa.list_(pa.int64())),
    ]
)
NAN, NOON = math.nan, datetime(2017, 6, 1, 12, tzinfo=UTC)
VALUES: Mapping[str, list[Any]] = {
    "a": [None, NAN, -1.0, 0.0, 0.1, 1.0, 2.0],
    "b": [None, NAN, 0.0, 0.1, 1.0, 3.0],
    "single": [None, NAN, 0.0, 0.1, 1.0, 2.0],
    "whole": [None, -1, 0, 1, 2, 2**60 + 1],
    "word": [None, "", "milk", "oat's", "Milk"],
    "truth": [None, True, False],
    "begun": [None, NOON, NOON + timedelta(microseconds=1)],
    "ended": [None, NOON, NOON + timedelta(days=1)],
    "floats": [None, [], [None], [NAN], [0.5, NAN, 0.25], [0.1, 0.2, 0.7], [-1.0, 2.0], [1.0] * 3],
    "others": [None, [], [1], [1, 2, 3], [4, None]],
}
IGNORED = "both_values_are_missing", "either_value_is_missing", "neither"
BETWEEN, MEAN = "expect_column_values_to_be_between", "expect_column_mean_to_be_between"
EQUAL = "expect_column_pair_values_to_be_equal"
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
UNIQUE, COMPOUND = "expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"
CASES: list[tuple[str, dict[str, Any]]] = [
    (BETWEEN, {"column": "a", "min_value": 0}),
    (BETWEEN, {"column": "a", "max_value": 1.0}),
    (BETWEEN, {"column": "a", "min_value": 0, "max_value": 1}),
    (BETWEEN, {"column": "a", "min_value": 0, "strict_min": True}),
    (BETWEEN, {"column": "a", "max_value": 1, "strict_max": True}),
    (BETWEEN, {"column": "a", "min_value": -1, "max_value": 2, "strict_min": True, "strict_max": True}),
    *((BETWEEN, {"column": "a", "min_value": 0.1, "mostly": part}) for part in (0.0, 0.3, 0.5, 0.75)),
    # 0.1 of single precision is more than 0.1
    (BETWEEN, {"column": "single", "max_value": 0.1}),
    (BETWEEN, {"column": "single", "min_value": 0, "max_value": 1}),
    (BETWEEN, {"column": "whole", "min_value": 0}),
    (BETWEEN, {"column": "whole", "max_value": 2**60}),
    (BETWEEN, {"column": "begun", "min_value": NOON, "strict_min": True}),
    (BETWEEN, {"column": "begun", "max_value": NOON}),
    *(
        (BETWEEN, {"column": f"{of}__{measure}", "min_value": low, "max_value": high})
        for of in ("floats", "others")
        for measure, low, high in (
            ("length", 0, 2),
            ("min", 0, 3),
            ("max", 0, 1),
            ("sum", 0, 1.5),
            ("sum", 1, 5),
        )
    ),
    *((EQUAL, {"column_A": "a", "column_B": "b", "ignore_row_if": ignored}) for ignored in IGNORED[1:]),
    # Great Expectations takes two equal rules for one: the first of IGNORED is what it does unasked.
    (EQUAL, {"column_A": "a", "column_B": "b"}),
    (EQUAL, {"column_A": "a", "column_B": "b", "mostly": 0.4}),
    (EQUAL, {"column_A": "a", "column_B": "single"}),
    (EQUAL, {"column_A": "begun", "column_B": "ended"}),
    (EQUAL, {"column_A": "floats__length", "column_B": "others__length"}),
    *(
        (GREATER, {"column_A": one, "column_B": other, "or_equal": equal, "ignore_row_if": ignored})
        for one, other in (("a", "b"), ("ended", "begun"))
        for equal in (True, False)
        for ignored in IGNORED
    ),
    (GREATER, {"column_A": "b", "column_B": "a"}),
    (MEAN, {"column": "a", "min_value": 0, "max_value": 1}),
    (MEAN, {"column": "single", "max_value": 0.5, "strict_max": True}),
    (MEAN, {"column": "whole", "min_value": 0.5, "strict_min": True}),
    (MEAN, {"column": "floats__length", "min_value": 1}),
    (MEAN, {"column": "floats__max", "max_value": 0.9}),
    *((UNIQUE, {"column": column}) for column in ("a", "single", "whole", "word", "begun")),
    (UNIQUE, {"column": "word", "mostly": 0.5}),
    *(
        (COMPOUND, {"column_list": ["word", "begun"], "ignore_row_if": ignored})
        for ignored in ("all_values_are_missing", "any_value_is_missing", "never")
    ),
    (COMPOUND, {"column_list": ["a", "truth", "whole"]}),
    *(
        ("expect_column_values_to_not_be_null", {"column": column})
        for column in ("a", "single", "whole", "word")
    ),
    ("expect_column_values_to_not_be_null", {"column": "begun", "mostly": 0.6}),
    ("expect_column_values_to_be_in_set", {"column": "word", "value_set": ["milk", "oat's", ""]}),
    ("expect_column_values_to_be_in_set", {"column": "whole", "value_set": [0, 1, 2**60 + 1]}),
    ("expect_column_values_to_be_in_set", {"column": "a", "value_set": [0.1, 1.0], "mostly": 0.5}),
    ("expect_table_row_count_to_be_between", {"min_value": 3, "max_value": 8}),
]


def tables() -> list[list[dict[str, Any]]]:
    """No row, one row in which everything is missing, rows at random, and a row twice."""
    chance = random.Random(20170601)
    some = [
        [{name: chance.choice(values) for name, values in VALUES.items()} for _ in range(size)]
        for size in (2, 3, 4, 9)
    ]
    # Few missing values and few twins, so that rules hold as well.
    some += [
        [{name: chance.choice(values[2:]) for name, values in VALUES.items()} for _ in range(2)]
        for _ in range(5)
    ]
    some.append([*some[-1], some[-1][0]])
    return [[], [dict.fromkeys(SCHEMA.names)], *some]


def measures(found: list[float | None] | None) -> dict[str, float]:
    """What a list is asked for, by the words of expectations/columns.py."""
    numbers = [each for each in found or [] if each is not None and not math.isnan(each)]
    return {
        "length": len(found or []),
        "min": min(numbers, default=NAN),
        "max": max(numbers, default=NAN),
        "sum": sum(numbers) if found else NAN,
    }


def in_pandas(rows: pa.Table) -> pd.DataFrame:
    """The rows as Great Expectations is to read them: all in memory."""
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    lists = [each.name for each in rows.schema if pa.types.is_list(each.type)]
    frame = rows.drop_columns(lists).to_pandas(types_mapper=nullable.get)
    for name in lists:
        each = [measures(found) for found in rows.column(name).to_pylist()]
        for measure, kind in (
            ("length", "int64"),
            ("min", "float64"),
            ("max", "float64"),
            ("sum", "float64"),
        ):
            frame[f"{name}__{measure}"] = pd.Series([one[measure] for one in each], dtype=kind)
    return frame


def test_every_supported_expectation_is_compared() -> None:
    assert {expectation for expectation, _ in CASES} == set(SUPPORTED)


def test_the_verdict_is_the_one_of_great_expectations_over_the_rows(
    judge: Judge, settings: Settings, tmp_path: Path
) -> None:
    rules = [staged.rule(expectation, **kwargs) for expectation, kwargs in CASES]
    different, seen = [], {number: set[bool]() for number in range(len(CASES))}
    for number, rows in enumerate(tables()):
        whole, half = staged.table(SCHEMA, rows), len(rows) // 2
        folder = staged.write(tmp_path / str(number), whole.slice(0, half), whole.slice(half))
        ours = staged.outcomes(settings, judge, staged.contract(SCHEMA), rules, folder)[-len(CASES) :]
        theirs = judge.frame(f"rows of {number}", in_pandas(whole), CASES)
        for case, (verdict, outcome) in enumerate(zip(theirs, ours, strict=True)):
            assert outcome.counted is not None
            seen[case].add(verdict)
            different += [(rows, CASES[case], verdict, outcome)] if verdict != outcome.passed else []
    assert different == []
    # Each case was seen to hold and to fail, but the one that lets every row break it.
    assert [CASES[case] for case, verdicts in seen.items() if verdicts != {True, False}] == [
        (BETWEEN, {"column": "a", "min_value": 0.1, "mostly": 0.0})
    ]
