"""From numbers back to text: the tables of a resolution, of what was resolved again and of what stands."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from genome.identity import kept, rules
from genome.identity.clusters import Beliefs
from genome.identity.facts import FOREVER, Bools, Facts, Ints, empty
from genome.identity.households import Members
from genome.identity.lifetimes import REASONS, Lifetimes
from genome.identity.matches import Matches
from genome.lake import files

if TYPE_CHECKING:
    import duckdb

FIGURES: Final = ("keys", "links", "refused", "matches", "customers", "merged", "households")
"""What is counted of a resolution, as `resolve.Resolved` says. Each is a sum over components."""


@dataclass(frozen=True)
class Found:
    """What became of one slice: its facts, when its links held, and whom its keys stood for.

    Attributes:
        facts: the slice.
        times: when each of its pairs held.
        matches: its likenesses.
        keys: beliefs, with those about the households' own keys.
        members: who lived in which household.
    """

    facts: Facts
    times: Lifetimes
    matches: Matches
    keys: Beliefs
    members: Members


def begin(con: "duckdb.DuckDBPyConnection") -> None:
    """Make the tables `new_<name>` of everything that a resolution leaves, without rows."""
    for name, columns in kept.TABLES.items():
        con.execute(f"CREATE TEMP TABLE new_{name} AS {empty(columns)[1:-1]}")


def add(con: "duckdb.DuckDBPyConnection", found: Found) -> None:
    """Append what became of a slice.

    Args:
        con: with the table `keys` of that slice.
        found: what became of it.
    """
    import pyarrow as pa

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
            INNER JOIN keys ON numbers.key = keys.id INNER JOIN keys AS customers ON numbers.customer = customers.id""",
        "identity_links": f"""
            SELECT owners.key AS owner_key, others.key AS other_key, proof, sighting_count,
                {_at("first_known_at")}, {_at("known_at")}, {_at("known_to")}, reason, {_at("refused_at")}, weight
            FROM numbers
            INNER JOIN keys AS owners ON numbers.owner = owners.id
            INNER JOIN keys AS others ON numbers.other = others.id""",
        "identity_households": f"""
            SELECT households.key AS household_key, customers.key AS customer_id, {_at("known_at")}, {_at("known_to")}
            FROM numbers
            INNER JOIN keys AS households ON numbers.household = households.id
            INNER JOIN keys AS customers ON numbers.customer = customers.id""",
    }
    for name, query in queries.items():
        con.register("numbers", numbers[name])
        con.execute(f"INSERT INTO new_{name} {query}")
        con.unregister("numbers")


def _links_table(found: Found) -> Any:
    """Pairs of the lake and likenesses, one below the other."""
    import pyarrow as pa

    given, times, matches = found.facts, found.times, found.matches
    # What was typed and is on record besides proves nothing, and is nothing to be refused.
    told = np.concatenate([~given.is_told_twice, np.ones(len(matches.one), bool)])
    first = np.concatenate([given.first, matches.first])
    start, end = np.concatenate([times.start, matches.first]), np.concatenate([times.end, matches.end])
    reason = np.concatenate([times.reason, matches.reason])
    held = start < end
    none = pa.nulls(len(given.owner), pa.float64())
    proof = np.concatenate([given.is_typed.astype(np.int8), np.full(len(matches.one), 2, np.int8)])
    return pa.table(
        {
            "owner": np.concatenate([given.owner, matches.one]),
            "other": np.concatenate([given.other, matches.other]),
            "proof": _named(("on_record", "typed", "likeness"), proof),
            "sighting_count": np.concatenate([given.count, np.zeros(len(matches.one), np.int64)]),
            "first_known_at": first,
            "known_at": _some(start, held),
            "known_to": _some(end, held & (end < FOREVER)),
            "reason": _named(tuple(map(str, REASONS)), np.maximum(reason, 0), reason < 0),
            "refused_at": _some(np.maximum(end, first), reason >= 0),
            "weight": pa.concat_arrays([none, pa.array(matches.weight, pa.float64())]),
        }
    ).filter(pa.array(told))


def _named(names: tuple[str, ...], number: Any, is_null: Bools | None = None) -> Any:
    """Names by their numbers; the text is held once."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(number.astype(np.int8), mask=is_null), pa.array(names))


def _at(column: str) -> str:
    return f"make_timestamptz(numbers.{column}) AS {column}"


def _some(values: Ints, mask: Bools) -> Any:
    """The values where the mask holds, null elsewhere (with nothing out of range below the null)."""
    import pyarrow as pa

    return pa.array(np.where(mask, values, 0), mask=~mask)


def _open(end: Ints) -> Any:
    return _some(end, end < FOREVER)


# Writing -----------------------------------------------------------------------------------------------

_KEY_OF: Final = {
    "identity_keys": "source_key",
    "identity_links": "owner_key",
    "identity_households": "household_key",
}
"""By which column a row is of what was resolved again: with one key of a component all are."""

_ORDER: Final = {
    "identity_keys": "source_key, known_at, customer_id, known_to",
    "identity_links": "owner_key, other_key, proof, first_known_at",
    "identity_households": "household_key, customer_id, known_at",
}


def write(con: "duckdb.DuckDBPyConnection", where: Path) -> dict[str, str]:
    """Write a resolution into a folder: what was resolved again, and what stands; returns each file's SHA-256.

    Args:
        con: after `add` of every slice.
        where: a folder of its own.
    """
    files.make_folder(where)
    con.execute(
        """
        CREATE TEMP TABLE recounted AS
        SELECT pairs.*, owners.key AS owner_key, others.key AS other_key,
            CASE WHEN is_typed THEN 'typed' ELSE 'on_record' END AS proof
        FROM seen_pairs AS pairs
        INNER JOIN met AS owners ON pairs.owner = owners.id
        INNER JOIN met AS others ON pairs.other = others.id
        WHERE pairs.component IS NOT NULL AND pairs.component NOT IN (SELECT component FROM touched)
        """
    )
    stands = {name: _stands(name) for name in kept.TABLES}
    stands["identity_links"] = f"""
        SELECT links.* REPLACE (coalesce(recounted.count, sighting_count) AS sighting_count)
        FROM ({_stands("identity_links")}) AS links
        LEFT JOIN recounted USING (owner_key, other_key, proof)"""
    queries = {
        name: f"({query}) UNION ALL BY NAME (FROM new_{name}) ORDER BY {_ORDER[name]}"
        for name, query in stands.items()
    }
    queries["keys"] = """
        SELECT id, key, known, valid, component FROM kept_keys AS kept
        ANTI JOIN touched USING (component) ANTI JOIN part_keys USING (id) ANTI JOIN met USING (id)
        UNION ALL BY NAME SELECT id, key, known, valid, component FROM met ANTI JOIN part_keys USING (id)
        UNION ALL BY NAME FROM part_keys"""
    queries["pairs"] = """
        SELECT kept.* REPLACE (coalesce(recounted.count, kept.count) AS count)
        FROM (FROM kept_pairs ANTI JOIN touched USING (component)) AS kept
        LEFT JOIN recounted USING (owner, other, is_typed)
        UNION ALL BY NAME FROM part_pairs"""
    queries["batches"] = "FROM kept_batches UNION ALL BY NAME FROM fresh_batches"
    return {
        **{name: kept.write(con, where, name, query) for name, query in queries.items()},
        **{name: kept.write(con, where, name, f"FROM {name} ORDER BY ALL") for name in kept.TOLD},
    }


def _stands(name: str) -> str:
    return (
        f"SELECT kept.* FROM kept_{name} AS kept ANTI JOIN part_keys ON kept.{_KEY_OF[name]} = part_keys.key"
    )


def digest(hashes: Mapping[str, str]) -> str:
    """One hash of the tables that a resolution leaves, of those of its files."""
    return hashlib.sha256("".join(hashes[name] for name in kept.TABLES).encode()).hexdigest()


def figures(con: "duckdb.DuckDBPyConnection", before: Mapping[str, int]) -> dict[str, int]:
    """Count what holds now.

    Args:
        con: after `add` of every slice.
        before: what the last resolution counted; components that were not resolved again are in it.
    """
    gone = {
        name: f"(SELECT kept.* FROM kept_{name} AS kept SEMI JOIN part_keys ON kept.{column} = part_keys.key)"
        for name, column in _KEY_OF.items()
    }
    less = _counted(con, gone) if before else dict.fromkeys(FIGURES, 0)
    more = _counted(con, {name: f"new_{name}" for name in kept.TABLES})
    return {name: before.get(name, 0) - less[name] + more[name] for name in FIGURES}


def _counted(con: "duckdb.DuckDBPyConnection", source: Mapping[str, str]) -> dict[str, int]:
    [counts] = con.execute(
        f"""
        WITH persons AS (
            SELECT * FROM {source["identity_keys"]} WHERE NOT starts_with(source_key, '{rules.HOUSEHOLD}:')
        ),
        merged AS (SELECT customer_id FROM persons WHERE known_to IS NULL AND source_key <> customer_id),
        links AS (
            SELECT
                count(*) FILTER (proof <> 'likeness' AND reason IS NULL) AS links,
                count(*) FILTER (proof <> 'likeness' AND reason IS NOT NULL) AS refused,
                count(*) FILTER (proof = 'likeness' AND reason IS NULL) AS matches
            FROM {source["identity_links"]}
        )
        SELECT
            (SELECT count(DISTINCT source_key) FROM persons) AS keys, links.links, links.refused, links.matches,
            (SELECT count(DISTINCT customer_id) FROM merged) AS customers,
            (SELECT count(*) FROM merged) AS merged,
            (SELECT count(DISTINCT household_key) FROM {source["identity_households"]}) AS households
        FROM links
        """
    ).fetchall()
    return dict(zip(FIGURES, map(int, counts), strict=True))
