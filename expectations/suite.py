"""A suite: what must hold of one published table beyond its contract. One YAML file each in `suites/`.

    table: feat_customer_traits
    expectations:
      - type: expect_column_values_to_be_between
        kwargs: {column: order_count, min_value: 0}
        why: an order count below zero means that a join has multiplied or lost rows

`type` and `kwargs` are Great Expectations' own; `why` is what a person reads when it fails. Columns, types
and nullability are not repeated here: the gate takes them from the dbt contract.

A list column `shares_now` also answers as `shares_now__length`, `shares_now__min`, `shares_now__max` and
`shares_now__sum`, one number for each row.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genome.errors import GenomeError

SUITES = Path(__file__).resolve().parent / "suites"
MEASURES = ("length", "min", "max", "sum")
"""What a list column can be asked for, behind `__`."""

_COLUMN_ARGUMENTS = ("column", "column_A", "column_B", "column_list", "column_set")


class Rule(BaseModel):
    """One expectation, and the reason that a person reads when it fails."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(pattern=r"^expect_[a-z_]+$")
    kwargs: dict[str, Any] = Field(default_factory=dict)
    why: str = Field(min_length=10)

    def columns(self) -> list[str]:
        """Every column that it names."""
        named: list[str] = []
        for argument in _COLUMN_ARGUMENTS:
            value = self.kwargs.get(argument)
            named += value if isinstance(value, list) else [value] if value else []
        return named


class Volume(BaseModel):
    """How far the number of rows may move from one publication to the next."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_least: int = Field(0, ge=0)
    shrink_at_most: float = Field(0.2, ge=0, le=1)


class Suite(BaseModel):
    """What must hold of one published table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str
    volume: Volume = Volume()
    expectations: tuple[Rule, ...] = ()

    def columns(self) -> list[str]:
        """Every column that some expectation names, as the suite writes it."""
        return sorted({column for rule in self.expectations for column in rule.columns()})


@cache
def suites(folder: Path = SUITES) -> Mapping[str, Suite]:
    """Every suite, by the table it is about.

    Raises:
        GenomeError: a file that is no suite; it names the file, the field and the value.
    """
    found: dict[str, Suite] = {}
    for path in sorted(folder.glob("*.yml")):
        try:
            suite = Suite.model_validate(yaml.safe_load(path.read_text()))
        except (ValidationError, yaml.YAMLError) as error:
            raise GenomeError(f"{path} is no suite: {error}.", "Mend the field that it names.") from error
        if suite.table != path.stem:
            raise GenomeError(
                f"{path} is about table '{suite.table}'.",
                f"Name the file {suite.table}.yml, or mend its table.",
            )
        found[suite.table] = suite
    return found
