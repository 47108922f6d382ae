"""Who is who, from the lake: the step before a build.

    lake/identifiers ──► pairs ──► lifetimes (rules) ──► clusters at every known time ──► lake/_identity/…/*.parquet
    identity vault ──► Splink, in memory ──► matches of contacts ──┘
    persons' decisions (lake/identity_decisions) ──────────┘

dbt reads what this writes as sources and publishes it (`fct_customer_keys`, `fct_identity_links`, `dim_households`).
A belief about known time K depends on nothing that became known later, so a second run, or one over a longer history,
tells the same about K. A run continues the one before: it reads the batches that have landed since (`kept.py`) and
resolves the components that they touch (`components.py`); what it leaves is what a run from nothing leaves.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from genome import clock
from genome.identity import clusters, components, facts, households, kept, matches, rules, sightings, tables
from genome.identity.clusters import Beliefs, Links
from genome.identity.facts import FOREVER, Bools, Decisions, Facts, Ints, Sources
from genome.identity.kept import Kept
from genome.identity.lifetimes import REASONS, Lifetimes, lifetimes
from genome.identity.matches import Alike
from genome.identity.rules import Reason
from genome.identity.tables import Found
from genome.identity.vault import Vault
from genome.lake import files, layout
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Resolved:
    """What a run found; `skipped` when nothing new had landed.

    Attributes:
        fingerprint: of what it was made from.
        keys: keys that are linked, or were.
        links: links that hold now.
        refused: links that do not.
        matches: links among them that Splink found.
        customers: clusters of more than one key that hold now.
        merged: keys that belong to a customer of another name now.
        households: households whose members are known.
        anew: why it began from nothing; empty where it continued the run before.
        batches: so many batches were read.
        again: so many keys were resolved again.
        seconds: how long it took.
    """

    fingerprint: str
    keys: int = 0
    links: int = 0
    refused: int = 0
    matches: int = 0
    customers: int = 0
    merged: int = 0
    households: int = 0
    anew: str = ""
    batches: int = 0
    again: int = 0
    seconds: float = 0.0
    skipped: bool = False

    def summary(self) -> dict[str, Any]:
        """What a task returns."""
        if self.skipped:
            return {"skipped": "nothing new has landed since the last resolution"}
        return {name: value for name, value in vars(self).items() if name not in ("fingerprint", "skipped")}


def current(settings: Settings) -> Mapping[str, Path]:
    """The files of the last resolution by the names of `kept.TABLES`; none before the first."""
    told = kept.pointer(settings)
    folder = kept.folder(settings) / told["version"] if told else None
    return {name: folder / f"{name}.parquet" for name in kept.TABLES} if folder else {}


def digest(settings: Settings) -> str:
    """A hash of the last resolution's results; empty before the first."""
    return str(kept.pointer(settings).get("digest", ""))


def resolve(settings: Settings, *, force: bool = False) -> Resolved:
    """Resolve what has landed and leave it for the next build.

    Args:
        settings: where the state is.
        force: also when nothing new has landed, and from nothing.
    """
    started = time.monotonic()
    folder = kept.folder(settings)
    files.make_folder(folder)
    with files.exclusive(folder / "resolve.lock", patience_seconds=1800):
        sources = Sources.of(settings)
        equal = _equal_keys(settings)
        print_of = _fingerprint(sources, equal)
        before = kept.pointer(settings)
        if not force and before.get("fingerprint") == print_of:
            return Resolved(print_of, skipped=True)
        version = f"made-{time.time_ns():020d}"
        cards = matches.cards(sources)
        alike = matches.read(folder / before["version"] / f"{kept.LIKENESS}.parquet") if before else Alike()
        if before.get("cards") != cards:
            alike = matches.found(settings, sources, alike)
        last, anew = kept.last(settings, sources)
        if force:
            last, anew = Kept(), "it was asked for"
        with facts.reading(settings) as con:
            _tell(con, sources, alike, equal)
            last, anew = _read(con, sources, last, anew)
            if anew:
                log.info("identity_resolved_anew", reason=anew)
            found, hashes = _resolve(con, sources, last, folder / version)
            batches, again = (con.table(name).shape[0] for name in ("fresh_batches", "part_keys"))
        files.write_json(
            folder / "current.json",
            {
                "version": version,
                "cards": cards,
                "fingerprint": print_of,
                "digest": tables.digest(hashes),
                "made_at": clock.now(settings).isoformat(),
                "kept": found.document(hashes),
            },
        )
        for old in sorted(folder.glob("made-*"))[:-2]:
            shutil.rmtree(old)
    figures: dict[str, Any] = dict(found.figures)
    return Resolved(
        fingerprint=print_of,
        **figures,
        anew=anew,
        batches=batches,
        again=again,
        seconds=round(time.monotonic() - started, 2),
    )


def _tell(
    con: "duckdb.DuckDBPyConnection", sources: Sources, alike: Alike, equal: Sequence[tuple[str, str]]
) -> None:
    """Make the tables of `kept.TOLD`: what joins two keys and is no pair of the lake."""
    sightings.decided(con, sources)
    kept.tell(con, kept.LIKENESS, vars(alike))
    ones, others = zip(*equal, strict=True) if equal else ((), ())
    kept.tell(con, "turned", {"one": ones, "other": others})


def _read(con: "duckdb.DuckDBPyConnection", sources: Sources, last: Kept, anew: str) -> tuple[Kept, str]:
    """Read what `last` does not hold; everything, where it cannot be continued."""

    def unread(of: Kept) -> tuple[list[Path], list[Path]]:
        kept.show(con, of)
        own, further = (of.unread(sources, kind) for kind in (layout.INTERACTIONS, layout.IDENTIFIERS))
        sightings.batches(con, own, further)
        return own, further

    own, further = unread(last)
    if not anew:
        anew = kept.objection(con, sources)
        if anew:
            last = Kept()
            own, further = unread(last)
    sightings.read(con, sources, own, further)
    return last, anew


def _resolve(
    con: "duckdb.DuckDBPyConnection", sources: Sources, last: Kept, where: Path
) -> tuple[Kept, dict[str, str]]:
    """Resolve what is touched and write everything; returns what the next run continues, and each file's SHA-256."""
    next_key = components.choose(con, last.next_key)
    next_component = components.label(con, last.next_component)
    tables.begin(con)
    for low, high in components.slices(con):
        tables.add(con, _slice(con, low, high))
    figures = tables.figures(con, last.figures)
    hashes = tables.write(con, where)
    paths = (
        path
        for kind in (layout.INTERACTIONS, layout.IDENTIFIERS)
        for path in sources.interactions.data_files(kind_of=kind)
    )
    found = Kept(where, tuple(sorted(paths)), kept.retired(sources), next_key, next_component, figures)
    return found, hashes


def _slice(con: "duckdb.DuckDBPyConnection", low: int, high: int) -> Found:
    """Everything about the components from `low` up to `high`."""
    given = facts.of_slice(con, low, high)
    decided, held = _decided(facts.decisions(con))
    alike = matches.judged(given, facts.likenesses(con), held)
    declared = _with_equals(given, matches.joined(decided, alike), facts.turned(con))
    found, times, followed = persons(given, declared, held)
    mine = np.flatnonzero(~followed & times.holds_ever)
    own, members = households.resolve(
        given.owner[mine], given.other[mine], times.start[mine], times.end[mine], found, given.known
    )
    times = _without_households(given, times, mine, found, own)
    return Found(given, times, alike, households.beside_decisions(own, found, decided), members)


def _equal_keys(settings: Settings) -> list[tuple[str, str]]:
    """Keys that are one identifier's under two keys of the tokeniser: after a rotation."""
    if not settings.identity_vault.is_file():
        return []
    vault = Vault(settings)
    try:
        pairs = vault.equals()
    finally:
        vault.close()
    kinds = ((rules.TOKEN_KINDS.get(token.partition("_")[0]), token, other) for token, other in pairs)
    return [
        (rules.source_key(kind, token), rules.source_key(kind, other))
        for kind, token, other in kinds
        if kind is not None
    ]


def _with_equals(given: Facts, declared: Links, turned: tuple[Ints, Ints]) -> Links:
    """The same, with the tokens of one identifier joined from when both were met."""
    one, other = turned
    seen = given.known.copy()
    np.minimum.at(seen, given.owner, given.first)
    np.minimum.at(seen, given.other, given.first)
    start = np.maximum(seen[one], seen[other])
    met = np.flatnonzero(start < FOREVER)
    return Links(
        one=np.concatenate([declared.one, one[met]]),
        other=np.concatenate([declared.other, other[met]]),
        start=np.concatenate([declared.start, start[met]]),
        end=np.concatenate([declared.end, np.full(len(met), FOREVER)]),
        is_core=np.concatenate([declared.is_core, np.ones(len(met), bool)]),
    )


def persons(given: Facts, decided: Links, held: tuple[Ints, Ints]) -> tuple[Beliefs, Lifetimes, Bools]:
    """Whom each key stood for, by the rules and by what was decided; households are left for afterwards.

    Args:
        given: what the lake says.
        decided: links that a person, or Splink, made.
        held: keys that a person took out of their customer, and since when.

    Returns:
        The beliefs; when each pair held, conflicts of clusters included; and which pairs are between persons.
    """
    times = lifetimes(given, held)
    between = ~np.array([rule.other == rules.HOUSEHOLD for rule in rules.LINKS])[given.rule]
    followed = np.flatnonzero(times.holds_ever & between)
    core = np.array([{rule.owner, rule.other} <= set(rules.UNIQUE) for rule in rules.LINKS])
    links = Links(
        one=np.concatenate([given.owner[followed], decided.one]),
        other=np.concatenate([given.other[followed], decided.other]),
        start=np.concatenate([times.start[followed], decided.start]),
        end=np.concatenate([times.end[followed], decided.end]),
        is_core=np.concatenate([core[given.rule[followed]], np.ones(len(decided.one), bool)]),
    )
    beliefs, conflicts = clusters.resolve(links, _rank(given), _unique(given), given.known)
    at_fault = conflicts.link < len(followed)
    return beliefs, _ended(times, followed[conflicts.link[at_fault]], conflicts.at[at_fault]), between


def nothing_decided() -> tuple[Links, tuple[Ints, Ints]]:
    """What `persons` is given where nobody has merged or unmerged anything."""
    none = np.zeros(0, np.int64)
    return Links(none, none, none, none, np.zeros(0, bool)), (none, none)


def _rank(given: Facts) -> Ints:
    """Each key's place in the order in which they became known; keys are numbered in the order of their text."""
    rank = np.empty(given.keys, np.int64)
    rank[np.lexsort((np.arange(given.keys), given.known))] = np.arange(given.keys)
    return rank


def _unique(given: Facts) -> Ints:
    """Of each key, which of the kinds that a person has once; −1 for the others."""
    number = {kind: place for place, kind in enumerate(rules.UNIQUE)}
    return np.array([number.get(kind, -1) for kind in given.kinds] or [-1], np.int64)[given.kind]


def _decided(given: Decisions) -> tuple[Links, tuple[Ints, Ints]]:
    """Merges as links, and keys that were taken out of their customer with the time since when.

    A decision is a person's act, so there are few, and they are taken one after the other: an unmerge ends the merge
    of the same two keys; where there is none, it takes the second key out of the customer that rules put it in.
    """
    begun: dict[tuple[int, int], int] = {}
    links: list[tuple[int, int, int, int]] = []
    held: dict[int, int] = {}
    for one, other, at, is_merge in zip(given.one, given.other, given.at, given.is_merge, strict=True):
        pair = (min(int(one), int(other)), max(int(one), int(other)))
        if is_merge:
            begun.setdefault(pair, int(at))
        elif pair in begun:
            links.append((*pair, begun.pop(pair), int(at)))
        else:
            held.setdefault(int(other), int(at))
    links += [(*pair, at, FOREVER) for pair, at in begun.items()]
    table = np.array(links, np.int64).reshape(-1, 4)
    table = table[table[:, 2] < table[:, 3]]
    out = np.array(list(held.items()), np.int64).reshape(-1, 2)
    return (
        Links(table[:, 0], table[:, 1], table[:, 2], table[:, 3], np.ones(len(table), bool)),
        (out[:, 0], out[:, 1]),
    )


def _ended(times: Lifetimes, rows: Ints, at: Ints) -> Lifetimes:
    """The same, with conflicts in clusters noted."""
    end, reason = times.end.copy(), times.reason.copy()
    earlier = at < end[rows]
    end[rows[earlier]] = at[earlier]
    reason[rows[earlier]] = REASONS.index(Reason.CONFLICT)
    return Lifetimes(times.start, end, reason)


def _without_households(
    given: Facts, times: Lifetimes, pairs: Ints, persons: Beliefs, own: Beliefs
) -> Lifetimes:
    """The same, with the households noted that are nobody's own, and since when."""
    whose, of_owner = np.arange(given.keys), np.arange(given.keys)
    now = persons.known_to == FOREVER
    of_owner[persons.key[now]] = persons.customer[now]
    now = own.known_to == FOREVER
    whose[own.key[now]] = own.customer[now]
    since = np.zeros(given.keys, np.int64)
    np.maximum.at(since, own.key[~now], own.known_to[~now])
    household = given.other[pairs]
    several = (times.end[pairs] == FOREVER) & (whose[household] != of_owner[given.owner[pairs]])
    rows = pairs[several]
    end, reason = times.end.copy(), times.reason.copy()
    end[rows] = np.maximum(since[household[several]], times.start[rows])
    reason[rows] = REASONS.index(Reason.SEVERAL_PERSONS)
    return Lifetimes(times.start, end, reason)


def _fingerprint(sources: Sources, equal: Sequence[tuple[str, str]]) -> str:
    told = {
        "code": kept.code(),
        "equal": hashlib.sha256(json.dumps(equal).encode()).hexdigest(),
        "interactions": sources.interactions.fingerprint(),
        "decisions": sources.decisions.fingerprint(),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
