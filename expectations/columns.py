"""The columns of staged rows as rules name them: what kind each is of, and its value as a DuckDB expression.

A missing value is null or NaN, as it is to Great Expectations on pandas; the expression gives null for both. Numbers
with a fraction are compared as doubles.

A list column `shares_now` also answers as `shares_now__length`, `shares_now__min`, `shares_now__max` and
`shares_now__sum`, one number for each row. An empty list (and a null one) has length 0 and no min, max or sum; what is
missing in a list is passed over, so a list of nothing else has no min and max, and the sum 0.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genome.lake import compiler

if TYPE_CHECKING:
    import duckdb

MEASURES = ("length", "min", "max", "sum")
"""What a list column can be asked for, behind `__`."""

_FRACTIONS = frozenset({"float", "double"})
_KINDS = {"string": "text", "bool": "boolean", "date32[day]": "day"}


def base(column: str) -> str:
    """The column of the table that a rule's column is, or is a measure of."""
    name, mark, measure = column.partition("__")
    return name if mark and measure in MEASURES else column


def kind(column: str, types: Mapping[str, str]) -> str | None:
    """What a rule's column holds: number, text, boolean, instant, day or list; None where the table has it not.

    Args:
        column: as the rule names it.
        types: the table's columns → their Arrow types.
    """
    found = types.get(base(column))
    if found is None or base(column) == column:
        return found and _kind(found)
    items = _items(found)
    measured = items is not None and (column.endswith("__length") or _kind(items) == "number")
    return "number" if measured else None


def value(column: str, types: Mapping[str, str]) -> "duckdb.Expression":
    """The value of a rule's column in each row; null where it is missing."""
    from duckdb import ColumnExpression

    name = base(column)
    stored, arrow = ColumnExpression(compiler.name(name)), types[name]
    if name != column:
        return _measure(stored, column.removeprefix(f"{name}__"))
    return _without_nan(stored.cast("DOUBLE")) if arrow in _FRACTIONS else stored


def _measure(items: "duckdb.Expression", measure: str) -> "duckdb.Expression":
    from duckdb import (
        CaseExpression,
        ColumnExpression,
        ConstantExpression,
        FunctionExpression,
        LambdaExpression,
    )

    if measure == "length":
        length = FunctionExpression("len", items)
        return CaseExpression(items.isnull(), ConstantExpression(0)).otherwise(length)

    def of(some: "duckdb.Expression") -> "duckdb.Expression":
        return FunctionExpression(f"list_{measure}", some).cast("DOUBLE")

    # NaN is the greatest number to DuckDB and swallows a sum: lists that hold one (few do) are asked again without.
    numbers = LambdaExpression("item", ~FunctionExpression("isnan", ColumnExpression("item").cast("DOUBLE")))
    again = of(FunctionExpression("list_filter", items, numbers))
    found = CaseExpression(FunctionExpression("isnan", of(items)), again).otherwise(of(items))
    if measure != "sum":
        return _without_nan(found)
    nothing = found.isnull() & (FunctionExpression("len", items) > ConstantExpression(0))
    return CaseExpression(nothing, ConstantExpression(0.0)).otherwise(found)


def _without_nan(number: "duckdb.Expression") -> "duckdb.Expression":
    from duckdb import CaseExpression, ConstantExpression, FunctionExpression

    return CaseExpression(FunctionExpression("isnan", number), ConstantExpression(None)).otherwise(number)


def _items(arrow: str) -> str | None:
    return arrow[5:-1] if arrow.startswith("list<") else None


def _kind(arrow: str) -> str:
    if arrow.startswith(("int", "uint", "float", "double", "decimal")):
        return "number"
    if arrow.startswith("list<"):
        return "list"
    return "instant" if arrow.startswith("timestamp") else _KINDS.get(arrow, arrow)
