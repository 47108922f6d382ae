"""Placements: where an offer can appear, and what may appear there. They are data: `placements.toml`."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Kind = Literal["cross_sell", "up_sell", "substitute", "resume", "retention", "welcome", "service"]


class Placement(BaseModel):
    """One place for offers, with its rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    placement: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    description: str = Field(min_length=1)
    channels: tuple[str, ...] = Field(min_length=1, description="channels through which it is seen")
    kinds: tuple[Kind, ...] = Field(min_length=1, description="kinds of offers that may appear")
    count: int = Field(ge=1, le=20, description="at most so many offers at once")
    min_score: float = Field(ge=0, description="silence's own score: an offer must reach it")
    max_age_hours: float = Field(gt=0, description="older scores than this are not used")


@dataclass(frozen=True)
class Placements:
    """All placements, and the version of the text they came from."""

    version: str
    by_name: Mapping[str, Placement]

    def get(self, name: str) -> Placement | None:
        """The placement of that name, if there is one."""
        return self.by_name.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of the file."""
        return tuple(self.by_name)


def parse(text: str) -> Placements:
    """Read placements from TOML; the first fault is an error that names the placement and the field.

    Raises:
        ValueError: the text is no TOML, has no placement, or breaks a rule of `Placement`.
    """
    tables = tomllib.loads(text)
    if not tables:
        raise ValueError("placements.toml names no placement")
    found = {}
    for name, table in tables.items():
        try:
            found[name] = Placement.model_validate({"placement": name, **table})
        except (ValidationError, TypeError) as error:
            if not isinstance(error, ValidationError):
                raise ValueError(f"placements.toml: '{name}' is no table; write [{name}]") from error
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"placements.toml: [{name}] {field}: {first['msg']}") from error
    return Placements(hashlib.sha256(text.encode()).hexdigest()[:12], found)


def packaged() -> Placements:
    """The placements that come with this code."""
    return parse(resources.files("genome.decisions").joinpath("placements.toml").read_text(encoding="utf-8"))
