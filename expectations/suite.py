"""A suite: what must hold of one published table beyond its contract. One YAML file each in `suites/`.

    table: feat_customer_traits
    expectations:
      - type: expect_column_values_to_be_between
        kwargs: {column: order_count, min_value: 0}
        why: an order count below zero means that a join has multiplied or lost rows

`type` and `kwargs` are Great Expectations' own, as far as `rules.py` can answer them; `why` is what a person reads
when it fails. Columns, types and nullability are not repeated here: the gate takes them from the dbt contract.

A list column `shares_now` also answers as `shares_now__length`, `shares_now__min`, `shares_now__max` and
`shares_now__sum`, one number for each row.
"""

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from expectations.rules import SUPPORTED, Asked, Mean
from genome.errors import GenomeError

SUITES = Path(__file__).resolve().parent / "suites"


class Rule(BaseModel):
    """One expectation, and the reason that a person reads when it fails.

    Attributes:
        type: Great Expectations' name of it.
        kwargs: its arguments.
        why: what broke, if it fails.
        passes_without_values: a mean is not asked where no row has a value; else it fails, as a mean of nothing does.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(pattern=r"^expect_[a-z_]+$")
    kwargs: dict[str, Any] = Field(default_factory=dict)
    why: str = Field(min_length=10)
    passes_without_values: bool = False

    @model_validator(mode="after")
    def _can_be_answered(self) -> "Rule":
        if self.type not in SUPPORTED:
            raise ValueError(f"the gate cannot answer '{self.type}': use one of {', '.join(SUPPORTED)}")
        asked = self.asked  # its arguments are checked here
        if self.passes_without_values and not isinstance(asked, Mean):
            raise ValueError("passes_without_values is said of a mean: other rules pass over missing values")
        return self

    @cached_property
    def asked(self) -> Asked:
        """Its `kwargs`, checked."""
        return SUPPORTED[self.type].model_validate(self.kwargs)

    def columns(self) -> tuple[str, ...]:
        """Every column that it names."""
        return self.asked.columns()


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
