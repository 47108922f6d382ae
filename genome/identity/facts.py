"""What is known about who is who, as numbers: each pair of identifiers once, with the times at which it became known.

Rules and clusters work on a slice of whole components at a time (`components.py`). A key's number is its place among
the keys of the slice, sorted by their text: equal numbers mean equal keys in every step that follows, and the text is
looked up once, when the result is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from genome.lake import files, layout
from genome.lake.compiler import text
from genome.lake.manifest import Manifest
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

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


@dataclass(frozen=True)
class Likenesses:
    """Contacts that Splink found alike, in a fixed order; times as in `Facts`.

    Attributes:
        one: a key.
        other: another.
        weight: log2 of the odds that they are one person's.
        start: from when on.
        end: until when; FOREVER where they are alike now.
    """

    one: Ints
    other: Ints
    weight: Floats
    start: Ints
    end: Ints


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


def of_slice(con: "duckdb.DuckDBPyConnection", low: int, high: int) -> Facts:
    """The facts of some components; leaves the table `keys (id, key, part_id, kind, known, valid)` in the connection.

    Args:
        con: with the tables that `components.label` leaves, and those of `kept.TOLD`.
        low: the first component.
        high: the one after the last.
    """
    import pyarrow as pa

    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE keys AS
        SELECT row_number() OVER (ORDER BY key) - 1 AS id, key, id AS part_id, split_part(key, ':', 1) AS kind,
            coalesce(known, {FOREVER}) AS known, coalesce(valid, {FOREVER}) AS valid
        FROM part_keys WHERE component >= {low} AND component < {high}
        """
    )
    kinds = [kind for (kind,) in con.execute("SELECT DISTINCT kind FROM keys ORDER BY kind").fetchall()]
    con.register("kinds", pa.table({"kind": pa.array(kinds, pa.string()), "number": np.arange(len(kinds))}))
    keys = con.execute(
        "SELECT number AS kind, known, valid FROM keys INNER JOIN kinds ON keys.kind = kinds.kind ORDER BY id"
    ).fetchnumpy()
    con.unregister("kinds")
    pairs = con.execute(
        f"""
        SELECT owners.id AS owner, others.id AS other, rule, is_typed, first,
            coalesce(days[2].first, {FOREVER}) AS again, count
        FROM part_pairs AS pairs
        INNER JOIN keys AS owners ON pairs.owner = owners.part_id
        INNER JOIN keys AS others ON pairs.other = others.part_id
        WHERE component >= {low} AND component < {high}
        """
    ).fetchnumpy()
    told = con.execute(
        """
        SELECT keys.id, min(first) AS first
        FROM (
            SELECT unnest([one, other]) AS key, first FROM decided
            UNION ALL SELECT unnest([one, other]), "start" FROM likeness
        ) AS told
        INNER JOIN keys ON told.key = keys.key GROUP BY keys.id
        """
    ).fetchnumpy()
    owner, other, first = (numbers(pairs[name]) for name in ("owner", "other", "first"))
    known, valid = numbers(keys["known"]), numbers(keys["valid"])
    beside = np.full(len(known), FOREVER)
    for met, at in ((owner, first), (other, first), (numbers(told["id"]), numbers(told["first"]))):
        np.minimum.at(beside, met, at)
    return Facts(
        kinds=tuple(kinds),
        kind=numbers(keys["kind"]),
        known=known,
        # A key that never came by itself is as old as what it first came beside.
        valid=np.where(known < FOREVER, valid, beside),
        owner=owner,
        other=other,
        rule=numbers(pairs["rule"]),
        is_typed=np.asarray(pairs["is_typed"], dtype=bool),
        first=first,
        again=numbers(pairs["again"]),
        count=numbers(pairs["count"]),
    )


def decisions(con: "duckdb.DuckDBPyConnection") -> Decisions:
    """What persons decided about keys of the slice, in the order in which it became known. Call it after `of_slice`."""
    found = con.execute(
        """
        SELECT ones.id AS one, others.id AS other, first, is_merge
        FROM decided
        INNER JOIN keys AS ones ON decided.one = ones.key
        INNER JOIN keys AS others ON decided.other = others.key
        ORDER BY first, interaction_id
        """
    ).fetchnumpy()
    return Decisions(
        one=numbers(found["one"]),
        other=numbers(found["other"]),
        at=numbers(found["first"]),
        is_merge=np.asarray(found["is_merge"], dtype=bool),
    )


def likenesses(con: "duckdb.DuckDBPyConnection") -> Likenesses:
    """What Splink found alike among the contacts of the slice. Call it after `of_slice`."""
    found = con.execute(
        """
        SELECT ones.id AS one, others.id AS other, weight, "start", "end"
        FROM likeness
        INNER JOIN keys AS ones ON likeness.one = ones.key
        INNER JOIN keys AS others ON likeness.other = others.key
        ORDER BY ones.id, others.id, "start"
        """
    ).fetchnumpy()
    return Likenesses(
        one=numbers(found["one"]),
        other=numbers(found["other"]),
        weight=np.asarray(found["weight"], dtype=np.float64),
        start=numbers(found["start"]),
        end=numbers(found["end"]),
    )


def turned(con: "duckdb.DuckDBPyConnection") -> tuple[Ints, Ints]:
    """Keys of the slice that are one identifier's under two keys of the tokeniser. Call it after `of_slice`."""
    found = con.execute(
        """
        SELECT ones.id AS one, others.id AS other
        FROM turned
        INNER JOIN keys AS ones ON turned.one = ones.key INNER JOIN keys AS others ON turned.other = others.key
        """
    ).fetchnumpy()
    return numbers(found["one"]), numbers(found["other"])


def own_keys(con: "duckdb.DuckDBPyConnection", sources: Sources) -> list[str]:
    """Every key under which interactions came, linked or not."""
    query = f"""
        SELECT DISTINCT customer_key_type || ':' || customer_key AS key
        FROM {rows(sources.interactions.files(), layout.INTERACTION_COLUMNS)}
        WHERE customer_key IS NOT NULL ORDER BY key
    """
    return [key for (key,) in con.execute(query).fetchall()]


def rows(paths: Sequence[Path], columns: Mapping[str, str]) -> str:
    """Committed files as a relation; without any, one without rows."""
    if not paths:
        return empty(columns)
    listed = ", ".join(text(str(path)) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"


def empty(columns: Mapping[str, str]) -> str:
    """A relation of these columns (name → DuckDB type) without rows."""
    listed = ", ".join(f'CAST(NULL AS {type_}) AS "{name}"' for name, type_ in columns.items())
    return f"(SELECT {listed} WHERE false)"


def numbers(column: Any) -> Ints:
    """A column that DuckDB gave as 64-bit integers."""
    return np.asarray(column, dtype=np.int64)
