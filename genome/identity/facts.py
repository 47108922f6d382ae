"""What the lake says about who is who: each pair of identifiers once, with the times at which it became known.

The lake holds a row for each event; resolution needs a row for each pair. DuckDB makes the one from the other, and
hands over numbers: a key's number is its place among all keys sorted by their text, so equal numbers mean equal keys
in every step that follows and the text is looked up once, when the result is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from genome.identity import rules
from genome.lake import files, layout
from genome.lake.compiler import text
from genome.lake.manifest import Manifest
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FOREVER = int(np.iinfo(np.int64).max)
"""An end that has not come, in microseconds."""

CHANNEL = "identity"
MERGED, UNMERGED = "Customers Merged", "Customers Unmerged"
"""What a person decided about two keys: events in a place of their own, `lake/identity_decisions/`. They are of no one
customer, and add to nobody's genome."""


@dataclass(frozen=True)
class Facts:
    """Pairs of identifiers that rules name, and the keys in them. Times are microseconds since 1970, UTC.

    Attributes:
        kind: of each key, as a place in `kinds`.
        kinds: the names of the kinds.
        known: when a key was first known as a customer's own key; FOREVER where it only ever came beside another.
        valid: when what was known first of it happened.
        owner: of each pair, the owner's key.
        other: the other key.
        rule: the rule, as a place in `rules.LINKS`.
        is_typed: the pair was only met where people type: one row for what was typed, one for what is on record.
        first: when the pair was first known.
        again: when it was known on a second day; FOREVER where it was not.
        count: in how many interactions.
    """

    kinds: tuple[str, ...]
    kind: Ints
    known: Ints
    valid: Ints
    owner: Ints
    other: Ints
    rule: Ints
    is_typed: Bools
    first: Ints
    again: Ints
    count: Ints

    @property
    def keys(self) -> int:
        """How many keys."""
        return len(self.kind)

    @property
    def is_told_twice(self) -> Bools:
        """Pairs that were typed and are on record, too: these are the rows of what was typed."""
        code = self.owner * max(1, self.keys) + self.other
        return np.asarray(self.is_typed & np.isin(code, code[~self.is_typed]))


@dataclass(frozen=True)
class Decisions:
    """What persons decided about two keys, the earliest first; times as in `Facts`."""

    one: Ints
    other: Ints
    at: Ints
    is_merge: Bools


@contextmanager
def reading(settings: Settings) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A database in memory for tokens and keys; it may spill, because nothing in it is a raw value."""
    import duckdb

    folder = layout.work_folder(settings, CHANNEL)
    files.make_folder(folder)
    con = duckdb.connect(":memory:")
    try:
        con.execute(f"SET temp_directory = {text(str(folder / 'spill'))}")
        con.execute(f"SET memory_limit = {text(settings.memory_limit)}")
        con.execute(f"SET threads = {settings.threads}")
        con.execute("SET preserve_insertion_order = false")
        con.execute("SET TimeZone = 'UTC'")
        yield con
    finally:
        con.close()


@dataclass(frozen=True)
class Sources:
    """Which committed batches count: of interactions, and of persons' decisions."""

    interactions: Manifest
    decisions: Manifest

    @staticmethod
    def of(settings: Settings) -> "Sources":
        """What has landed by now."""
        return Sources(
            Manifest.read(settings, layout.INTERACTIONS), Manifest.read(settings, layout.DECISIONS)
        )


def read(con: "duckdb.DuckDBPyConnection", sources: Sources, more: Sequence[str] = ()) -> Facts:
    """Every pair that a rule names, with its keys; leaves the table `keys (id, key, …)` in the connection.

    Args:
        con: from `reading`.
        sources: which files count.
        more: keys that are wanted also where no pair names them.
    """
    import pyarrow as pa

    manifest = sources.interactions
    con.register("more", pa.table({"key": pa.array(sorted(set(more)), pa.string())}))
    links = ", ".join(
        f"({number}, {text(rule.owner)}, {text(rule.other)})" for number, rule in enumerate(rules.LINKS)
    )
    typed = f"channel IN ({', '.join(text(channel) for channel in sorted(rules.TYPED_CHANNELS))})"
    con.execute(
        f"""
        CREATE TEMP TABLE named AS
        WITH met AS (
            SELECT
                customer_key_type AS kind_a, customer_key AS key_a, identifier_type AS kind_b, identifier AS key_b,
                {typed} AS is_typed, CASE WHEN {typed} THEN CAST(occurred_at AS DATE) END AS day,
                min(epoch_us(greatest(occurred_at, received_at))) AS first, count(*) AS count
            FROM {rows(manifest.identifiers(), layout.IDENTIFIER_COLUMNS)}
            WHERE customer_key IS NOT NULL AND identifier IS NOT NULL
            GROUP BY ALL
        ),
        rules (rule, owner, other) AS (VALUES {links}),
        turned AS (
            SELECT rule, owner || ':' || key_a AS owner, other || ':' || key_b AS other, is_typed, day, first, count
            FROM met INNER JOIN rules ON kind_a = owner AND kind_b = other
            UNION ALL
            SELECT rule, owner || ':' || key_b, other || ':' || key_a, is_typed, day, first, count
            FROM met INNER JOIN rules ON kind_a = other AND kind_b = owner AND owner <> other
        ),
        daily AS (
            SELECT rule, owner, other, is_typed, day, min(first) AS first, sum(count) AS count
            FROM turned WHERE owner <> other GROUP BY ALL
        )
        SELECT
            rule, owner, other, is_typed, min(first) AS first, sum(count) AS count,
            CASE WHEN is_typed THEN list_sort(list(first))[2] END AS again
        FROM daily GROUP BY rule, owner, other, is_typed
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE keys AS
        WITH beside AS (
            SELECT key, min(first) AS first FROM (
                SELECT owner AS key, first FROM named UNION ALL SELECT other, first FROM named
                UNION ALL SELECT unnest([one, other]), first FROM ({_decided(sources)})
                UNION ALL SELECT key, {FOREVER} FROM more
            ) GROUP BY key
        ),
        own AS (
            SELECT
                customer_key_type || ':' || customer_key AS key,
                min(epoch_us(greatest(occurred_at, received_at))) AS known,
                arg_min(epoch_us(occurred_at), greatest(occurred_at, received_at)) AS valid
            FROM {rows(manifest.files(), layout.INTERACTION_COLUMNS)}
            WHERE customer_key IS NOT NULL GROUP BY key
        )
        SELECT
            row_number() OVER (ORDER BY beside.key) - 1 AS id, beside.key, split_part(beside.key, ':', 1) AS kind,
            coalesce(own.known, {FOREVER}) AS known, coalesce(own.valid, beside.first) AS valid
        FROM beside LEFT JOIN own ON beside.key = own.key
        """
    )
    kinds = [kind for (kind,) in con.execute("SELECT DISTINCT kind FROM keys ORDER BY kind").fetchall()]
    con.register("kinds", pa.table({"kind": pa.array(kinds, pa.string()), "number": np.arange(len(kinds))}))
    keys = con.execute(
        "SELECT number AS kind, known, valid FROM keys INNER JOIN kinds ON keys.kind = kinds.kind ORDER BY id"
    ).fetchnumpy()
    pairs = con.execute(
        f"""
        SELECT owners.id AS owner, others.id AS other, rule, is_typed, first,
            coalesce(again, {FOREVER}) AS again, CAST(count AS BIGINT) AS count
        FROM named
        INNER JOIN keys AS owners ON named.owner = owners.key
        INNER JOIN keys AS others ON named.other = others.key
        """
    ).fetchnumpy()
    con.unregister("kinds")
    con.execute("DROP TABLE named")  # the largest table, and no longer asked
    return Facts(
        kinds=tuple(kinds),
        kind=_numbers(keys["kind"]),
        known=_numbers(keys["known"]),
        valid=_numbers(keys["valid"]),
        owner=_numbers(pairs["owner"]),
        other=_numbers(pairs["other"]),
        rule=_numbers(pairs["rule"]),
        is_typed=np.asarray(pairs["is_typed"], dtype=bool),
        first=_numbers(pairs["first"]),
        again=_numbers(pairs["again"]),
        count=_numbers(pairs["count"]),
    )


def numbers_of(con: "duckdb.DuckDBPyConnection", keys: Sequence[str]) -> Ints:
    """The numbers of keys, one for each of them, in their order. Call it after `read`."""
    import pyarrow as pa

    con.register("asked", pa.table({"place": np.arange(len(keys)), "key": pa.array(keys, pa.string())}))
    found = con.execute(
        "SELECT id FROM asked INNER JOIN keys ON asked.key = keys.key ORDER BY place"
    ).fetchnumpy()
    con.unregister("asked")
    return _numbers(found["id"])


def decisions(con: "duckdb.DuckDBPyConnection", sources: Sources) -> Decisions:
    """What persons decided, in the order in which it became known. Call it after `read`."""
    rows = con.execute(
        f"""
        SELECT ones.id AS one, others.id AS other, first AS at, is_merge
        FROM ({_decided(sources)}) AS decided
        INNER JOIN keys AS ones ON decided.one = ones.key
        INNER JOIN keys AS others ON decided.other = others.key
        ORDER BY first, interaction_id
        """
    ).fetchnumpy()
    return Decisions(
        one=_numbers(rows["one"]),
        other=_numbers(rows["other"]),
        at=_numbers(rows["at"]),
        is_merge=np.asarray(rows["is_merge"], dtype=bool),
    )


def key_names(con: "duckdb.DuckDBPyConnection") -> list[str]:
    """The keys' texts by their numbers. Call it after `read`."""
    return [key for (key,) in con.execute("SELECT key FROM keys ORDER BY id").fetchall()]


def own_keys(con: "duckdb.DuckDBPyConnection", sources: Sources) -> list[str]:
    """Every key under which interactions came, linked or not."""
    query = f"""
        SELECT DISTINCT customer_key_type || ':' || customer_key AS key
        FROM {rows(sources.interactions.files(), layout.INTERACTION_COLUMNS)}
        WHERE customer_key IS NOT NULL ORDER BY key
    """
    return [key for (key,) in con.execute(query).fetchall()]


def _decided(sources: Sources) -> str:
    """Decisions of persons, once each."""
    return f"""
        SELECT
            interaction_id, any_value(interaction_type) = {text(MERGED)} AS is_merge,
            any_value(json_extract_string(properties, '$.one')) AS one,
            any_value(json_extract_string(properties, '$.other')) AS other,
            min(epoch_us(greatest(occurred_at, received_at))) AS first
        FROM {rows(sources.decisions.files(), layout.INTERACTION_COLUMNS)}
        WHERE interaction_type IN ({text(MERGED)}, {text(UNMERGED)})
        GROUP BY interaction_id
        HAVING one IS NOT NULL AND other IS NOT NULL
    """


def rows(paths: Sequence[Path], columns: Mapping[str, str]) -> str:
    """Committed files as a relation; without any, one without rows."""
    if not paths:
        empty = ", ".join(f'CAST(NULL AS {type_}) AS "{name}"' for name, type_ in columns.items())
        return f"(SELECT {empty} WHERE false)"
    listed = ", ".join(text(str(path)) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"


def _numbers(column: Any) -> Ints:
    return np.asarray(column, dtype=np.int64)
