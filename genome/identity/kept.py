"""What a resolution keeps for the next one, so that a day's run reads that day's batches.

Beside the tables of a resolution, in the same folder and from the same moment on:

    keys.parquet         every key, when it first came by itself, and the component that it is in
    pairs.parquet        every pair that rules name, with its times and how often it was met
    batches.parquet      which batches these were made from, and how many rows each had
    likeness.parquet, decided.parquet, turned.parquet
                         what Splink found, what persons decided, and keys that are one identifier's

`current.json` names the folder and the SHA-256 of each file. What cannot be continued is not: `last` says why.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genome.identity import rules
from genome.identity.facts import Sources, empty, rows
from genome.lake import files, layout
from genome.lake.compiler import text
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb

TABLES: Mapping[str, Mapping[str, str]] = {
    "identity_keys": {
        "source_key": "VARCHAR",
        "customer_id": "VARCHAR",
        "valid_from": "TIMESTAMPTZ",
        "valid_to": "TIMESTAMPTZ",
        "known_at": "TIMESTAMPTZ",
        "known_to": "TIMESTAMPTZ",
    },
    "identity_links": {
        "owner_key": "VARCHAR",
        "other_key": "VARCHAR",
        "proof": "VARCHAR",
        "sighting_count": "BIGINT",
        "first_known_at": "TIMESTAMPTZ",
        "known_at": "TIMESTAMPTZ",
        "known_to": "TIMESTAMPTZ",
        "reason": "VARCHAR",
        "refused_at": "TIMESTAMPTZ",
        "weight": "DOUBLE",
    },
    "identity_households": {
        "household_key": "VARCHAR",
        "customer_id": "VARCHAR",
        "known_at": "TIMESTAMPTZ",
        "known_to": "TIMESTAMPTZ",
    },
}
"""What a resolution leaves: dbt's sources of these names, column → DuckDB type."""

LIKENESS = "likeness"
TOLD: Mapping[str, Mapping[str, str]] = {
    LIKENESS: {"one": "VARCHAR", "other": "VARCHAR", "weight": "DOUBLE", "start": "BIGINT", "end": "BIGINT"},
    "decided": {
        "interaction_id": "VARCHAR",
        "is_merge": "BOOLEAN",
        "one": "VARCHAR",
        "other": "VARCHAR",
        "first": "BIGINT",
    },
    "turned": {"one": "VARCHAR", "other": "VARCHAR"},
}
"""What joins two keys and is no pair of the lake; each is held against what the last run was told."""

STATE: Mapping[str, Mapping[str, str]] = {
    "keys": {"id": "BIGINT", "key": "VARCHAR", "known": "BIGINT", "valid": "BIGINT", "component": "BIGINT"},
    "pairs": {
        "owner": "BIGINT",
        "other": "BIGINT",
        "is_typed": "BOOLEAN",
        "rule": "TINYINT",
        "first": "BIGINT",
        "count": "BIGINT",
        "days": "STRUCT(first BIGINT, day DATE)[]",
        "component": "BIGINT",
    },
    "batches": {"name": "VARCHAR", "interactions": "BIGINT", "identifiers": "BIGINT"},
    **TOLD,
}
"""What is kept beside: name → column → DuckDB type. Keys have numbers of their own here, given once and for all."""

_VERSION = "3"
"""Of this code's results: raised when the same lake gives other beliefs."""


@dataclass(frozen=True)
class Kept:
    """The last resolution, as far as it can be continued; of nothing, where it cannot.

    Attributes:
        folder: where its files are; None where there is nothing to continue.
        paths: files of the lake that it had read, relative to the lake. All their rows are of batches that it holds.
        retired: what had left the lake.
        next_key: the number that the next new key gets.
        next_component: the number that the next component gets.
        figures: what it found, by the names of `tables.FIGURES`.
    """

    folder: Path | None = None
    paths: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    next_key: int = 0
    next_component: int = 0
    figures: Mapping[str, int] = field(default_factory=dict)

    def document(self, hashes: Mapping[str, str]) -> dict[str, Any]:
        """As `current.json` holds it.

        Args:
            hashes: SHA-256 of each file of the folder, by table.
        """
        told = {name: value for name, value in asdict(self).items() if name != "folder"}
        return {**told, "code": code(), "files": dict(hashes)}

    def unread(self, sources: Sources, kind_of: str) -> list[Path]:
        """Files of the lake that it had not read, in a fixed order.

        Args:
            sources: what has landed by now.
            kind_of: `layout.INTERACTIONS` or `layout.IDENTIFIERS`.
        """
        found = sources.interactions.data_files(kind_of=kind_of).keys() - set(self.paths)
        return [sources.interactions.lake / path for path in sorted(found)]


def folder(settings: Settings) -> Path:
    """Where resolutions lie."""
    return settings.lake / "_identity"


def pointer(settings: Settings) -> dict[str, Any]:
    """`current.json`, which says which resolution counts; empty before the first."""
    path = folder(settings) / "current.json"
    return dict(files.read_json(path)) if path.is_file() else {}


def code() -> str:
    """A hash of what turns a lake into beliefs: rules, and the version of this code."""
    told = {
        "rules": [[each.owner, each.other, each.most] for each in rules.LINKS],
        "typed": sorted(rules.TYPED_CHANNELS),
        "version": _VERSION,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def last(settings: Settings, sources: Sources) -> tuple[Kept, str]:
    """What can be continued; and why nothing can, empty where it can."""
    told = pointer(settings)
    if not told:
        return Kept(), "nothing was resolved before"
    document = told.get("kept", {})
    if document.get("code") != code():
        return Kept(), "the rules, or the code, have changed"
    if tuple(document["retired"]) != retired(sources):
        return Kept(), "rows have left the lake"
    where = folder(settings) / told["version"]
    for name, digest in sorted(document["files"].items()):
        path = where / f"{name}.parquet"
        if not path.is_file():
            return Kept(), f"{path.name} of the last resolution is missing"
        if files.sha256(path) != digest:
            return Kept(), f"{path.name} of the last resolution is damaged"
    return (
        Kept(
            folder=where,
            paths=tuple(document["paths"]),
            retired=tuple(document["retired"]),
            next_key=document["next_key"],
            next_component=document["next_component"],
            figures=document["figures"],
        ),
        "",
    )


def retired(sources: Sources) -> tuple[str, ...]:
    """What has left the lake by now."""
    return tuple(sorted(each.compaction_id for each in sources.interactions.compactions if not each.files))


def show(con: "duckdb.DuckDBPyConnection", kept: Kept) -> None:
    """Make the views `kept_<name>` of everything in `STATE` and `TABLES`; without rows where nothing is kept."""
    for name, columns in {**STATE, **TABLES}.items():
        source = rows([kept.folder / f"{name}.parquet"], columns) if kept.folder else empty(columns)
        con.execute(f"CREATE OR REPLACE TEMP VIEW kept_{name} AS SELECT * FROM {source}")


def tell(con: "duckdb.DuckDBPyConnection", name: str, columns: Mapping[str, Sequence[Any]]) -> None:
    """Make one of the tables of `TOLD` from what Python holds.

    Args:
        con: from `facts.reading`.
        name: which.
        columns: as long as each other, by their names.
    """
    import pyarrow as pa

    types = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64()}
    arrays = {column: pa.array(columns[column], types[type_]) for column, type_ in TOLD[name].items()}
    con.register("told_now", pa.table(arrays))
    con.execute(f"CREATE TEMP TABLE {name} AS FROM told_now")
    con.unregister("told_now")


def objection(con: "duckdb.DuckDBPyConnection", sources: Sources) -> str:
    """Why what is kept cannot be continued, though it is whole; empty where it can.

    Args:
        con: with `kept_…` and the tables that `sightings` makes.
        sources: what has landed by now.
    """
    landed = [
        sum(each.rows for each in sources.interactions.data_files(kind_of=kind_of).values())
        for kind_of in (layout.INTERACTIONS, layout.IDENTIFIERS)
    ]
    [read] = con.execute(
        """
        SELECT coalesce(sum(interactions), 0), coalesce(sum(identifiers), 0)
        FROM (FROM kept_batches UNION ALL FROM fresh_batches)
        """
    ).fetchall()
    if [int(each) for each in read] != landed:
        return "batches have other rows than when they were read"
    [(gone,)] = con.execute(
        "SELECT count(*) FROM kept_decided ANTI JOIN decided USING (interaction_id)"
    ).fetchall()
    return "decisions have gone" if gone else ""


def write(con: "duckdb.DuckDBPyConnection", where: Path, name: str, query: str) -> str:
    """Write a file of a resolution whole; returns its SHA-256."""
    final = where / f"{name}.parquet"
    part = files.temporary(final)
    con.execute(
        f"COPY ({query}) TO {text(str(part))} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )
    files.commit(part, final)
    return files.sha256(final)
