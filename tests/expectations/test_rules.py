"""What a suite asks is checked before anything is judged: against what the gate can answer, and against its table."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from support import staged

from expectations.columns import kind
from expectations.judge import Judge
from expectations.rules import SUPPORTED, objection
from expectations.suite import suites
from genome.errors import GenomeError
from genome.settings import Settings

TYPES = {
    "n": "int64",
    "x": "double",
    "word": "string",
    "truth": "bool",
    "at": "timestamp[us, tz=UTC]",
    "list": "list<float>",
    "words": "list<string>",
}
BETWEEN = "expect_column_values_to_be_between"
EQUAL = "expect_column_pair_values_to_be_equal"


def suite_of(folder: Path, expectation: str, kwargs: dict[str, Any], **said: bool) -> None:
    rule = {"type": expectation, "kwargs": kwargs, "why": "so that the test can see it", **said}
    (folder / "t.yml").write_text(yaml.safe_dump({"table": "t", "expectations": [rule]}))


def test_an_expectation_that_cannot_be_answered_is_refused_with_those_that_can(tmp_path: Path) -> None:
    suite_of(tmp_path, "expect_column_median_to_be_between", {"column": "x", "min_value": 0})
    with pytest.raises(GenomeError) as refusal:
        suites(tmp_path)
    said = str(refusal.value)
    assert f"{tmp_path / 't.yml'} is no suite" in said
    assert "the gate cannot answer 'expect_column_median_to_be_between'" in said
    assert all(each in said for each in SUPPORTED)


@pytest.mark.parametrize(
    ("expectation", "kwargs", "said"),
    [
        (BETWEEN, {"column": "x", "min_value": 0, "row_condition": "x > 0"}, "row_condition"),
        (BETWEEN, {"column": "x"}, "min_value and max_value are both missing"),
        (BETWEEN, {"column": "x", "min_value": 2, "max_value": 1}, "min_value 2 is greater than max_value 1"),
        (BETWEEN, {"column": "x", "min_value": True}, "min_value"),
        (BETWEEN, {"column": "x", "min_value": 0, "max_value": "2017-01-01T00:00:00Z"}, "not of one kind"),
        (BETWEEN, {"column": "at", "min_value": "2017-01-01T00:00:00"}, "timezone"),
        (BETWEEN, {"column": "x", "min_value": 0, "mostly": 1.5}, "mostly"),
        (EQUAL, {"column_A": "x"}, "column_B"),
        (EQUAL, {"column_A": "x", "column_B": "n", "ignore_row_if": "never"}, "both_values_are_missing"),
        ("expect_column_values_to_be_in_set", {"column": "word", "value_set": []}, "value_set"),
        ("expect_compound_columns_to_be_unique", {"column_list": ["n"]}, "column_list"),
    ],
)
def test_arguments_are_checked_when_the_suite_is_read(
    expectation: str, kwargs: dict[str, Any], said: str, tmp_path: Path
) -> None:
    suite_of(tmp_path, expectation, kwargs)
    with pytest.raises(GenomeError, match=rf"(?s)t\.yml is no suite: .*{said}"):
        suites(tmp_path)


def test_only_a_mean_may_pass_without_values(tmp_path: Path) -> None:
    asked = {"column": "x", "min_value": 0}
    suite_of(tmp_path, "expect_column_mean_to_be_between", asked, passes_without_values=True)
    assert suites(tmp_path)["t"].expectations[0].passes_without_values
    suites.cache_clear()
    suite_of(tmp_path, BETWEEN, asked, passes_without_values=True)
    with pytest.raises(GenomeError, match=r"(?s)t\.yml is no suite: .*said of a mean"):
        suites(tmp_path)


@pytest.mark.parametrize(
    ("expectation", "kwargs", "said"),
    [
        (BETWEEN, {"column": "word", "min_value": 0}, "its bounds are of kind number and word holds text"),
        (
            BETWEEN,
            {"column": "x", "min_value": "2017-01-01T00:00:00Z"},
            "its bounds are of kind instant and x holds number",
        ),
        (BETWEEN, {"column": "list", "min_value": 0}, "its bounds are of kind number and list holds list"),
        (BETWEEN, {"column": "at", "min_value": "2017-01-01T00:00:00Z"}, ""),
        (BETWEEN, {"column": "list__sum", "min_value": 0}, ""),
        (EQUAL, {"column_A": "x", "column_B": "word"}, "x holds number and word holds text"),
        (EQUAL, {"column_A": "list", "column_B": "list"}, "list holds list and list holds list"),
        (EQUAL, {"column_A": "x", "column_B": "n"}, ""),
        (
            "expect_column_mean_to_be_between",
            {"column": "truth", "min_value": 0},
            "a mean is of numbers and truth holds boolean",
        ),
        (
            "expect_column_values_to_be_in_set",
            {"column": "n", "value_set": ["1"]},
            "its values are of another kind, n holds number",
        ),
        ("expect_column_values_to_be_in_set", {"column": "truth", "value_set": [True]}, ""),
        ("expect_column_values_to_be_unique", {"column": "list"}, "list holds list"),
        ("expect_column_values_to_not_be_null", {"column": "list"}, ""),
        ("expect_table_row_count_to_be_between", {"min_value": 1}, ""),
    ],
)
def test_a_rule_fits_what_its_columns_hold(expectation: str, kwargs: dict[str, Any], said: str) -> None:
    asked = staged.rule(expectation, **kwargs).asked
    assert objection(asked, {column: kind(column, TYPES) or "" for column in asked.columns()}) == said


def test_what_a_column_holds_is_told_from_its_type() -> None:
    asked = ("n", "x", "word", "truth", "at", "list", "list__length", "list__max", "words__length")
    assert [kind(column, TYPES) for column in asked] == [
        *("number", "number", "text", "boolean", "instant", "list", "number", "number", "number")
    ]
    assert [kind(column, TYPES) for column in ("none", "words__sum", "n__length", "list__mean")] == [None] * 4


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"column": "price", "min_value": 0}, "t.yml asks about 'price', which the contract has not"),
        ({"column": "n__max", "min_value": 0}, "t.yml asks about 'n__max', which the contract has not"),
        ({"column": "word", "min_value": 0}, f"t.yml: {BETWEEN} cannot be asked: its bounds"),
    ],
)
def test_a_rule_that_its_table_cannot_answer_is_refused_with_its_file(
    kwargs: dict[str, Any], said: str, judge: Judge, settings: Settings, tmp_path: Path
) -> None:
    schema = pa.schema([("n", pa.int64()), ("word", pa.string())])
    folder = staged.write(tmp_path / "rows", staged.table(schema, [{"n": 1, "word": "a"}]))
    described = staged.contract(schema)
    with pytest.raises(GenomeError) as refusal:
        staged.outcomes(settings, judge, described, [staged.rule(BETWEEN, **kwargs)], folder)
    assert f"expectations/suites/{described.table}{said.removeprefix('t')}" in str(refusal.value)
