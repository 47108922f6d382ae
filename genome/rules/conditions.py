"""Conditions: comparisons over an event, its properties, a customer's traits and genes, and all/any/not of them.

A condition is data (a TOML table or a JSON object), read once into the types below and compiled once into
closures. Nothing of it is ever evaluated as code. The same condition is asked in two ways that agree
(tests/rules/ compare them): `compiled` about one subject, `mask` about columns of many.

What is missing (absent, null, not a number) satisfies no comparison but `missing`; `not` turns that round.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt

from genome.errors import UsageError

Kind = Literal["event", "property", "trait", "gene"]
Measure = Literal["share_now", "share_character", "affinity_now", "affinity_character", "trend"]
Scalar = str | float | int | bool

KINDS: Final[tuple[Kind, ...]] = ("event", "property", "trait", "gene")
MEASURES: Final[tuple[Measure, ...]] = (
    "share_now",
    "share_character",
    "affinity_now",
    "affinity_character",
    "trend",
)
EVENT_FIELDS: Final = ("name", "channel", "source", "seller_id", "product_id", "store_id", "quantity")
"""What a condition may ask of an event itself; everything else that it carries is a property."""

ORDERING: Final = ("<", "<=", ">", ">=")
MEMBERSHIP: Final = ("in", "not in")
TEXTUAL: Final = ("contains", "starts with")
PRESENCE: Final = ("present", "missing")
OPERATORS: Final = ("=", "!=", *ORDERING, *MEMBERSHIP, *TEXTUAL, *PRESENCE)


@dataclass(frozen=True, slots=True)
class Field:
    """What is looked at: a field of the event, one of its properties, a trait, or a measure of a gene."""

    kind: Kind
    name: str
    measure: Measure = "share_character"

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" {self.measure}" if self.kind == "gene" else "")


@dataclass(frozen=True, slots=True)
class Compare:
    """A field compared with a value (a tuple of values for `in`, None for `present` and `missing`)."""

    field: Field
    operator: str
    value: Scalar | tuple[Scalar, ...] | None = None


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of them; none at all is true."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of them; none at all is false."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary."""

    part: "Condition"


Condition = Compare | AllOf | AnyOf | Not
Facts = Mapping[str, Mapping[str, Any]]
"""Kind → name → value; a gene's value is a mapping of its measures."""
Predicate = Callable[[Facts], bool]
Column = tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]
"""Values, and which of them are there."""


# Reading


def parse(document: Any, path: str = "where") -> Condition:
    """Read a condition.

    Args:
        document: as TOML or JSON gives it.
        path: where it stands, for errors.

    Raises:
        UsageError: it names the field, the value, and what is allowed there.
    """
    if not isinstance(document, dict):
        raise UsageError(f"{path} is {document!r}, no condition.", f"Write {_FORMS}.")
    combined = [name for name in ("all", "any", "not") if name in document]
    if combined:
        refuse_unknown(document, (combined[0],), path)
        inside = document[combined[0]]
        if combined[0] == "not":
            return Not(parse(inside, f"{path}.not"))
        if not isinstance(inside, list):
            raise UsageError(f"{path}.{combined[0]} is {inside!r}.", "Write a list of conditions.")
        parts = tuple(parse(each, f"{path}.{combined[0]}[{at}]") for at, each in enumerate(inside))
        return AllOf(parts) if combined[0] == "all" else AnyOf(parts)
    return _compare(document, path)


_FORMS: Final = "{all = […]}, {any = […]}, {not = {…}} or a comparison such as {trait = …, is = …, value = …}"


def refuse_unknown(document: Mapping[str, Any], allowed: Sequence[str], path: str) -> None:
    """Refuse a name that is not among those that may stand here: a misspelt one would be obeyed by silence."""
    for name in document:
        if name not in allowed:
            raise UsageError(f"{path} says '{name}', which is not known here.", f"Say {', '.join(allowed)}.")


def _compare(document: dict[str, Any], path: str) -> Compare:
    named = [kind for kind in KINDS if kind in document]
    if len(named) != 1:
        raise UsageError(
            f"{path} names {' and '.join(named) or 'nothing'} to look at.",
            f"Write {_FORMS}; one of {', '.join(KINDS)}.",
        )
    kind = named[0]
    refuse_unknown(document, (kind, "is", "value", *(("measure",) if kind == "gene" else ())), path)
    name = document[kind]
    if not isinstance(name, str) or not name:
        raise UsageError(f"{path}.{kind} is {name!r}.", "Write its name as text.")
    if kind == "event" and name not in EVENT_FIELDS:
        raise UsageError(
            f"{path}.event is '{name}'.", f"Write one of {', '.join(EVENT_FIELDS)}; all else is a property."
        )
    if kind == "gene" and ":" not in name:
        raise UsageError(f"{path}.gene is '{name}'.", "Write a gene's id, `<locus>:<allele>`.")
    measure = document.get("measure", "share_character")
    if measure not in MEASURES:
        raise UsageError(f"{path}.measure is {measure!r}.", f"Write one of {', '.join(MEASURES)}.")
    operator = document.get("is", "=")
    if operator not in OPERATORS:
        raise UsageError(f"{path}.is is {operator!r}.", f"Write one of {', '.join(OPERATORS)}.")
    return Compare(Field(kind, name, measure), operator, _value(document, operator, path))


def _value(document: dict[str, Any], operator: str, path: str) -> Scalar | tuple[Scalar, ...] | None:
    value = document.get("value")
    where = f"{path}.value is {value!r}"
    if operator in PRESENCE:
        if value is not None:
            raise UsageError(f"{where}.", f"Leave it out: '{operator}' takes none.")
        return None
    if operator in MEMBERSHIP:
        if not isinstance(value, list) or not value or not all(_is_scalar(each) for each in value):
            raise UsageError(f"{where}.", f"Write a list of texts or numbers: '{operator}' takes one.")
        return tuple(value)
    if not _is_scalar(value):
        raise UsageError(
            f"{where}.", f"Write a text, a finite number, true or false: '{operator}' takes one."
        )
    if operator in ORDERING and (isinstance(value, bool | str)):
        raise UsageError(f"{where}.", f"Write a number: '{operator}' compares numbers.")
    if operator in TEXTUAL and not isinstance(value, str):
        raise UsageError(f"{where}.", f"Write a text: '{operator}' looks into one.")
    return cast("Scalar", value)


def _is_scalar(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int | bool)


# One subject


def compiled(condition: Condition) -> Predicate:
    """The condition as a function of one subject's facts."""
    match condition:
        case AllOf(parts):
            every = [compiled(part) for part in parts]
            return lambda facts: all(part(facts) for part in every)
        case AnyOf(parts):
            some = [compiled(part) for part in parts]
            return lambda facts: any(part(facts) for part in some)
        case Not(part):
            inner = compiled(part)
            return lambda facts: not inner(facts)
        case Compare():
            return _compiled(condition)


def _compiled(compare: Compare) -> Predicate:
    kind, name, measure = compare.field.kind, compare.field.name, compare.field.measure
    test = _test(compare)
    nothing: Mapping[str, Any] = {}
    if kind == "gene":
        return lambda facts: test((facts.get("gene", nothing).get(name) or nothing).get(measure))
    return lambda facts: test(facts.get(kind, nothing).get(name))


def _test(compare: Compare) -> Callable[[Any], bool]:
    """A function of the value found, which may be anything: properties are somebody else's."""
    operator, wanted = compare.operator, compare.value
    if operator == "present":
        return lambda found: not _is_missing(found)
    if operator == "missing":
        return _is_missing
    if operator == "contains":
        text = str(wanted)
        return lambda found: isinstance(found, str) and text in found
    if operator == "starts with":
        text = str(wanted)
        return lambda found: isinstance(found, str) and found.startswith(text)
    if operator in MEMBERSHIP:
        several = cast("tuple[Scalar, ...]", wanted)
        expected = operator == "in"
        return lambda found: (
            not _is_missing(found) and any(_equal(found, each) for each in several) is expected
        )
    if operator in ("=", "!="):
        one = cast("Scalar", wanted)
        expected = operator == "="
        return lambda found: not _is_missing(found) and _equal(found, one) is expected
    number = float(cast("float", wanted))
    ordered = _ORDER[operator]

    def compares(found: Any) -> bool:
        as_number = _number(found)
        return as_number is not None and bool(ordered(as_number, number))

    return compares


_ORDER: Final[dict[str, Callable[[Any, float], Any]]] = {
    "<": lambda found, wanted: found < wanted,
    "<=": lambda found, wanted: found <= wanted,
    ">": lambda found, wanted: found > wanted,
    ">=": lambda found, wanted: found >= wanted,
}


def _is_missing(found: Any) -> bool:
    return found is None or (isinstance(found, float) and math.isnan(found))


def _number(found: Any) -> float | None:
    """A number; clients send many as text ("18.99")."""
    if isinstance(found, bool):
        return None
    if isinstance(found, str):
        try:
            found = float(found)
        except ValueError:
            return None
    return float(found) if isinstance(found, int | float) and not math.isnan(found) else None


def _equal(found: Any, wanted: Scalar) -> bool:
    if isinstance(wanted, bool):
        return found is wanted or (isinstance(found, str) and found.casefold() == str(wanted).casefold())
    if isinstance(wanted, str):
        return isinstance(found, str) and found == wanted
    return _number(found) == float(wanted)


# Many subjects


def mask(condition: Condition, column: Callable[[Field], Column], count: int) -> npt.NDArray[np.bool_]:
    """Which of many subjects satisfy the condition.

    Args:
        condition: what is asked.
        column: gives a field's values for all subjects, and which of them are there (`column_of` makes one
            from an Arrow array).
        count: how many subjects there are.
    """
    match condition:
        case AllOf(parts):
            found = np.ones(count, bool)
            for part in parts:
                found &= mask(part, column, count)
            return found
        case AnyOf(parts):
            found = np.zeros(count, bool)
            for part in parts:
                found |= mask(part, column, count)
            return found
        case Not(part):
            return ~mask(part, column, count)
        case Compare():
            return _mask(condition, *column(condition.field))


def column_of(array: Any) -> Column:
    """An Arrow array (numbers, booleans or text) as the column that `mask` reads."""
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    there = ~array.is_null().to_numpy(zero_copy_only=False)
    values = array.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f":
        there &= ~np.isnan(values)
    return values, there


def _mask(compare: Compare, values: npt.NDArray[Any], there: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    operator = compare.operator
    if operator == "present":
        return there.copy()
    if operator == "missing":
        return ~there
    found = np.zeros(len(values), bool)
    if values.dtype.kind in "iuf" and operator not in TEXTUAL:
        return there & _numeric(compare, values)
    # Text and booleans: each different value is judged once.
    known = values[there]
    if len(known):
        different, which = np.unique(known.astype(object).astype(str), return_inverse=True)
        first = np.zeros(len(different), np.int64)
        first[which[::-1]] = np.arange(len(known))[::-1]
        test = _test(compare)
        verdicts = np.array([test(_plain(known[at])) for at in first], bool)
        found[there] = verdicts[which]
    return found


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _numeric(compare: Compare, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    operator = compare.operator
    if operator in ORDERING:
        return np.asarray(_ORDER[operator](values, float(cast("float", compare.value))))
    several = compare.value if isinstance(compare.value, tuple) else (compare.value,)
    numbers = [
        float(each) for each in several if isinstance(each, int | float) and not isinstance(each, bool)
    ]
    same = np.isin(values, numbers)
    return same if operator in ("=", "in") else ~same


def fields(condition: Condition) -> set[Field]:
    """Every field that a condition looks at."""
    match condition:
        case AllOf(parts) | AnyOf(parts):
            return {each for part in parts for each in fields(part)}
        case Not(part):
            return fields(part)
        case Compare():
            return {condition.field}
