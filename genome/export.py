"""Export: a finished dbt table leaves the warehouse as Parquet, whole or as the delta of a build.

A build that continues the one whose tables are published adds to a large table what it has made anew, and the keys
whose earlier rows are dead by it. The table is written whole where there is nothing to add to, where what is added and
what lies dead would be as much as the table, and after thirty deltas: a reader opens every part.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genome.lake import files
from genome.lake import publish as lake
from genome.lake.parts import IS_WHOLE, Made, PublishedTable
from genome.lake.present import STAMPS, Fading, HalfLives, Lasts, forward

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MOST_DELTAS: Final = 30
MOST_ADDED: Final = 1.0
"""Of the table's rows: what a delta may add, with all that lies dead in the parts before it."""

_ROWS_IN_GROUP: Final[Mapping[str, int]] = {"feat_customer_genome": 2_048, "feat_offer_dna": 2_048}
"""Rows that hold lists of a thousand genes are large: small groups let a reader of a few keys skip the rest."""
_USUAL_ROWS_IN_GROUP: Final = 122_880
_DELTA_ROWS_IN_GROUP: Final = 32_768
"""A reader of a few keys opens thirty deltas: of groups as large as usual that would take it a third of a second."""
_GROUPS_IN_FILE: Final = 200
"""A larger table leaves in several files, one after the other in its order, so that an engine sorts one in memory."""
_SAMPLED: Final = 499
"""Of so many keys one is looked at to find where a file ends …"""
_SAMPLES_OF_A_FILE: Final = 20
"""… where that finds at least so many for each file."""
_ROWS_AT_ONCE: Final = 16_384
BUILD_NUMBER: Final = "_build_number"
"""A table that is published in deltas says in this column which build made a row: what an engine has appended last lies
together, so that nothing else is read."""
_IS_CUT_OFF: Final = "_is_cutoff"
"""A table with rows of label times says in this column which rows are not."""


@dataclass(frozen=True)
class Delta:
    """How a build's own rows are told from those of the builds before it, as `meta.publish.delta` says.

    Attributes:
        key: whose rows they are.
        keys: the dbt model of the keys (and `is_whole`) whose earlier rows are dead; None where rows are only added.
        whole_only: only keys of which everything was made anew count.
        again: of `keys` the rows that builds before have made and that are left are published again.
    """

    key: str
    keys: str | None = None
    whole_only: bool = False
    again: bool = False


@dataclass(frozen=True)
class ExportedTable:
    """A dbt model or seed that leaves the warehouse, as its YAML says in `meta.publish`.

    Attributes:
        model: the dbt model.
        group: which pointer names it.
        kind: its folder in the lake.
        name: its name there.
        order_by: how its rows are sorted, so that a reader of a few keys skips the rest.
        delta: how it is published in deltas; None: whole, each time.
        fades: columns that fade, as `genome.lake.present.Fading` has them.
        lasts: columns that tell what is not too old, likewise.
        genes: the column of gene hashes.
    """

    model: str
    group: str
    kind: str
    name: str
    order_by: tuple[str, ...]
    delta: Delta | None = None
    fades: Mapping[str, float | str] = field(default_factory=dict)
    lasts: Mapping[str, Lasts] = field(default_factory=dict)
    genes: str | None = None

    @staticmethod
    def of_node(node: Mapping[str, Any]) -> "ExportedTable | None":
        """From a node of dbt's manifest; None where it is not published."""
        meta = (node.get("config", {}).get("meta") or {}).get("publish")
        if not meta:
            return None
        columns = {
            name: (each.get("config") or {}).get("meta") or {} for name, each in node["columns"].items()
        }
        return ExportedTable(
            model=node["name"],
            group=meta["group"],
            kind=meta["kind"],
            name=meta.get("name", node["name"]),
            order_by=tuple(meta["order_by"]),
            delta=Delta(**meta["delta"]) if "delta" in meta else None,
            fades={name: said["fades"] for name, said in columns.items() if "fades" in said},
            lasts={name: Lasts(**said["lasts"]) for name, said in columns.items() if "lasts" in said},
            genes=next((name for name in columns if name in ("gene_hashes", "gene_hash")), None),
        )


@dataclass(frozen=True)
class Build:
    """The build whose tables are exported.

    Attributes:
        as_of: its cut-off.
        number: how many builds have continued since the tables were begun anew.
        timezone: the retailer's.
        continues: whether it continues the build whose tables are published.
    """

    as_of: str
    number: int
    timezone: str
    continues: bool


def export(
    connection: "duckdb.DuckDBPyConnection",
    area: lake.StagingArea,
    table: ExportedTable,
    build: Build | None,
    before: PublishedTable | None,
) -> Made | None:
    """Write a table into a staging area, whole or as a delta.

    Args:
        connection: to the warehouse.
        area: where to.
        table: which.
        build: which made it; None: tables that are always whole.
        before: what is published of the table.

    Returns:
        What its own files do not say; None of a table that is always whole.
    """
    path = area.file(table.kind, table.name)
    # The relation API keeps SQL out of Python.
    relation = connection.table(table.model)
    if table.delta is None or build is None:
        _write(relation, table, path)
        return None
    names = _public(relation)
    fading = Fading.at(
        build.as_of,
        build.timezone,
        table.delta.key,
        stamps=tuple(name for name in STAMPS if name in names),
        fades=table.fades,
        genes=table.genes if any(isinstance(each, str) for each in table.fades.values()) else None,
        lasts=table.lasts,
    )
    relation = _not_too_old(relation, fading)
    rows = _count(relation)
    if build.continues and before is not None and _can_grow(area.settings.lake, before, fading):
        fresh = _fresh(connection, relation, table.delta, build)
        added = _count(fresh)
        dead = sum(part.rows for part in before.parts) + added - rows
        if added + dead <= rows * MOST_ADDED:
            _write(fresh, table, path, _DELTA_ROWS_IN_GROUP)
            if _schema(path) == _schema(area.settings.lake / before.parts[-1].file):
                if table.delta.keys is not None:
                    _write_keys(connection, table.delta, area.keys_file(table.kind, table.name))
                return Made(rows, fading, before.parts)
    for number, part in enumerate(_in_order(relation, table, rows)):
        path = area.file(table.kind, table.name, number)
        if build.number and fading.moving:
            _write_forward(connection, part, table, fading, path)
        else:
            _write(part, table, path)
    return Made(rows, fading)


def _not_too_old(relation: "duckdb.DuckDBPyRelation", fading: Fading) -> "duckdb.DuckDBPyRelation":
    """Without the rows that readers would not be told, so that they count what they get."""
    for name, lasts in fading.lasts.items():
        if lasts.by is None:
            since = f"cast('{fading.as_of}' as timestamptz) - interval '{lasts.days} days'"
            relation = relation.filter(f"{name} > {since}")
    return relation


def _can_grow(lake_folder: Path, before: PublishedTable, fading: Fading) -> bool:
    """Whether the same rules hold for what is published, all of it is there, and it has not grown too often."""
    names = [name for part in before.parts for name in (part.file, part.keys) if name is not None]
    return (
        before.fading is not None
        and before.fading.same_rules(fading)
        and before.builds <= MOST_DELTAS
        and all((lake_folder / name).is_file() for name in names)
    )


def _fresh(
    connection: "duckdb.DuckDBPyConnection",
    relation: "duckdb.DuckDBPyRelation",
    delta: Delta,
    build: Build,
) -> "duckdb.DuckDBPyRelation":
    """The rows that this build has made, and those that its keys bring again."""
    added = relation.filter(f"{BUILD_NUMBER} = {build.number}")
    if not delta.again:
        return added
    keys = connection.table(str(delta.keys))
    others = relation.filter(f"{BUILD_NUMBER} <> {build.number}")
    return added.union(others.join(keys, delta.key, how="semi"))


def _in_order(
    relation: "duckdb.DuckDBPyRelation", table: ExportedTable, rows: int
) -> "list[duckdb.DuckDBPyRelation]":
    """The relation in ranges of what it is sorted by, none much larger than one file."""
    at_most = _GROUPS_IN_FILE * _ROWS_IN_GROUP.get(table.model, _USUAL_ROWS_IN_GROUP)
    wanted = -(-rows // at_most)
    first = table.order_by[0]
    if wanted < 2:
        return [relation]
    from duckdb import ColumnExpression, ConstantExpression

    def values(of: "duckdb.DuckDBPyRelation") -> list[Any]:
        return of.project(first).distinct().order(first).fetchall()

    sampled = values(relation.filter(f"hash({first}) % {_SAMPLED} = 0"))
    if len(sampled) < wanted * _SAMPLES_OF_A_FILE:  # of campaigns there are few: all of them, then
        sampled = values(relation)
    places = sorted({len(sampled) * number // wanted for number in range(1, wanted)} - {0})
    ends = [ConstantExpression(sampled[place][0]) for place in places]
    column = ColumnExpression(first)
    ranges = []
    for since, until in pairwise([None, *ends, None]):
        part = relation if since is None else relation.filter(column >= since)
        if until is not None:
            part = part.filter(column < until if since is not None else (column < until) | column.isnull())
        ranges.append(part)
    return ranges


def _write_keys(connection: "duckdb.DuckDBPyConnection", delta: Delta, path: Path) -> None:
    keys = connection.table(str(delta.keys))
    if delta.whole_only:
        keys = keys.filter(IS_WHOLE)
    with _appearing(path) as part:
        keys.project(f"{delta.key}, {IS_WHOLE}").order(delta.key).write_parquet(str(part), compression="zstd")


def _write(
    relation: "duckdb.DuckDBPyRelation",
    table: ExportedTable,
    path: Path,
    rows_in_group: int = _USUAL_ROWS_IN_GROUP,
) -> None:
    with _appearing(path) as part:
        _sorted(relation, table).write_parquet(
            str(part),
            compression="zstd",
            row_group_size=min(rows_in_group, _ROWS_IN_GROUP.get(table.model, rows_in_group)),
        )


def _write_forward(
    connection: "duckdb.DuckDBPyConnection",
    relation: "duckdb.DuckDBPyRelation",
    table: ExportedTable,
    fading: Fading,
    path: Path,
) -> None:
    """The whole table, with rows of builds before as they are at this one's cut-off."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    def half_lives(column: str) -> HalfLives:
        genes, loci = (connection.table(name).to_arrow_table() for name in ("dim_genes", "loci"))
        return HalfLives.of_loci(genes, loci, column)

    known = {column: half_lives(column) for column in set(fading.fades.values()) if isinstance(column, str)}
    at_once = min(_ROWS_AT_ONCE, _ROWS_IN_GROUP.get(table.model, _ROWS_AT_ONCE))
    # DuckDB writes the file that later parts are added to: theirs have its schema.
    with _appearing(path) as part:
        _sorted(relation.limit(0), table).write_parquet(str(part), compression="zstd")
        schema = pq.read_schema(part)
        kept = [*_public(relation), *([_IS_CUT_OFF] if _IS_CUT_OFF in relation.columns else [])]
        batches = relation.order(", ".join(table.order_by)).project(", ".join(kept)).to_arrow_reader(at_once)
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for batch in batches:
                rows = pa.Table.from_batches([batch])
                moves = np.ones(len(rows), bool)
                if _IS_CUT_OFF in kept:
                    moves = rows.column(_IS_CUT_OFF).to_numpy().astype(bool)
                    rows = rows.drop_columns([_IS_CUT_OFF])
                rows = forward(rows, fading, known.__getitem__, moves)
                if len(rows):
                    writer.write_table(rows.cast(schema))


def _public(relation: "duckdb.DuckDBPyRelation") -> list[str]:
    """Columns of the pipeline begin with `_` and stay in the warehouse."""
    return [name for name in relation.columns if not name.startswith("_")]


def _sorted(relation: "duckdb.DuckDBPyRelation", table: ExportedTable) -> "duckdb.DuckDBPyRelation":
    return relation.order(", ".join(table.order_by)).project(
        ", ".join(f'"{name}"' for name in _public(relation))
    )


def _count(relation: "duckdb.DuckDBPyRelation") -> int:
    return int(relation.shape[0])


def _schema(path: Path) -> "pa.Schema":
    import pyarrow.parquet as pq

    return pq.read_schema(path)


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A name to write under; the file appears whole or not at all."""
    part = files.temporary(path)
    yield part
    files.commit(part, path)
