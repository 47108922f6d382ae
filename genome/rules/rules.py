"""Rules: a name, what it is about, and a condition (a segment) or a pattern of events (a moment).

A file of rules is TOML or JSON with a list `rule`. Reading checks all of it; a file that was read is right.
The shipped files are in genome/rules/shipped/; docs/rules.md explains every word.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from genome.errors import UsageError
from genome.rules.conditions import AllOf, Condition, fields, parse, refuse_unknown
from genome.settings import Settings

_ID: Final = re.compile(r"[a-z][a-z0-9_]*")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?) ?(second|minute|hour|day)s?")
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
MICROSECONDS: Final = 1_000_000
LATE: Final = 3_600 * MICROSECONDS
"""An event that arrives later than this makes no moment, unless its rule says otherwise."""


ALWAYS: Final = AllOf(())
"""The condition that every event satisfies."""


@dataclass(frozen=True, slots=True)
class Step:
    """Events of these names that satisfy the condition."""

    names: frozenset[str]
    where: Condition = ALWAYS


@dataclass(frozen=True, slots=True)
class Once:
    """Each event of a step is a match."""

    step: Step

    @property
    def steps(self) -> tuple[Step, ...]:
        """The events that it looks at."""
        return (self.step,)


@dataclass(frozen=True, slots=True)
class InOrder:
    """Events of the steps in their order, all within a time: the last one completes the match."""

    order: tuple[Step, ...]
    within: int

    @property
    def steps(self) -> tuple[Step, ...]:
        """The events that it looks at."""
        return self.order


@dataclass(frozen=True, slots=True)
class Count:
    """So many events of a step within a time; the next match can begin when that time has passed."""

    step: Step
    least: int
    within: int

    @property
    def steps(self) -> tuple[Step, ...]:
        """The events that it looks at."""
        return (self.step,)


@dataclass(frozen=True, slots=True)
class Absence:
    """After an event, for a time, none of another step: the time runs anew with each such event."""

    after: Step
    absent: Step
    within: int

    @property
    def steps(self) -> tuple[Step, ...]:
        """The events that it looks at."""
        return (self.after, self.absent)


Pattern = Once | InOrder | Count | Absence


@dataclass(frozen=True, slots=True)
class MomentRule:
    """When something is worth deciding about.

    Attributes:
        id: its name; a moment's id is made with it.
        about: in one sentence.
        moment: what the queue calls the match; several rules may make the same moment.
        pattern: the events, by their own time.
        per: properties or event fields that tell apart what is matched separately (a store, a case).
        late: events that arrive more than so many microseconds after they happened make no moment.
    """

    id: str
    about: str
    moment: str
    pattern: Pattern
    per: tuple[str, ...] = ()
    late: int = LATE


@dataclass(frozen=True, slots=True)
class SegmentRule:
    """Whom a condition on traits and genes describes."""

    id: str
    about: str
    where: Condition


def moments(path: Path | None = None) -> tuple[MomentRule, ...]:
    """The moment rules of a file; without one, the shipped ones."""
    return _read_moments(_text(path, "moments.toml"), str(path or "moments.toml"))


def segments(path: Path | None = None) -> tuple[SegmentRule, ...]:
    """The segment rules of a file; without one, the shipped ones."""
    return _read_segments(_text(path, "segments.toml"), str(path or "segments.toml"))


def own_file(settings: Settings, name: str) -> Path | None:
    """The installation's own rules (`moments` or `segments`), which stand in place of the shipped ones."""
    path = settings.home / "rules" / f"{name}.toml"
    return path if path.is_file() else None


def _text(path: Path | None, shipped: str) -> str:
    if path is None:
        return (resources.files("genome.rules") / "shipped" / shipped).read_text(encoding="utf-8")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}).", "Name a file of rules in TOML or JSON."
        ) from error


@cache
def _read_moments(text: str, name: str) -> tuple[MomentRule, ...]:
    found = tuple(_moment(each, path) for path, each in _entries(text, name))
    _refuse_doubles([rule.id for rule in found], name)
    return found


@cache
def _read_segments(text: str, name: str) -> tuple[SegmentRule, ...]:
    found = tuple(_segment(each, path) for path, each in _entries(text, name))
    _refuse_doubles([rule.id for rule in found], name)
    return found


def _entries(text: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    try:
        document = msgspec.json.decode(text) if name.endswith(".json") else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        raise UsageError(
            f"{name} is no {'JSON' if name.endswith('.json') else 'TOML'}: {error}.", "Mend it."
        ) from error
    rules = document.get("rule") if isinstance(document, dict) else None
    if not isinstance(rules, list) or not all(isinstance(each, dict) for each in rules):
        raise UsageError(f"{name} holds no list of rules.", "Begin each rule with [[rule]].")
    refuse_unknown(document, ("rule",), name)
    return [(f"{name}: rule '{each.get('id', at)}'", each) for at, each in enumerate(rules)]


def _refuse_doubles(ids: list[str], name: str) -> None:
    for each in ids:
        if ids.count(each) > 1:
            raise UsageError(f"{name} has two rules '{each}'.", "Give each rule an id of its own.")


def _named(document: Mapping[str, Any], field: str, path: str) -> str:
    value = document.get(field)
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise UsageError(f"{path}.{field} is {value!r}.", "Write a name in snake_case.")
    return value


def _about(document: Mapping[str, Any], path: str) -> str:
    about = document.get("about")
    if not isinstance(about, str) or not about.strip():
        raise UsageError(f"{path}.about is {about!r}.", "Say in one sentence what the rule is for.")
    return about


def _segment(document: dict[str, Any], path: str) -> SegmentRule:
    refuse_unknown(document, ("id", "about", "where"), path)
    where = parse(document.get("where"), f"{path}.where")
    _refuse_kinds(where, ("trait", "gene"), f"{path}.where")
    return SegmentRule(_named(document, "id", path), _about(document, path), where)


def _moment(document: dict[str, Any], path: str) -> MomentRule:
    refuse_unknown(document, ("id", "about", "moment", "on", "per", "late"), path)
    per = document.get("per", [])
    if not isinstance(per, list) or not all(isinstance(each, str) and each for each in per):
        raise UsageError(f"{path}.per is {per!r}.", "Write a list of names of properties.")
    identity = _named(document, "id", path)
    return MomentRule(
        id=identity,
        about=_about(document, path),
        moment=_named(document, "moment", path) if "moment" in document else identity,
        pattern=_pattern(document.get("on"), f"{path}.on"),
        per=tuple(per),
        late=_duration(document, "late", path) if "late" in document else LATE,
    )


def _pattern(document: Any, path: str) -> Pattern:
    if not isinstance(document, dict):
        raise UsageError(f"{path} is {document!r}.", "Write {event = …}, or sequence, count or after.")
    if "sequence" in document:
        refuse_unknown(document, ("sequence", "within"), path)
        steps = document["sequence"]
        if not isinstance(steps, list) or len(steps) < 2:
            raise UsageError(f"{path}.sequence is {steps!r}.", "Write a list of at least two steps.")
        order = tuple(_step(each, f"{path}.sequence[{at}]") for at, each in enumerate(steps))
        return InOrder(order, _duration(document, "within", path))
    if "count" in document:
        refuse_unknown(document, ("count", "of", "within"), path)
        least = document["count"]
        if not isinstance(least, int) or isinstance(least, bool) or not 2 <= least <= MOST:
            raise UsageError(f"{path}.count is {least!r}.", f"Write a whole number from 2 to {MOST}.")
        return Count(_step(document.get("of"), f"{path}.of"), least, _duration(document, "within", path))
    if "after" in document:
        refuse_unknown(document, ("after", "absent", "within"), path)
        return Absence(
            _step(document["after"], f"{path}.after"),
            _step(document.get("absent"), f"{path}.absent"),
            _duration(document, "within", path),
        )
    return Once(_step(document, path))


MOST: Final = 100
"""So many events of one subject are remembered for one rule."""


def _step(document: Any, path: str) -> Step:
    if not isinstance(document, dict) or "event" not in document:
        raise UsageError(
            f"{path} is {document!r}.", 'Write {event = "Order Completed"}, with where = {…} if need be.'
        )
    refuse_unknown(document, ("event", "where"), path)
    event = document["event"]
    names = [event] if isinstance(event, str) else event
    if not isinstance(names, list) or not names or not all(isinstance(each, str) and each for each in names):
        raise UsageError(f"{path}.event is {event!r}.", "Write an event's name, or a list of names.")
    where = parse(document["where"], f"{path}.where") if "where" in document else ALWAYS
    _refuse_kinds(where, ("event", "property"), f"{path}.where")
    return Step(frozenset(names), where)


def _refuse_kinds(where: Condition, allowed: tuple[str, ...], path: str) -> None:
    for field in sorted(fields(where), key=str):
        if field.kind not in allowed:
            raise UsageError(
                f"{path} looks at {field}.", f"Only {' and '.join(allowed)} can be asked of here."
            )


def _duration(document: Mapping[str, Any], field: str, path: str) -> int:
    """Microseconds."""
    said = document.get(field)
    found = _DURATION.fullmatch(said) if isinstance(said, str) else None
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not 0 < seconds <= 400 * 86_400:
        raise UsageError(f"{path}.{field} is {said!r}.", 'Write a time such as "30 minutes", up to 400 days.')
    return round(seconds * MICROSECONDS)
