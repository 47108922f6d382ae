"""From when until when each link holds, by known time: the rules, over arrays.

A link holds from when it was proved until something becomes known that speaks against it. What a link is worth at a
time depends on nothing that became known later, so that a past belief can be told again exactly.
"""

from dataclasses import dataclass

import numpy as np

from genome.identity import rules
from genome.identity.facts import FOREVER, Bools, Facts, Ints
from genome.identity.rules import Reason

REASONS: tuple[Reason, ...] = tuple(Reason)
_NUMBER = {reason: number for number, reason in enumerate(REASONS)}


@dataclass(frozen=True)
class Lifetimes:
    """Of each pair of `Facts`, when it holds. Times are microseconds since 1970, UTC; half-open.

    Attributes:
        start: from when; FOREVER where it never was proved.
        end: until when; at or before `start` where it never held; FOREVER where nothing speaks against it.
        reason: why it ended or never held, as a place in `REASONS`; −1 where it holds.
    """

    start: Ints
    end: Ints
    reason: Ints

    @property
    def holds_ever(self) -> Bools:
        """Pairs that held at some time."""
        return self.start < self.end


def lifetimes(facts: Facts, held: tuple[Ints, Ints]) -> Lifetimes:
    """Apply the rules.

    Args:
        facts: the pairs.
        held: keys that a person took out of their customer, and since when.
    """
    owner_kind, other_kind, most, to_household = _rule_columns(facts)
    kinds = np.int64(len(facts.kinds) + len(rules.LINKS) + 1)
    by_other = facts.other * kinds + owner_kind
    by_owner = facts.owner * kinds + other_kind
    on_record = ~facts.is_typed
    start = np.where(on_record, facts.first, facts.again)
    end = np.full(len(start), FOREVER)
    reason = np.full(len(start), -1)

    def ends(rows: Bools, at: Ints, why: Reason) -> None:
        """Let these pairs end at these times, where that is earlier than what they have."""
        earlier = rows & (at < end)
        end[earlier] = at[earlier]
        reason[earlier] = _NUMBER[why]

    # A household may have several owners; all others have one of each kind.
    shareable = ~to_household
    proved = on_record & shareable
    one = np.ones(len(start), np.int64)
    ends(proved, _nth(by_other, start, proved, one), Reason.SHARED)
    over = _nth(by_owner, start, on_record, most)
    unique = np.isin(other_kind, [number for number, kind in enumerate(facts.kinds) if kind in rules.UNIQUE])
    ends(on_record & unique, over, Reason.CONFLICT)
    ends(on_record & ~unique, over, Reason.TOO_MANY)

    typed = facts.is_typed & shareable
    if typed.any():
        ends(typed, _nth(by_other, start, typed, one), Reason.SHARED)
        against = np.minimum(
            _first_of_others(by_other, facts.owner, start, proved),
            _first_of_others(by_owner, facts.other, start, proved),
        )
        ends(typed, against, Reason.TYPED_AGAINST_RECORD)
        once = typed & (start == FOREVER) & (reason < 0)
        reason[once] = _NUMBER[Reason.TYPED_ONCE]
        end[once] = facts.first[once]

    since = np.full(facts.keys, FOREVER)
    np.minimum.at(since, held[0], held[1])
    apart = np.minimum(since[facts.owner], since[facts.other])
    ends(apart < FOREVER, apart, Reason.BY_A_PERSON)
    return Lifetimes(start, end, reason)


def _rule_columns(facts: Facts) -> tuple[Ints, Ints, Ints, Bools]:
    """Of each pair: the owner's kind, the other's kind, how many an owner may have, whether it is a household's."""
    number = {kind: place for place, kind in enumerate(facts.kinds)}
    # A kind that a rule names and nobody has gets a number of its own.
    for rule in rules.LINKS:
        for kind in (rule.owner, rule.other):
            number.setdefault(kind, len(number))
    table = np.array([(number[each.owner], number[each.other], each.most) for each in rules.LINKS], np.int64)
    household = np.array([each.other == rules.HOUSEHOLD for each in rules.LINKS])
    of = table[facts.rule]
    return of[:, 0], of[:, 1], of[:, 2], household[facts.rule]


def _nth(group: Ints, start: Ints, rows: Bools, most: Ints) -> Ints:
    """Of each row, when its group had more than `most` members: the time of the one after them; else FOREVER."""
    places = np.flatnonzero(rows & (start < FOREVER))
    places = places[np.lexsort((start[places], group[places]))]
    of = group[places]
    heads = np.flatnonzero(np.diff(of, prepend=-1) != 0)
    sizes = np.diff(np.append(heads, len(of)))
    limit = most[places[heads]]
    at = np.full(len(heads), FOREVER)
    over = sizes > limit
    at[over] = start[places[heads[over] + limit[over]]]
    found = np.full(len(start), FOREVER)
    found[places] = np.repeat(at, sizes)
    return found


def _first_of_others(group: Ints, mine: Ints, start: Ints, rows: Bools) -> Ints:
    """Of each row, the earliest start of those `rows` of its group that are about something else than `mine`."""
    places = np.flatnonzero(rows)
    found = np.full(len(start), FOREVER)
    if not len(places):
        return found
    places = places[np.lexsort((start[places], group[places]))]
    of = group[places]
    heads = np.flatnonzero(np.diff(of, prepend=-1) != 0)
    next_place = np.minimum(heads + 1, len(of) - 1)
    has_second = of[next_place] == of[heads]
    has_second &= next_place > heads
    first, first_is = start[places[heads]], mine[places[heads]]
    second = np.where(has_second, start[places[next_place]], FOREVER)
    where = np.searchsorted(of[heads], group)
    inside = where < len(heads)
    where = np.minimum(where, len(heads) - 1)
    inside &= of[heads][where] == group
    other = np.where(first_is[where] == mine, second[where], first[where])
    found[inside] = other[inside]
    return found
