"""How the rows answer a rule: aggregates, as DuckDB's expressions. No text is put together, so none can be SQL."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING

from expectations.rules import (
    Asked,
    Between,
    Distinct,
    InSet,
    Mean,
    NotNull,
    OfRow,
    PairEqual,
    PairGreater,
)

if TYPE_CHECKING:
    import duckdb

Value = Callable[[str], "duckdb.Expression"]
"""From a column as a rule names it to its value in a row; null is the one way to be missing."""


@dataclass(frozen=True)
class Answer:
    """What the rows of a table say to one rule.

    Attributes:
        counted: how many rows it asked.
        broken: how many of them break it; None where it asks for one number of all of them.
        number: what is judged: the share of rows that keep it, or that one number. None where no row was asked.
    """

    counted: int
    broken: int | None
    number: float | None

    @classmethod
    def of_rows(cls, counted: int, held: int) -> "Answer":
        """To a rule that each row keeps or breaks."""
        return cls(counted, counted - held, held / counted if counted else None)

    @classmethod
    def of_number(cls, counted: int, number: float | None) -> "Answer":
        """To a rule about one number of all rows."""
        return cls(counted, None, number)


def aggregates(rule: Asked, value: Value) -> "list[duckdb.Expression]":
    """What to count: rows asked and rows that keep it; of a mean, values and mean; of `Distinct`, rows asked."""
    from duckdb import FunctionExpression

    match rule:
        case OfRow():
            asked = about(rule, value)
            return [_rows(asked), _rows(asked & _holds(rule, value))]
        case Distinct():
            return [_rows(about(rule, value))]
        case Mean():
            number = value(rule.column).cast("DOUBLE")
            return [FunctionExpression("count", number), FunctionExpression("avg", number)]
    raise AssertionError(f"{type(rule).__name__} is not about the values of rows")


def about(rule: OfRow | Distinct, value: Value) -> "duckdb.Expression":
    """Which rows a rule asks."""
    from duckdb import ConstantExpression

    ignored = "never" if isinstance(rule, NotNull) else getattr(rule, "ignore_row_if", "any_value_is_missing")
    there = [value(column).isnotnull() for column in rule.columns()]
    if ignored in {"both_values_are_missing", "all_values_are_missing"}:
        return reduce(or_, there)
    if ignored in {"either_value_is_missing", "any_value_is_missing"}:
        return reduce(and_, there)
    return ConstantExpression(True)


def _holds(rule: OfRow, value: Value) -> "duckdb.Expression":
    """Which rows keep a rule. A row for which this is null breaks it."""
    from duckdb import ConstantExpression

    match rule:
        case Between():
            return _between(rule, value(rule.column))
        case InSet():
            return value(rule.column).isin(*map(ConstantExpression, rule.value_set))
        case NotNull():
            return value(rule.column).isnotnull()
        case PairEqual():
            return value(rule.column_a) == value(rule.column_b)
        case PairGreater():
            one, other = value(rule.column_a), value(rule.column_b)
            return one >= other if rule.or_equal else one > other
    raise AssertionError(f"{type(rule).__name__} cannot be told from a row")


def _between(rule: Between, found: "duckdb.Expression") -> "duckdb.Expression":
    from duckdb import ConstantExpression

    kept = []
    if rule.min_value is not None:
        low = ConstantExpression(rule.min_value)
        kept.append(found > low if rule.strict_min else found >= low)
    if rule.max_value is not None:
        high = ConstantExpression(rule.max_value)
        kept.append(found < high if rule.strict_max else found <= high)
    return reduce(and_, kept)


def _rows(condition: "duckdb.Expression") -> "duckdb.Expression":
    from duckdb import CaseExpression, ConstantExpression, FunctionExpression

    return FunctionExpression("count", CaseExpression(condition, ConstantExpression(1)))
