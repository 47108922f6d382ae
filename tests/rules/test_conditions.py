"""One condition, asked of one subject and of many columns, says the same; a wrong one says what is wrong."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genome.errors import UsageError
from genome.rules.conditions import OPERATORS, Column, Field, column_of, compiled, fields, mask, parse

NUMBERS = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([0.5, 1.0, math.nan]))
TEXTS = st.one_of(st.none(), st.sampled_from(["", "a", "ab", "b", "2"]))


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    name, value = draw(
        st.sampled_from([("amount", st.integers(-2, 2)), ("label", st.sampled_from(["a", "b", "2"]))])
    )
    operator = draw(st.sampled_from(OPERATORS))
    if operator in ("<", "<=", ">", ">="):
        wanted: Any = draw(st.integers(-2, 2))
    elif operator in ("contains", "starts with"):
        wanted = draw(st.sampled_from(["a", "b"]))
    elif operator in ("in", "not in"):
        wanted = draw(st.lists(value, min_size=1, max_size=3))
    elif operator in ("present", "missing"):
        return {"trait": name, "is": operator}
    else:
        wanted = draw(value)
    return {"trait": name, "is": operator, "value": wanted}


CONDITIONS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=6,
)


@given(CONDITIONS, st.lists(st.tuples(NUMBERS, TEXTS), max_size=12))
def test_one_subject_and_many_columns_agree(
    document: dict[str, Any], rows: list[tuple[float | None, str | None]]
) -> None:
    condition = parse(document)
    table = {
        "amount": pa.array([row[0] for row in rows], pa.float64()),
        "label": pa.array([row[1] for row in rows], pa.string()),
    }

    def column(field: Field) -> Column:
        return column_of(table[field.name])

    one = compiled(condition)
    expected = [one({"trait": {"amount": amount, "label": label}}) for amount, label in rows]
    assert mask(condition, column, len(rows)).tolist() == expected


@pytest.mark.parametrize(
    ("document", "facts", "expected"),
    [
        # a gene's measure; a gene that the customer does not have satisfies no comparison
        ({"gene": "brand:x", "is": ">", "value": 0.3}, {"gene": {"brand:x": {"share_character": 0.4}}}, True),
        (
            {"gene": "brand:x", "is": ">", "value": 0.3},
            {"gene": {"brand:y": {"share_character": 0.4}}},
            False,
        ),
        (
            {"gene": "brand:x", "measure": "trend", "is": "<", "value": 0},
            {"gene": {"brand:x": {"trend": -0.1}}},
            True,
        ),
        # clients send numbers and truths as text
        ({"property": "price", "is": ">=", "value": 18}, {"property": {"price": "18.99"}}, True),
        ({"property": "is_gift", "value": True}, {"property": {"is_gift": "true"}}, True),
        # a text is no number, and an object is nothing that can be compared
        ({"property": "price", "is": "<", "value": 18}, {"property": {"price": "cheap"}}, False),
        ({"property": "price", "is": "=", "value": "x"}, {"property": {"price": {"x": 1}}}, False),
        # what is missing is not unequal either, unless somebody says `not`
        ({"property": "color", "is": "!=", "value": "red"}, {"property": {}}, False),
        ({"not": {"property": "color", "value": "red"}}, {"property": {}}, True),
        ({"all": []}, {}, True),
        ({"any": []}, {}, False),
    ],
)
def test_a_condition_means(document: dict[str, Any], facts: dict[str, Any], expected: bool) -> None:
    assert compiled(parse(document))(facts) is expected


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"trait": "x", "is": "~", "value": 1}, ["where.is", "'~'", "Write one of"]),
        ({"trait": "x", "property": "y", "value": 1}, ["property and trait", "gene"]),
        ({"trait": "x", "is": ">", "value": "much"}, ["where.value", "'much'", "Write a number"]),
        ({"trait": "x", "is": "in", "value": []}, ["where.value", "list"]),
        ({"trait": "x", "is": "=", "value": math.inf}, ["where.value", "inf", "finite"]),
        ({"all": [{"trait": "x", "value": 1, "valeu": 2}]}, ["where.all[0]", "'valeu'"]),
        ({"event": "price", "value": 1}, ["where.event", "'price'", "property"]),
        ({"gene": "organic", "value": 1}, ["where.gene", "<locus>:<allele>"]),
        ("order_count > 3", ["where", "order_count > 3", "no condition"]),
    ],
)
def test_an_error_names_field_value_and_remedy(document: Any, words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        parse(document)
    assert [word for word in words if word not in str(error.value)] == []
    assert error.value.remedy


def test_what_looks_like_code_is_only_text() -> None:
    condition = parse({"property": "name", "value": "__import__('os').getcwd()"})
    assert compiled(condition)({"property": {"name": "__import__('os').getcwd()"}}) is True
    assert fields(condition) == {Field("property", "name")}


def test_a_column_of_whole_numbers_is_compared_as_numbers() -> None:
    column = column_of(pa.chunked_array([pa.array([1, 2, 3])]))
    found = mask(parse({"trait": "n", "is": "in", "value": [1, 3, "x"]}), lambda _: column, 3)
    assert found.tolist() == [True, False, True]
    assert np.issubdtype(column[0].dtype, np.integer)
