"""Who is who, beside the truth: pairs of keys that resolution joined, and what became of every trap.

A pair is two keys of one customer. It is right if the truth gives both to one person; a thing that several persons
truly use is right beside one of them and counted apart. Recall is over pairs that the files can join at all: a cookie
that nobody ever logged in from has no link to anybody, for no rule to find.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from genome.errors import GenomeError
from genome.identity import facts, rules
from genome.identity import resolve as resolution
from genome.identity.tokens import Kind, Tokeniser
from genome.settings import Settings
from genome.simulate.truth import Truth

_TOKENS: dict[str, Kind] = {"email": "email", "phone": "phone", "social": "account"}
"""Identifiers that the lake holds as tokens, and of which kind."""

_SHARED = {
    "shared_tablet": "family tablet",
    "shared_card": "one payment card for a household",
    "handed_on": "phone handed on",
}


@dataclass(frozen=True)
class Score:
    """Pairs of keys of one customer against pairs of keys of one person.

    Attributes:
        name: of which pairs: all, or those with a key of one kind.
        joined: pairs that resolution joined, things that several persons use left out.
        right: of these, those of one person.
        linkable: pairs of one person that the files can join.
        true: pairs of one person, also those that nothing in the files joins.
    """

    name: str
    joined: int
    right: int
    linkable: int
    true: int

    @property
    def precision(self) -> float:
        """Of what was joined, the share that is right; nan where nothing was."""
        return self.right / self.joined if self.joined else float("nan")

    @property
    def recall(self) -> float:
        """Of what can be joined, the share that was; nan where there is nothing to join."""
        return self.right / self.linkable if self.linkable else float("nan")


@dataclass(frozen=True)
class Trap:
    """What became of the things of one trap.

    Attributes:
        name: the trap.
        things: keys of it that are in the lake.
        alone: of these, those that stand for nobody, as they should.
        with_one: those with one of the persons who truly use it: nobody else was ever met with it.
        with_stranger: those with somebody who does not.
        merges: pairs of persons that it joined into one customer.
    """

    name: str
    things: int
    alone: int
    with_one: int
    with_stranger: int
    merges: int


@dataclass(frozen=True)
class Measured:
    """The table of docs/identity.md.

    Attributes:
        people: persons with a key in the lake.
        keys: keys of persons in the lake, households left out.
        scores: all pairs first, then by kind.
        traps: by trap.
        mixed: customers that hold own keys of two persons.
    """

    people: int
    keys: int
    scores: tuple[Score, ...]
    traps: tuple[Trap, ...]
    mixed: int

    def document(self) -> dict[str, object]:
        """As plain values."""
        plain = asdict(self)
        for row, score in zip(plain["scores"], self.scores, strict=True):
            row |= {"precision": score.precision, "recall": score.recall}
        return plain


def measure(settings: Settings, out: Path) -> Measured:
    """Measure the last resolution of a home that ingested the mall's files.

    Args:
        settings: the installation.
        out: the folder that `genome simulate` wrote.

    Raises:
        GenomeError: nothing is resolved yet.
    """
    if not resolution.current(settings):
        raise GenomeError("Nothing is resolved yet.", "Run `genome build`, or `genome identity resolve`.")
    keys = _keys(settings)
    owners = _owners(settings, out)
    keys = keys.merge(owners[owners.is_single].drop(columns="relation"), on="source_key", how="left")
    single = keys[keys.person.notna() & keys.is_single.eq(True)]
    scores = (_score("all", single, single), *_by_kind(single))
    traps = (*_shared(keys, owners), _mistyped(keys, owners), _till(keys), _households(settings, out, keys))
    mixed = single.groupby("customer_id").person.nunique()
    return Measured(single.person.nunique(), len(keys), scores, traps, int((mixed > 1).sum()))


def _keys(settings: Settings) -> pd.DataFrame:
    """Every key of the lake that is not a household's: its customer now, and the group that the files put it in."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    with facts.reading(settings) as con:
        own = facts.own_keys(con, facts.Sources.of(settings))
    met = pq.read_table(resolution.current(settings)["identity_links"]).to_pandas()
    met = met[met.proof != "likeness"]
    ends, linked = pd.factorize(pd.concat([met.owner_key, met.other_key]))
    owner, other = ends[: len(met)], ends[len(met) :]
    person_level = ~met.other_key.str.startswith(f"{rules.HOUSEHOLD}:").to_numpy()
    graph = coo_array(
        (np.ones(int(person_level.sum())), (owner[person_level], other[person_level])),
        shape=(len(linked), len(linked)),
    )
    group = connected_components(graph, directed=False)[1]
    found = pd.DataFrame({"source_key": linked, "group": group})
    rest = sorted(set(own) - set(linked))
    found = pd.concat(
        [found, pd.DataFrame({"source_key": rest, "group": np.arange(len(rest)) + len(linked)})],
        ignore_index=True,
    )
    now = pq.read_table(resolution.current(settings)["identity_keys"]).to_pandas()
    now = now[now.known_to.isna()][["source_key", "customer_id"]]
    found = found.merge(now, on="source_key", how="left")
    found["customer_id"] = found.customer_id.fillna(found.source_key)
    found["kind"] = found.source_key.str.partition(":")[0]
    return found[found.kind != rules.HOUSEHOLD].reset_index(drop=True)


def _owners(settings: Settings, out: Path) -> pd.DataFrame:
    """Source key → every person it stands for, and why; `is_single` where it is one person's own."""
    told = Truth(out).read("identifiers").to_pandas()
    told = told[~told.relation.isin(("household", "house_account"))]
    tokeniser = Tokeniser(settings).frozen()
    for kind, token_kind in _TOKENS.items():
        rows = told.identifier_type == kind
        told.loc[rows, "identifier"] = [
            tokeniser.token(token_kind, value).text for value in told.loc[rows, "identifier"]
        ]
    told["source_key"] = told.identifier_type + ":" + told.identifier
    told = told.rename(columns={"person_id": "person"})[["source_key", "relation", "person"]]
    # What somebody types by mistake is the person's on whose record it is; a thing is everybody's who uses it.
    recorded = set(told.source_key[told.relation == "own"])
    stray = (told.relation == "mistyped") & told.source_key.isin(recorded)
    counted = told[~stray].groupby("source_key").person.nunique()
    told["is_single"] = told.source_key.map(counted).eq(1) & ~stray
    return told.drop_duplicates(["source_key", "person", "relation"])


def _score(name: str, single: pd.DataFrame, one_side: pd.DataFrame) -> Score:
    """Pairs with at least one key in `one_side`."""
    rest = single.drop(one_side.index)

    def pairs(*columns: str) -> int:
        return _pairs(single, list(columns)) - _pairs(rest, list(columns))

    joined, right = pairs("customer_id"), pairs("customer_id", "person")
    return Score(name, joined, right, pairs("group", "person"), pairs("person"))


def _pairs(rows: pd.DataFrame, by: list[str]) -> int:
    sizes = rows.groupby(by).size().to_numpy()
    return int((sizes * (sizes - 1) // 2).sum())


def _by_kind(single: pd.DataFrame) -> list[Score]:
    return [_score(str(kind), single, rows) for kind, rows in single.groupby("kind")]


def _shared(keys: pd.DataFrame, owners: pd.DataFrame) -> list[Trap]:
    several = owners[~owners.is_single & (owners.relation != "mistyped")]
    found = []
    for relation, name in _SHARED.items():
        things = several[several.relation == relation].source_key.unique()
        users = several[several.source_key.isin(things)].groupby("source_key").person.agg(set)
        # A household of one, or a phone whose giver had no account: nobody shares it.
        users = users[users.map(len) > 1]
        found.append(_trap(name, keys, users))
    return found


def _trap(name: str, keys: pd.DataFrame, users: pd.Series) -> Trap:
    """What became of things that these persons use."""
    things = keys[keys.source_key.isin(set(users.index))]
    own = keys[keys.is_single.eq(True) & ~keys.source_key.isin(set(users.index))]
    persons = own.groupby("customer_id").person.agg(set)
    alone = with_one = with_stranger = merges = 0
    for key, customer in zip(things.source_key, things.customer_id, strict=True):
        beside = persons.get(customer, set())
        alone += not beside
        with_one += len(beside) == 1 and beside <= users[key]
        with_stranger += bool(beside - users[key])
        merges += len(beside) * (len(beside) - 1) // 2
    return Trap(name, len(things), alone, with_one, with_stranger, merges)


def _mistyped(keys: pd.DataFrame, owners: pd.DataFrame) -> Trap:
    typed = owners[owners.relation == "mistyped"]
    recorded = owners[owners.relation == "own"].groupby("source_key").person.agg(set)
    # An address on a stranger's record is the stranger's; one on nobody's is who typed it.
    users = typed.groupby("source_key").person.agg(set)
    users = pd.Series({key: recorded.get(key, whose) for key, whose in users.items()}, dtype=object)
    return _trap("mistyped e-mail", keys, users)


def _till(keys: pd.DataFrame) -> Trap:
    house = keys[keys.source_key.str.startswith("loyalty_card:TILL-")]
    return _trap(
        "a till's house account", keys, pd.Series({key: set() for key in house.source_key}, dtype=object)
    )


def _households(settings: Settings, out: Path, keys: pd.DataFrame) -> Trap:
    """A household of several known persons is none of them; of one, that person's."""
    told = Truth(out).read("identifiers").to_pandas()
    told = told[told.relation == "household"]
    living = told.assign(source_key="household:" + told.identifier).groupby("source_key").person_id.agg(set)
    tables = resolution.current(settings)
    members = pq.read_table(tables["identity_households"]).to_pandas()
    members = members[members.known_to.isna()].groupby("household_key").customer_id.nunique()
    now = pq.read_table(tables["identity_keys"]).to_pandas()
    now = now[now.known_to.isna() & now.source_key.str.startswith("household:")]
    several = set(members.index[members > 1])
    rows = now[["source_key", "customer_id"]]
    rows = rows[rows.source_key.isin(several)]
    found = _trap(
        "household of several known persons",
        pd.concat([keys, rows.assign(is_single=False)], ignore_index=True),
        living[living.index.isin(set(rows.source_key))],
    )
    # Keys that stand for themselves and were never a customer's own are in no belief.
    return Trap(found.name, len(several), len(several) - found.with_one - found.with_stranger, found.with_one,
                found.with_stranger, found.merges)  # fmt: skip
