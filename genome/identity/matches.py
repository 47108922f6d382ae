"""Contacts that Splink found alike: since when, until when, and what speaks against it.

A likeness is known from when it was found: what Splink learns depends on all cards, so it cannot be said what it
would have found earlier. Where no contact card has come since, the last answer stands.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genome import clock
from genome.identity import likeness, rules
from genome.identity.clusters import Links
from genome.identity.facts import FOREVER, Facts, Floats, Ints, Likenesses, Sources
from genome.identity.lifetimes import REASONS
from genome.identity.rules import Reason
from genome.settings import Settings

_LIKENESS = "1"
"""Of what Splink is asked: raised when the same cards give other likenesses."""


@dataclass(frozen=True)
class Alike:
    """Contacts that were found alike, and when that was found; times as in `Facts`.

    Attributes:
        one: a source key.
        other: another.
        weight: log2 of the odds that they are one person's, when it was last computed.
        start: from when on.
        end: until when; FOREVER where they are alike now.
    """

    one: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    weight: tuple[float, ...] = ()
    start: tuple[int, ...] = ()
    end: tuple[int, ...] = ()


@dataclass(frozen=True)
class Matches:
    """The same as links, with what speaks against them.

    Attributes:
        one: a key.
        other: another.
        weight: as in `Alike`.
        first: when they were found alike.
        end: until when that is followed.
        reason: why not for ever, as a place in `REASONS`; −1 where it is followed now.
    """

    one: Ints
    other: Ints
    weight: Floats
    first: Ints
    end: Ints
    reason: Ints


def cards(sources: Sources) -> str:
    """A hash of what Splink would be asked."""
    return f"{_LIKENESS} {sources.interactions.fingerprint('crm')}"


def found(settings: Settings, sources: Sources, before: Alike) -> Alike:
    """What is alike now, beside what was found before.

    Args:
        settings: where the vault is.
        sources: which files count.
        before: what the last run left.
    """
    if not sources.interactions.files("crm"):
        return before
    told = likeness.contacts(settings, sources, likeness.THRESHOLD - likeness.KEEPS)
    now = round(clock.now(settings).timestamp() * 1_000_000)
    weights = dict(zip(zip(told.one, told.other, strict=True), told.weight, strict=True))
    rows = []
    still = set()
    for one, other, weight, start, end in zip(
        before.one, before.other, before.weight, before.start, before.end, strict=True
    ):
        if end == FOREVER:
            still.add((one, other))
            until = FOREVER if (one, other) in weights else now
            rows.append((one, other, weights.get((one, other), weight), start, until))
        else:
            rows.append((one, other, weight, start, end))
    rows += [
        (*pair, weight, now, FOREVER)
        for pair, weight in weights.items()
        if weight >= likeness.THRESHOLD and pair not in still
    ]
    return Alike(*(tuple(column) for column in zip(*sorted(rows), strict=True))) if rows else Alike()


def read(path: Path) -> Alike:
    """What a run left; nothing where it left none."""
    import pyarrow.parquet as pq

    if not path.is_file():
        return Alike()
    names = list(Alike.__dataclass_fields__)
    return Alike(
        **{name: tuple(each) for name, each in pq.read_table(path, columns=names).to_pydict().items()}
    )


def judged(given: Facts, alike: Likenesses, held: tuple[Ints, Ints]) -> Matches:
    """Likenesses that two accounts, two cards, or a person speak against end there.

    Args:
        given: what the lake says.
        alike: what Splink found.
        held: keys that a person took out of their customer, and since when.
    """
    one, other, start, end = alike.one, alike.other, alike.start, alike.end
    reason = np.where(end < FOREVER, REASONS.index(Reason.NO_LONGER_ALIKE), -1)
    record = ~given.is_typed
    for number, rule in enumerate(rules.LINKS):
        if rule.owner != "contact" or rule.other not in rules.UNIQUE:
            continue
        pairs = np.flatnonzero(record & (given.rule == number))
        # Of several the first that was known stays, written last: it alone was known then.
        pairs = pairs[np.lexsort((given.other[pairs], given.first[pairs]))[::-1]]
        has, since = np.full(given.keys, -1), np.full(given.keys, FOREVER)
        has[given.owner[pairs]], since[given.owner[pairs]] = given.other[pairs], given.first[pairs]
        both = (has[one] >= 0) & (has[other] >= 0) & (has[one] != has[other])
        at = np.where(both, np.maximum(since[one], since[other]), FOREVER)
        earlier = np.maximum(at, start) < end
        end = np.where(earlier, np.maximum(at, start), end)
        reason[earlier] = REASONS.index(Reason.CONFLICT)
    out = np.full(given.keys, FOREVER)
    np.minimum.at(out, held[0], held[1])
    at = np.maximum(np.minimum(out[one], out[other]), start)
    earlier = at < end
    end = np.where(earlier, at, end)
    reason[earlier] = REASONS.index(Reason.BY_A_PERSON)
    return Matches(one, other, alike.weight, start, end, reason)


def joined(decided: Links, matches: Matches) -> Links:
    """What persons decided, and likenesses, as one list of links."""
    some = np.flatnonzero(matches.first < matches.end)
    return Links(
        one=np.concatenate([decided.one, matches.one[some]]),
        other=np.concatenate([decided.other, matches.other[some]]),
        start=np.concatenate([decided.start, matches.first[some]]),
        end=np.concatenate([decided.end, matches.end[some]]),
        is_core=np.ones(len(decided.one) + len(some), bool),
    )
