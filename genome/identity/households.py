"""Households: a level of their own. Whose they are is asked after the persons are known, and joins nobody."""

from dataclasses import dataclass

import numpy as np

from genome.identity.clusters import Beliefs, Links, moments, ranges, runs
from genome.identity.facts import FOREVER, Bools, Ints


@dataclass(frozen=True)
class Members:
    """Who was taken to live in which household, and when; times as in `Beliefs`."""

    household: Ints
    customer: Ints
    known_from: Ints
    known_to: Ints


def resolve(
    owner: Ints, household: Ints, start: Ints, end: Ints, persons: Beliefs, known: Ints
) -> tuple[Beliefs, Members]:
    """Find the members of each household, and whose the household's own key is: a person's while one alone is known.

    Args:
        owner: of each pair that a household has, the person's key.
        household: the household's key.
        start: from when the pair was known, microseconds since 1970.
        end: until when it held.
        persons: beliefs about persons' keys.
        known: of each key, when it became known as a customer's own.
    """
    household, customer, begin, end = _customers_of(owner, household, start, end, persons)
    order = np.argsort(household, kind="stable")
    household, customer, begin, end = (each[order] for each in (household, customer, begin, end))
    heads, number = np.unique(household, return_inverse=True)
    group, at, since, until = moments(number, begin, end)
    # Each pair, once for each moment of its household at which it holds.
    row, moment = ranges(since, until)
    who = customer[row]
    order = np.lexsort((who, moment))
    moment, who = moment[order], who[order]
    new = np.ones(len(moment), bool)
    new[1:] = (moment[1:] != moment[:-1]) | (who[1:] != who[:-1])
    moment, who = moment[new], who[new]
    counts = np.bincount(moment, minlength=len(at))
    alone = counts[moment] == 1
    whose = heads[group].copy()
    whose[moment[alone]] = who[alone]
    keys = runs(heads[group], whose, at, known[heads[group]])
    return keys, _members(heads[group[moment]], who, moment, group, at)


def beside_decisions(own: Beliefs, persons: Beliefs, decided: Links) -> Beliefs:
    """Beliefs about all keys: what a person has decided about a household's key goes, while it holds, before who lives
    there, so that a key stands for one customer at a time.

    Args:
        own: beliefs about households' keys by their members.
        persons: beliefs about all other keys, and about households' keys of which something was decided.
        decided: what was.
    """
    # Decisions are persons' acts, so there are few.
    both = np.intersect1d(own.key, persons.key)
    outside, inside = [own], [persons]
    for key in both:
        mine = (decided.one == key) | (decided.other == key)
        spans = _united(decided.start[mine], decided.end[mine])
        outside.append(_within(own, key, _between(spans)))
        inside.append(_within(persons, key, spans))
    rest = (_where(each[0], ~np.isin(each[0].key, both)) for each in (outside, inside))
    parts = [*rest, *outside[1:], *inside[1:]]
    return Beliefs(*(np.concatenate(columns) for columns in zip(*map(_columns, parts), strict=True)))


def _united(start: Ints, end: Ints) -> list[tuple[int, int]]:
    """Intervals that may overlap, as intervals that do not, in order."""
    spans: list[tuple[int, int]] = []
    for since, until in sorted(zip(start.tolist(), end.tolist(), strict=True)):
        if spans and since <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], until))
        else:
            spans.append((since, until))
    return spans


def _between(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """All time but these intervals."""
    edges = [np.iinfo(np.int64).min, *(edge for span in spans for edge in span), FOREVER]
    return [(edges[at], edges[at + 1]) for at in range(0, len(edges), 2)]


def _within(beliefs: Beliefs, key: int, spans: list[tuple[int, int]]) -> Beliefs:
    """What is believed about a key, as far as it is in these intervals."""
    mine = _where(beliefs, beliefs.key == key)
    found = [
        (mine.key, mine.customer, np.maximum(mine.known_from, since), np.minimum(mine.known_to, until))
        for since, until in spans
    ]
    cut = Beliefs(*(np.concatenate(columns) for columns in zip(_columns(_none()), *found, strict=True)))
    return _where(cut, cut.known_from < cut.known_to)


def _where(beliefs: Beliefs, mask: Bools) -> Beliefs:
    return Beliefs(*(column[mask] for column in _columns(beliefs)))


def _columns(beliefs: Beliefs) -> tuple[Ints, Ints, Ints, Ints]:
    return beliefs.key, beliefs.customer, beliefs.known_from, beliefs.known_to


def _none() -> Beliefs:
    return Beliefs(*(np.zeros(0, np.int64) for _ in range(4)))


def _customers_of(
    owner: Ints, household: Ints, start: Ints, end: Ints, persons: Beliefs
) -> tuple[Ints, Ints, Ints, Ints]:
    """Each pair, once for each customer that its owner was taken for."""
    first = np.searchsorted(persons.key, owner, side="left")
    last = np.searchsorted(persons.key, owner, side="right")
    row, place = ranges(first, last)
    lone = np.flatnonzero(first == last)
    found = (
        np.concatenate([household[row], household[lone]]),
        np.concatenate([persons.customer[place], owner[lone]]),
        np.concatenate([np.maximum(start[row], persons.known_from[place]), start[lone]]),
        np.concatenate([np.minimum(end[row], persons.known_to[place]), end[lone]]),
    )
    some = found[2] < found[3]
    return found[0][some], found[1][some], found[2][some], found[3][some]


def _members(household: Ints, who: Ints, moment: Ints, group: Ints, at: Ints) -> Members:
    """Moments at which somebody is a member, as intervals."""
    order = np.lexsort((moment, who, household))
    household, who, moment = household[order], who[order], moment[order]
    new = np.ones(len(moment), bool)
    new[1:] = (household[1:] != household[:-1]) | (who[1:] != who[:-1]) | (moment[1:] != moment[:-1] + 1)
    heads = np.flatnonzero(new)
    tails = np.append(heads[1:], len(moment)) - 1 if len(heads) else heads
    following = moment[tails] + 1
    inside = following < len(at)
    inside[inside] = group[following[inside]] == group[moment[tails[inside]]]
    end = np.full(len(heads), FOREVER)
    end[inside] = at[following[inside]]
    return Members(household[heads], who[heads], at[moment[heads]], end)
