"""What a suite may ask: the types of expectation that the gate can answer, and their arguments.

Names, arguments and meaning are Great Expectations' own: a rule about values passes over rows where the value is
missing, a rule about pairs has `ignore_row_if`, and `mostly` lets a part of the rows break it. What is not here is
refused, arguments included: a gate that skips what it does not know lets it pass.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

Number = StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)]

_COLUMN_ARGUMENTS = ("column", "column_a", "column_b", "column_list")


class Asked(BaseModel):
    """The arguments of one expectation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def columns(self) -> tuple[str, ...]:
        """Every column that it names."""
        named: list[str] = []
        for argument in _COLUMN_ARGUMENTS:
            value = getattr(self, argument, ())
            named += [value] if isinstance(value, str) else value
        return tuple(named)


class Held(Asked):
    """A rule that each row keeps or breaks."""

    mostly: float = Field(1.0, ge=0, le=1)


class OfRow(Held):
    """A rule that can be told from one row by itself."""


class Bounds(Asked):
    """Two bounds, of which one may be left out."""

    min_value: Number | AwareDatetime | None = None
    max_value: Number | AwareDatetime | None = None
    strict_min: bool = False
    strict_max: bool = False

    @model_validator(mode="after")
    def _are_bounds(self) -> "Bounds":
        given = [each for each in (self.min_value, self.max_value) if each is not None]
        if not given:
            raise ValueError("min_value and max_value are both missing")
        if len({isinstance(each, datetime) for each in given}) > 1:
            raise ValueError(f"min_value {given[0]} and max_value {given[1]} are not of one kind")
        if sorted(given) != given:
            raise ValueError(f"min_value {given[0]} is greater than max_value {given[1]}")
        return self

    @property
    def kind(self) -> str:
        """What lies between them: number or instant."""
        given = (self.min_value, self.max_value)
        return "instant" if any(isinstance(each, datetime) for each in given) else "number"

    def bounds(self) -> dict[str, Any]:
        """The bounds as Great Expectations takes them."""
        return {name: getattr(self, name) for name in ("min_value", "max_value", "strict_min", "strict_max")}


class Between(OfRow, Bounds):
    """`expect_column_values_to_be_between`."""

    column: str


class InSet(OfRow):
    """`expect_column_values_to_be_in_set`."""

    column: str
    value_set: tuple[StrictBool | Number | StrictStr, ...] = Field(min_length=1)


class NotNull(OfRow):
    """`expect_column_values_to_not_be_null`: the one rule about values that asks missing ones too."""

    column: str


class Pair(OfRow):
    """A rule about two values of one row. A row with one of them missing breaks it, where it is asked."""

    column_a: str = Field(alias="column_A")
    column_b: str = Field(alias="column_B")
    ignore_row_if: Literal["both_values_are_missing", "either_value_is_missing", "neither"] = (
        "both_values_are_missing"
    )


class PairEqual(Pair):
    """`expect_column_pair_values_to_be_equal`."""


class PairGreater(Pair):
    """`expect_column_pair_values_a_to_be_greater_than_b`."""

    or_equal: bool = False


class Distinct(Held):
    """A rule that no two rows have the same values in some columns; a missing value equals a missing value."""


class Unique(Distinct):
    """`expect_column_values_to_be_unique`."""

    column: str
    ignore_row_if: ClassVar = "any_value_is_missing"


class CompoundUnique(Distinct):
    """`expect_compound_columns_to_be_unique`."""

    column_list: tuple[str, ...] = Field(min_length=2)
    ignore_row_if: Literal["all_values_are_missing", "any_value_is_missing", "never"] = (
        "all_values_are_missing"
    )


class Mean(Bounds):
    """`expect_column_mean_to_be_between`: the mean of the values that are not missing."""

    column: str


class RowCount(Bounds):
    """`expect_table_row_count_to_be_between`."""


SUPPORTED: Mapping[str, type[Asked]] = {
    "expect_column_mean_to_be_between": Mean,
    "expect_column_pair_values_a_to_be_greater_than_b": PairGreater,
    "expect_column_pair_values_to_be_equal": PairEqual,
    "expect_column_values_to_be_between": Between,
    "expect_column_values_to_be_in_set": InSet,
    "expect_column_values_to_be_unique": Unique,
    "expect_column_values_to_not_be_null": NotNull,
    "expect_compound_columns_to_be_unique": CompoundUnique,
    "expect_table_row_count_to_be_between": RowCount,
}
"""What a suite may ask, by its name in Great Expectations."""


def objection(rule: Asked, kinds: Mapping[str, str]) -> str:
    """Why a rule cannot be asked of its columns; empty where it can.

    Args:
        rule: what is asked.
        kinds: its columns → what they hold (`columns.kind`).
    """
    of = [kinds[column] for column in rule.columns()]
    told = " and ".join(f"{column} holds {kinds[column]}" for column in rule.columns())
    match rule:
        case Between() if of != [rule.kind]:
            return f"its bounds are of kind {rule.kind} and {told}"
        case Mean() if of != ["number"] or rule.kind != "number":
            return f"a mean is of numbers and {told}"
        case InSet() if {_kind(each) for each in rule.value_set} != set(of):
            return f"its values are of another kind, {told}"
        case Pair() if len(set(of)) > 1 or "list" in of:
            return told
        case Distinct() if "list" in of:
            return told
    return ""


def _kind(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"
