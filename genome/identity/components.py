"""Which keys have to be resolved again: those of components that something new touches, and no others.

A component is what is connected by anything at all: every pair that a rule names, followed or refused, and everything
that persons decided, Splink found, or a rotation of keys turned. No rule looks further than that, so what is believed
of a component depends on its own facts only, and that of all others stands. A pair that was only met once more
touches nothing: it is counted.

    fresh_pairs, fresh_own (sightings.py)  ┐
    kept_keys, kept_pairs (kept.py)        ├─►  met, seen_pairs  ─►  part_keys, part_pairs  ─►  slices
    likeness, decided, turned              ┘
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from genome.identity.facts import Ints, numbers
from genome.identity.kept import TOLD

if TYPE_CHECKING:
    import duckdb

SLICE = 500_000
"""Keys that are resolved at once, where components allow it; about 700 bytes each."""


def choose(con: "duckdb.DuckDBPyConnection", next_key: int) -> int:
    """Find what is touched; returns the number of the first key that is yet to come.

        met (id, key, known, valid, component, is_earlier)      keys of what is new; component null where they had none
        seen_pairs (owner, other, …, component, is_changed)     pairs of what is new, with what was kept of them
        touched (component)
        part_keys (id, key, known, valid)                       keys to be resolved again
        part_pairs (owner, other, is_typed, rule, first, count, days)

    Args:
        con: with the tables of `sightings`, of `TOLD`, and `kept_…`.
        next_key: the number of the first new key.
    """
    changed = " UNION ALL ".join(_changed(name, columns) for name, columns in TOLD.items())
    con.execute(f"CREATE TEMP TABLE told AS SELECT DISTINCT unnest([one, other]) AS key FROM ({changed})")
    end = _meet(con, next_key)
    _see(con)
    con.execute(
        """
        CREATE TEMP TABLE linked AS
        SELECT id FROM met SEMI JOIN told USING (key)
        UNION SELECT owner FROM seen_pairs WHERE is_changed
        UNION SELECT other FROM seen_pairs WHERE is_changed
        """
    )
    con.execute(
        """
        CREATE TEMP TABLE touched AS
        SELECT DISTINCT component FROM met
        WHERE component IS NOT NULL AND (is_earlier OR id IN (SELECT id FROM linked))
        """
    )
    con.execute(
        """
        CREATE TEMP TABLE part_keys AS
        SELECT kept.id, kept.key, coalesce(met.known, kept.known) AS known, coalesce(met.valid, kept.valid) AS valid
        FROM (SELECT * FROM kept_keys SEMI JOIN touched USING (component)) AS kept LEFT JOIN met ON kept.id = met.id
        UNION ALL
        SELECT id, key, known, valid FROM met SEMI JOIN linked USING (id) WHERE component IS NULL
        """
    )
    con.execute(
        """
        CREATE TEMP TABLE part_pairs AS
        SELECT owner, other, is_typed, rule, first, count, days FROM kept_pairs
        SEMI JOIN touched USING (component) ANTI JOIN seen_pairs USING (owner, other, is_typed)
        UNION ALL
        SELECT owner, other, is_typed, rule, first, count, days FROM seen_pairs
        WHERE component IS NULL OR component IN (SELECT component FROM touched)
        """
    )
    con.execute("DROP TABLE linked")
    return end


def _changed(name: str, columns: Mapping[str, str]) -> str:
    """What was told now and not before, or before and not now."""
    listed = ", ".join(f'"{column}"' for column in columns)
    now, before = f"SELECT {listed} FROM {name}", f"SELECT {listed} FROM kept_{name}"
    return f"SELECT one, other FROM (({now} EXCEPT {before}) UNION ALL ({before} EXCEPT {now}))"


def _meet(con: "duckdb.DuckDBPyConnection", next_key: int) -> int:
    """Make `met`, with numbers for keys that had none."""
    con.execute(
        """
        CREATE TEMP TABLE named AS
        SELECT key, min(known) AS known, min(valid) AS valid FROM (
            SELECT owner AS key, NULL::BIGINT AS known, NULL::BIGINT AS valid FROM fresh_pairs
            UNION ALL SELECT other, NULL, NULL FROM fresh_pairs
            UNION ALL SELECT key, NULL, NULL FROM told
            UNION ALL SELECT key, known, valid FROM fresh_own
        ) GROUP BY key
        """
    )
    con.execute("DROP TABLE fresh_own")
    con.execute(
        """
        CREATE TEMP TABLE met AS
        SELECT id, key, component, is_earlier,
            CASE WHEN is_earlier THEN known ELSE kept_known END AS known,
            CASE WHEN is_earlier THEN valid ELSE kept_valid END AS valid
        FROM (
            SELECT kept.id, key, kept.component, named.known, named.valid, kept.known AS kept_known,
                kept.valid AS kept_valid, named.known IS NOT NULL AND (
                    kept.known IS NULL OR (named.known, named.valid) < (kept.known, kept.valid)
                ) AS is_earlier
            FROM named INNER JOIN kept_keys AS kept USING (key)
        )
        """
    )
    con.execute(
        f"""
        INSERT INTO met BY NAME
        SELECT {next_key} + row_number() OVER () - 1 AS id, key, NULL AS component, false AS is_earlier, known, valid
        FROM named ANTI JOIN met USING (key)
        """
    )
    con.execute("DROP TABLE named")
    [(last,)] = con.execute("SELECT max(id) FROM met").fetchall()
    return next_key if last is None else max(next_key, int(last) + 1)


def _see(con: "duckdb.DuckDBPyConnection") -> None:
    """Make `seen_pairs`. Of typed pairs the two days stay on which they were known first: later ones change nothing."""
    con.execute(
        """
        CREATE TEMP TABLE seen_pairs AS
        WITH doubled AS (
            SELECT owners.id AS owner, others.id AS other, fresh.is_typed, fresh.rule, kept.component,
                kept.first AS kept_first, kept.days AS kept_days,
                least(fresh.first, kept.first) AS first, fresh.count + coalesce(kept.count, 0) AS count,
                list_sort(list_concat(fresh.days, kept.days)) AS all_days
            FROM fresh_pairs AS fresh
            INNER JOIN met AS owners ON fresh.owner = owners.key
            INNER JOIN met AS others ON fresh.other = others.key
            LEFT JOIN kept_pairs AS kept
                ON owners.id = kept.owner AND others.id = kept.other AND fresh.is_typed = kept.is_typed
        ),
        merged AS (
            SELECT * EXCLUDE (all_days), CASE WHEN is_typed THEN list_filter(
                all_days, lambda each, place: place = 1
                    OR NOT list_contains(list_transform(all_days[1:place - 1], lambda one: one.day), each.day)
            )[1:2] END AS days
            FROM doubled
        )
        SELECT owner, other, is_typed, rule, first, count, days, component,
            first IS DISTINCT FROM kept_first OR days IS DISTINCT FROM kept_days AS is_changed
        FROM merged
        """
    )
    con.execute("DROP TABLE fresh_pairs")


def label(con: "duckdb.DuckDBPyConnection", first: int) -> int:
    """Number the components of what is resolved again, in `part_keys.component` and `part_pairs.component`.

    Args:
        con: after `choose`.
        first: the number of the first of them.

    Returns:
        The number after the last.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ids = numbers(con.execute("SELECT id FROM part_keys ORDER BY id").fetchnumpy()["id"])
    one, other = _edges(con)
    # Numbers of keys are places in a table that is as long as the highest: small beside the text of the keys.
    place = np.zeros(int(ids[-1]) + 1 if len(ids) else 0, np.int32)
    place[ids] = np.arange(len(ids), dtype=np.int32)
    graph = coo_array((np.ones(len(one), np.int8), (place[one], place[other])), shape=(len(ids), len(ids)))
    count, found = connected_components(graph, directed=False) if len(ids) else (0, np.zeros(0, np.int32))
    _put(con, ids, found.astype(np.int64) + first)
    return first + int(count)


def _edges(con: "duckdb.DuckDBPyConnection") -> tuple[Ints, Ints]:
    told = " UNION ALL ".join(f"SELECT one, other FROM {name}" for name in TOLD)
    # Into a table, and from there: fetched at once, DuckDB 1.5.5 waits for itself for ever at 900,000 pairs, with what
    # it has given not taken yet and the joins behind the UNION ALL not built yet.
    con.execute(
        f"""
        CREATE TEMP TABLE edges AS
        SELECT owner, other FROM part_pairs
        UNION ALL
        SELECT ones.id, others.id FROM ({told}) AS told
        INNER JOIN part_keys AS ones ON told.one = ones.key
        INNER JOIN part_keys AS others ON told.other = others.key
        """
    )
    rows = con.execute("SELECT owner, other FROM edges").fetchnumpy()
    con.execute("DROP TABLE edges")
    return numbers(rows["owner"]), numbers(rows["other"])


def _put(con: "duckdb.DuckDBPyConnection", ids: Ints, component: Ints) -> None:
    import pyarrow as pa

    labels: Any = pa.table({"id": ids, "component": component})
    con.register("labels", labels)
    for name, key in (("part_keys", "id"), ("part_pairs", "owner")):
        con.execute(
            f"CREATE TEMP TABLE labelled AS SELECT {name}.*, component FROM {name} "
            f"INNER JOIN labels ON {name}.{key} = labels.id"
        )
        con.execute(f"DROP TABLE {name}")
        con.execute(f"ALTER TABLE labelled RENAME TO {name}")
    con.unregister("labels")


def slices(con: "duckdb.DuckDBPyConnection") -> Iterator[tuple[int, int]]:
    """Ranges of components, each of about `SLICE` keys: the first, and the one after the last."""
    sizes = con.execute(
        "SELECT component, count(*) AS size FROM part_keys GROUP BY component ORDER BY component"
    ).fetchnumpy()
    component = numbers(sizes["component"])
    chunk = (np.cumsum(numbers(sizes["size"])) - 1) // SLICE
    bounds = np.append(np.flatnonzero(np.diff(chunk, prepend=-1) != 0), len(chunk))
    for head, end in itertools.pairwise(bounds):
        yield int(component[head]), int(component[end - 1]) + 1
