"""Matching moment rules on events: a pure state machine, so that it can be asked twice and say the same.

For each rule and subject (a source key, and what `per` names) a small state is kept by the caller. `feed`
takes one event and says the new state, the moments that it makes, and when to look again. Time is the
event's: events may come in any order. `due` says what a timer that has run out means.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from genome.rules.conditions import Facts, Predicate, compiled
from genome.rules.rules import MOST, Absence, Count, InOrder, MomentRule, Once, Step


class Seen(msgspec.Struct, array_like=True, gc=False):
    """An event that a rule remembers: when it happened, its id, and which steps it is."""

    at: int
    id: str
    steps: int
    used: bool = False


class State(msgspec.Struct, omit_defaults=True, gc=False):
    """What a rule remembers of a subject.

    Attributes:
        events: for sequences and counts: the newest events, by time.
        after: for absences: when the event happened that started the wait, 0: none.
        after_id: its id.
        absent: when the newest event happened that ends waits, 0: none.
        details: what the moment tells of its event.
    """

    events: list[Seen] = []
    after: int = 0
    after_id: str = ""
    absent: int = 0
    details: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Happened:
    """An event as rules see it.

    Attributes:
        id: the same for the same event, whenever it is delivered.
        name: of the event.
        at: when it happened, in microseconds since 1970.
        received: when the platform could have known, in microseconds.
        subject: whose.
        facts: for conditions: kinds `event` and `property`.
        details: what a moment tells of it.
    """

    id: str
    name: str
    at: int
    received: int
    subject: str
    facts: Facts
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Match:
    """A rule's match: `id` is the same whenever the same events match."""

    id: str
    rule: str
    moment: str
    subject: str
    at: int
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event changes.

    Attributes:
        key: the rule and subject whose state it is.
        state: the new state; None: nothing is remembered any more.
        matches: moments, now.
        look_again: when to call `due`, in microseconds; None: never.
    """

    key: str
    state: State | None
    matches: tuple[Match, ...] = ()
    look_again: int | None = None


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: MomentRule
    steps: tuple[tuple[frozenset[str], Predicate], ...]


_SEPARATOR: Final = "\x1f"


class Matcher:
    """Compiled moment rules, found by the name of an event."""

    def __init__(self, rules: Iterable[MomentRule]) -> None:
        self._by_id: dict[str, _Compiled] = {}
        self._by_name: dict[str, list[_Compiled]] = {}
        for rule in rules:
            made = _Compiled(rule, tuple(_step(step) for step in rule.pattern.steps))
            self._by_id[rule.id] = made
            for name in sorted({name for names, _ in made.steps for name in names}):
                self._by_name.setdefault(name, []).append(made)

    @property
    def names(self) -> frozenset[str]:
        """The events that any rule looks at; all others may pass by."""
        return frozenset(self._by_name)

    def keys(self, event: Happened) -> list[str]:
        """The rules and subjects whose state `feed` wants for this event."""
        return [_key(each.rule, event) for each in self._by_name.get(event.name, ())]

    def feed(self, event: Happened, states: Mapping[str, State]) -> list[Outcome]:
        """What an event means to each rule. States that are not there are empty; none is changed in place."""
        outcomes = []
        for each in self._by_name.get(event.name, ()):
            steps = sum(
                1 << at
                for at, (names, where) in enumerate(each.steps)
                if event.name in names and where(event.facts)
            )
            if steps:
                key = _key(each.rule, event)
                outcomes.append(_fed(each.rule, key, event, steps, states.get(key) or State()))
        return outcomes

    def due(self, key: str, state: State, now: int) -> Outcome | None:
        """What it means that a state's time has come; None: the rule is gone, or nothing has changed.

        Args:
            key: as in the outcome that asked to look again.
            state: as it is now, which may be newer than when that was asked.
            now: in microseconds since 1970.
        """
        rule_id, subject = key.split(_SEPARATOR)[:2]
        found = self._by_id.get(rule_id)
        if found is None:
            return Outcome(key, None)
        pattern = found.rule.pattern
        if isinstance(pattern, Absence):
            return _due_absence(found.rule, pattern, key, subject, state, now)
        if isinstance(pattern, Once):
            return Outcome(key, None)
        last = max((each.at for each in state.events), default=0)
        forget = last + pattern.within + found.rule.late
        return Outcome(key, None) if now >= forget else Outcome(key, state, (), forget)


def _step(step: Step) -> tuple[frozenset[str], Predicate]:
    return step.names, compiled(step.where)


def _key(rule: MomentRule, event: Happened) -> str:
    own = event.facts.get("event", {})
    properties = event.facts.get("property", {})
    parts = [rule.id, event.subject]
    parts += [str(own.get(name) if own.get(name) is not None else properties.get(name)) for name in rule.per]
    return _SEPARATOR.join(part.replace(_SEPARATOR, " ") for part in parts)


def _match(
    rule: MomentRule, key: str, subject: str, event_id: str, at: int, details: Mapping[str, Any]
) -> Match:
    digest = hashlib.blake2b(f"{key}{_SEPARATOR}{event_id}".encode(errors="replace"), digest_size=16)
    return Match(f"m_{digest.hexdigest()}", rule.id, rule.moment, subject, at, details)


def _fed(rule: MomentRule, key: str, event: Happened, steps: int, state: State) -> Outcome:
    is_late = event.received - event.at > rule.late
    match rule.pattern:
        case Once():
            made = () if is_late else (_match(rule, key, event.subject, event.id, event.at, event.details),)
            return Outcome(key, None, made)
        case Absence() as pattern:
            return _fed_absence(pattern, key, event, steps, state, is_late=is_late)
        case InOrder() | Count() as pattern:
            return _fed_window(rule, pattern, key, event, steps, state, is_late=is_late)


# Absence


def _fed_absence(
    pattern: Absence, key: str, event: Happened, steps: int, state: State, *, is_late: bool
) -> Outcome:
    after, after_id, absent, details = state.after, state.after_id, state.absent, state.details
    if steps & 2 and event.at > absent:
        absent = event.at
    # Of two events at one instant the one with the larger id counts, so that their order does not.
    if steps & 1 and not is_late and (event.at, event.id) > (after, after_id):
        after, after_id, details = event.at, event.id, dict(event.details)
    # The end of waits is remembered as long as an event that it answers may still come.
    again = max(after, absent) + pattern.within
    return Outcome(key, State([], after, after_id, absent, details), (), again)


def _due_absence(
    rule: MomentRule, pattern: Absence, key: str, subject: str, state: State, now: int
) -> Outcome:
    waits = state.after > 0 and state.absent < state.after
    if waits and now < state.after + pattern.within:
        return Outcome(key, state, (), state.after + pattern.within)
    made = (
        (_match(rule, key, subject, state.after_id, state.after + pattern.within, state.details),)
        if waits
        else ()
    )
    # What ended a wait, and what a moment was made of, stay known for late events; then all is forgotten.
    forget = max(state.after, state.absent) + pattern.within + rule.late
    if now >= forget:
        return Outcome(key, None, made)
    done = max(state.absent, state.after) if waits else state.absent
    return Outcome(key, State([], state.after, state.after_id, done, {}), made, forget)


# Sequences and counts


def _fed_window(
    rule: MomentRule,
    pattern: InOrder | Count,
    key: str,
    event: Happened,
    steps: int,
    state: State,
    *,
    is_late: bool,
) -> Outcome:
    if is_late or any(each.id == event.id for each in state.events):
        return Outcome(key, state if state.events else None, (), _forget(rule, pattern, state.events))
    events = sorted(
        [
            *(Seen(each.at, each.id, each.steps, each.used) for each in state.events),
            Seen(event.at, event.id, steps),
        ],
        key=lambda each: (each.at, each.id),
    )[-MOST:]
    oldest = events[-1].at - pattern.within - rule.late
    events = [each for each in events if each.at >= oldest]
    if isinstance(pattern, InOrder):
        last = len(pattern.order) - 1
        complete = [
            each
            for each in events
            if each.steps >> last & 1 and not each.used and _leads(events, each, pattern)
        ]
    else:
        complete = _counted(events, pattern)
    for each in complete:
        each.used = True
    made = tuple(_match(rule, key, event.subject, each.id, each.at, event.details) for each in complete)
    return Outcome(key, State(events), made, _forget(rule, pattern, events))


def _forget(rule: MomentRule, pattern: InOrder | Count, events: list[Seen]) -> int | None:
    return max(each.at for each in events) + pattern.within + rule.late if events else None


def _leads(events: list[Seen], end: Seen, pattern: InOrder) -> bool:
    """Whether the earlier steps happened, in order, before `end` and within the time; the latest fit best."""
    at = end
    for step in range(len(pattern.order) - 2, -1, -1):
        before = [
            each
            for each in events
            if each.steps >> step & 1 and (each.at, each.id) < (at.at, at.id) and each is not at
        ]
        if not before:
            return False
        at = before[-1]
    return end.at - at.at <= pattern.within


def _counted(events: list[Seen], pattern: Count) -> list[Seen]:
    """The event that completes a count, unless one did within the time."""
    for at, each in enumerate(events):
        inside = [other for other in events[: at + 1] if each.at - other.at < pattern.within]
        if len(inside) >= pattern.least and not any(
            other.used and abs(other.at - each.at) < pattern.within for other in events
        ):
            return [each]
    return []
