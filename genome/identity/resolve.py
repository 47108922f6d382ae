"""Who is who, from the lake: the step before a build.

    lake/identifiers ──► pairs ──► lifetimes (rules) ──► clusters at every known time ──► lake/_identity/…/*.parquet
    identity vault ──► Splink, in memory ──► matches of contacts ──┘
    persons' decisions (lake/identity_decisions) ──────────┘

dbt reads what this writes as sources and publishes it (`fct_customer_keys`, `fct_identity_links`, `dim_households`).
A belief about known time K depends on nothing that became known later, so a second run, or one over a longer history,
tells the same about K.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genome import clock
from genome.identity import clusters, facts, households, likeness, rules
from genome.identity.clusters import Beliefs, Links
from genome.identity.facts import FOREVER, Bools, Decisions, Facts, Ints, Sources
from genome.identity.lifetimes import REASONS, Lifetimes, lifetimes
from genome.identity.rules import Reason
from genome.identity.vault import Vault
from genome.lake import files
from genome.lake.compiler import text
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb

TABLES = ("identity_keys", "identity_links", "identity_households")
"""What a resolution leaves: dbt's sources of these names."""

_VERSION = "1"
"""Of this code's results: raised when the same lake gives other beliefs."""

_LIKENESS = "1"
"""Of what Splink is asked: raised when the same cards give other likenesses."""

_MATCHES = "likeness.parquet"


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
    seconds: float = 0.0
    skipped: bool = False

    def summary(self) -> dict[str, Any]:
        """What a task returns."""
        if self.skipped:
            return {"skipped": "nothing new has landed since the last resolution"}
        return {name: value for name, value in asdict(self).items() if name not in ("fingerprint", "skipped")}


def current(settings: Settings) -> Mapping[str, Path]:
    """The files of the last resolution by the names of `TABLES`; none before the first."""
    pointer = _folder(settings) / "current.json"
    if not pointer.is_file():
        return {}
    folder = _folder(settings) / files.read_json(pointer)["version"]
    return {name: folder / f"{name}.parquet" for name in TABLES}


def digest(settings: Settings) -> str:
    """A hash of the last resolution's results; empty before the first."""
    pointer = _folder(settings) / "current.json"
    return str(files.read_json(pointer)["digest"]) if pointer.is_file() else ""


def resolve(settings: Settings, *, force: bool = False) -> Resolved:
    """Resolve what has landed and leave it for the next build.

    Args:
        settings: where the state is.
        force: also when nothing new has landed.
    """
    started = time.monotonic()
    folder = _folder(settings)
    files.make_folder(folder)
    with files.exclusive(folder / "resolve.lock", patience_seconds=1800):
        sources = Sources.of(settings)
        equal = _equal_keys(settings)
        print_of = _fingerprint(sources, equal)
        pointer = folder / "current.json"
        if not force and pointer.is_file() and files.read_json(pointer)["fingerprint"] == print_of:
            return Resolved(print_of, skipped=True)
        version = f"made-{time.time_ns():020d}"
        cards, alike = _matches(settings, sources)
        with facts.reading(settings) as con:
            found = _resolve(con, sources, alike, equal)
            written = _write(con, folder / version, found)
        _keep_matches(folder / version, alike)
        files.write_json(
            pointer,
            {
                "version": version,
                "cards": cards,
                "fingerprint": print_of,
                "digest": written,
                "made_at": clock.now(settings).isoformat(),
            },
        )
        for old in sorted(folder.glob("made-*"))[:-2]:
            shutil.rmtree(old)
    persons = found.persons
    now = persons.known_to == FOREVER
    sizes = np.bincount(persons.customer[now])
    told = ~found.facts.is_told_twice
    holds = found.times.holds_ever & (found.times.end == FOREVER)
    return Resolved(
        fingerprint=print_of,
        keys=len(np.unique(persons.key)),
        links=int((told & holds).sum()),
        refused=int((told & ~holds).sum()),
        matches=int((found.matches.reason < 0).sum()),
        customers=int((sizes > 1).sum()),
        merged=int((persons.key[now] != persons.customer[now]).sum()),
        households=len(np.unique(found.members.household)),
        seconds=round(time.monotonic() - started, 2),
    )


@dataclass(frozen=True)
class _Alike:
    """Contacts that Splink found alike, and when that was found; times as in `Facts`.

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
class _Matches:
    """The same as links, with what speaks against them.

    Attributes:
        one: a key.
        other: another.
        weight: as in `_Alike`.
        first: when they were found alike.
        end: until when that is followed.
        reason: why not for ever, as a place in `REASONS`; −1 where it is followed now.
    """

    one: Ints
    other: Ints
    weight: tuple[float, ...]
    first: Ints
    end: Ints
    reason: Ints


@dataclass(frozen=True)
class _Found:
    facts: Facts
    times: Lifetimes
    matches: _Matches
    persons: Beliefs
    keys: Beliefs
    members: households.Members


def _resolve(
    con: "duckdb.DuckDBPyConnection", sources: Sources, alike: _Alike, equal: Sequence[tuple[str, str]]
) -> _Found:
    turned = [key for pair in equal for key in pair]
    given = facts.read(con, sources, (*alike.one, *alike.other, *turned))
    decided, held = _decided(facts.decisions(con, sources))
    matches = _judged(
        given, alike, facts.numbers_of(con, alike.one), facts.numbers_of(con, alike.other), held
    )
    declared = _with_equals(given, _with_matches(decided, matches), facts.numbers_of(con, turned))
    found, times, followed = persons(given, declared, held)
    mine = np.flatnonzero(~followed & times.holds_ever)
    own, members = households.resolve(
        given.owner[mine], given.other[mine], times.start[mine], times.end[mine], found, given.known
    )
    times = _without_households(given, times, mine, found, own)
    keys = Beliefs(*(np.concatenate(pair) for pair in zip(_columns(found), _columns(own), strict=True)))
    return _Found(given, times, matches, found, keys, members)


def _matches(settings: Settings, sources: Sources) -> tuple[str, _Alike]:
    """What Splink finds alike now, beside what it found before; and what it was asked of.

    A likeness is known from when it was found: what Splink learns depends on all cards, so it cannot be said what it
    would have found earlier. Where no contact card has come since, the last answer stands.
    """
    import pyarrow.parquet as pq

    cards = f"{_LIKENESS} {sources.interactions.fingerprint('crm')}"
    pointer = _folder(settings) / "current.json"
    before = _Alike()
    if pointer.is_file():
        last = files.read_json(pointer)
        told = _folder(settings) / last["version"] / _MATCHES
        if told.is_file():
            before = _Alike(**{name: tuple(each) for name, each in pq.read_table(told).to_pydict().items()})
            if last["cards"] == cards:
                return cards, before
    if not sources.interactions.files("crm"):
        return cards, before
    found = likeness.contacts(settings, sources, likeness.THRESHOLD - likeness.KEEPS)
    now = round(clock.now(settings).timestamp() * 1_000_000)
    weights = dict(zip(zip(found.one, found.other, strict=True), found.weight, strict=True))
    rows = []
    still = set()
    for one, other, weight, start, end in zip(
        before.one, before.other, before.weight, before.start, before.end, strict=True
    ):
        if end == FOREVER:
            still.add((one, other))
            rows.append(
                (
                    one,
                    other,
                    weights.get((one, other), weight),
                    start,
                    FOREVER if (one, other) in weights else now,
                )
            )
        else:
            rows.append((one, other, weight, start, end))
    rows += [
        (*pair, weight, now, FOREVER)
        for pair, weight in weights.items()
        if weight >= likeness.THRESHOLD and pair not in still
    ]
    return cards, _Alike(*(tuple(column) for column in zip(*sorted(rows), strict=True))) if rows else _Alike()


def _keep_matches(folder: Path, alike: _Alike) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = (pa.string(), pa.string(), pa.float64(), pa.int64(), pa.int64())
    table = pa.table(
        {
            name: pa.array(getattr(alike, name), type_)
            for name, type_ in zip(_Alike.__dataclass_fields__, types, strict=True)
        }
    )
    part = files.temporary(folder / _MATCHES)
    pq.write_table(table, part)
    files.commit(part, folder / _MATCHES)


def _judged(given: Facts, alike: _Alike, one: Ints, other: Ints, held: tuple[Ints, Ints]) -> _Matches:
    """Likenesses that two accounts, two cards, or a person speak against end there."""
    start, end = np.array(alike.start, np.int64), np.array(alike.end, np.int64)
    reason = np.where(end < FOREVER, REASONS.index(Reason.NO_LONGER_ALIKE), -1)
    record = ~given.is_typed
    for number, rule in enumerate(rules.LINKS):
        if rule.owner != "contact" or rule.other not in rules.UNIQUE:
            continue
        pairs = np.flatnonzero(record & (given.rule == number))
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
    return _Matches(one, other, alike.weight, start, end, reason)


def _with_matches(decided: Links, matches: _Matches) -> Links:
    some = np.flatnonzero(matches.first < matches.end)
    return Links(
        one=np.concatenate([decided.one, matches.one[some]]),
        other=np.concatenate([decided.other, matches.other[some]]),
        start=np.concatenate([decided.start, matches.first[some]]),
        end=np.concatenate([decided.end, matches.end[some]]),
        is_core=np.ones(len(decided.one) + len(some), bool),
    )


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


def _with_equals(given: Facts, declared: Links, turned: Ints) -> Links:
    """The same, with the tokens of one identifier joined from when both were met."""
    seen = given.known.copy()
    np.minimum.at(seen, given.owner, given.first)
    np.minimum.at(seen, given.other, given.first)
    one, other = turned[0::2], turned[1::2]
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


def _columns(beliefs: Beliefs) -> tuple[Ints, Ints, Ints, Ints]:
    return beliefs.key, beliefs.customer, beliefs.known_from, beliefs.known_to


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


# Writing -----------------------------------------------------------------------------------------------


def _write(con: "duckdb.DuckDBPyConnection", folder: Path, found: _Found) -> str:
    """Write the tables, each whole; returns a hash of their rows."""
    import pyarrow as pa

    files.make_folder(folder)
    given, keys, members = found.facts, found.keys, found.members
    numbers = {
        "identity_keys": pa.table(
            {
                "key": keys.key,
                "customer": keys.customer,
                "valid_from": given.valid[keys.key],
                "known_at": keys.known_from,
                "known_to": _open(keys.known_to),
            }
        ),
        "identity_links": _links_table(found),
        "identity_households": pa.table(
            {
                "household": members.household,
                "customer": members.customer,
                "known_at": members.known_from,
                "known_to": _open(members.known_to),
            }
        ),
    }
    queries = {
        "identity_keys": f"""
            SELECT keys.key AS source_key, customers.key AS customer_id, {_at("valid_from")},
                CAST(NULL AS TIMESTAMPTZ) AS valid_to, {_at("known_at")}, {_at("known_to")}
            FROM numbers
            INNER JOIN keys ON numbers.key = keys.id INNER JOIN keys AS customers ON numbers.customer = customers.id
            ORDER BY numbers.key, numbers.known_at""",
        "identity_links": f"""
            SELECT owners.key AS owner_key, others.key AS other_key, proof, sighting_count,
                {_at("first_known_at")}, {_at("known_at")}, {_at("known_to")}, reason, {_at("refused_at")}, weight
            FROM numbers
            INNER JOIN keys AS owners ON numbers.owner = owners.id
            INNER JOIN keys AS others ON numbers.other = others.id
            ORDER BY numbers.owner, numbers.other, proof""",
        "identity_households": f"""
            SELECT households.key AS household_key, customers.key AS customer_id, {_at("known_at")}, {_at("known_to")}
            FROM numbers
            INNER JOIN keys AS households ON numbers.household = households.id
            INNER JOIN keys AS customers ON numbers.customer = customers.id
            ORDER BY numbers.household, numbers.customer, numbers.known_at""",
    }
    hashes = []
    for name in TABLES:
        con.register("numbers", numbers[name])
        final = folder / f"{name}.parquet"
        part = files.temporary(final)
        con.execute(
            f"COPY ({queries[name]}) TO {text(str(part))} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        )
        con.unregister("numbers")
        files.commit(part, final)
        hashes.append(files.sha256(final))
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _links_table(found: _Found) -> Any:
    """Pairs of the lake and likenesses, one below the other."""
    import pyarrow as pa

    given, times, matches = found.facts, found.times, found.matches
    # What was typed and is on record besides proves nothing, and is nothing to be refused.
    kept = np.concatenate([~given.is_told_twice, np.ones(len(matches.one), bool)])
    first = np.concatenate([given.first, matches.first])
    start, end = np.concatenate([times.start, matches.first]), np.concatenate([times.end, matches.end])
    reason = np.concatenate([times.reason, matches.reason])
    held = start < end
    none = pa.nulls(len(given.owner), pa.float64())
    return pa.table(
        {
            "owner": np.concatenate([given.owner, matches.one]),
            "other": np.concatenate([given.other, matches.other]),
            "proof": pa.array(
                np.concatenate(
                    [np.where(given.is_typed, "typed", "on_record"), np.full(len(matches.one), "likeness")]
                )
            ),
            "sighting_count": np.concatenate([given.count, np.zeros(len(matches.one), np.int64)]),
            "first_known_at": first,
            "known_at": _some(start, held),
            "known_to": _some(end, held & (end < FOREVER)),
            "reason": pa.array([str(each) for each in REASONS], pa.string()).take(
                pa.array(np.maximum(reason, 0), mask=reason < 0)
            ),
            "refused_at": _some(np.maximum(end, first), reason >= 0),
            "weight": pa.concat_arrays([none, pa.array(matches.weight, pa.float64())]),
        }
    ).filter(pa.array(kept))


def _at(column: str) -> str:
    return f"make_timestamptz(numbers.{column}) AS {column}"


def _some(values: Ints, mask: Bools) -> Any:
    """The values where the mask holds, null elsewhere (with nothing out of range below the null)."""
    import pyarrow as pa

    return pa.array(np.where(mask, values, 0), mask=~mask)


def _open(end: Ints) -> Any:
    return _some(end, end < FOREVER)


def _folder(settings: Settings) -> Path:
    return settings.lake / "_identity"


def _fingerprint(sources: Sources, equal: Sequence[tuple[str, str]]) -> str:
    told = {
        "equal": hashlib.sha256(json.dumps(equal).encode()).hexdigest(),
        "interactions": sources.interactions.fingerprint(),
        "decisions": sources.decisions.fingerprint(),
        "rules": [[each.owner, each.other, each.most] for each in rules.LINKS],
        "typed": sorted(rules.TYPED_CHANNELS),
        "version": _VERSION,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
