"""A published table as its readers see it: put together from its parts, as of its publication.

A row of an earlier part is dead where a later part lists its key: all rows of the key (`is_whole`), or its cut-off row
only. What is left is brought forward to the publication's cut-off (genome/lake/present.py). Whoever wants a few keys or
a few columns reads them out of every part (`read`); who wants everything as files gets them written once (`resolve`).
"""

import os
import shutil
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from genome.errors import GenomeError
from genome.lake import files
from genome.lake.parts import IS_WHOLE, Part, PublishedTable
from genome.lake.present import VALID_AT, Fading, HalfLives, forward, instants, micros

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc

_ROWS_AT_ONCE: Final = 8_192
"""Rows of which a part is put together at once: some 100 MB where a row holds lists of hundreds."""
_TABLES_REMEMBERED: Final = 8

HalfLivesOf = Callable[[str], HalfLives]
Filters = Any
"""As `pyarrow.parquet.read_table` takes them: an expression, or a list of conditions."""


def read(
    lake: Path,
    table: PublishedTable,
    half_lives: HalfLivesOf,
    columns: Sequence[str] | None = None,
    filters: Filters = None,
) -> "pa.Table":
    """The table's rows in memory.

    Args:
        lake: where it is.
        table: which.
        half_lives: of the genes of the same publication.
        columns: which columns; None: all.
        filters: which rows. Only columns that do not move with the clock can be asked about.

    Raises:
        GenomeError: a filter asks about what moves with the clock.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = [lake / part.file for part in table.parts]
    chosen = list(columns) if columns is not None else None
    if not table.has_deltas:
        return pq.read_table(paths, columns=chosen, filters=filters, partitioning=None)
    fading = _fading(table)
    schema = pq.read_schema(paths[-1])
    wanted = chosen if chosen is not None else list(schema.names)
    expression = _expression(filters)
    _refuse_moving(table, schema, expression)
    needed = list(fading.needs([fading.key, *wanted]))
    found = []
    for number, path in enumerate(paths):
        rows = pq.read_table(path, columns=needed, filters=expression, partitioning=None)
        found.append(_present(lake, table, number, rows, half_lives).select(wanted))
    return pa.concat_tables(found)


def resolve(lake: Path, table: PublishedTable, half_lives: HalfLivesOf) -> Path:
    """The folder that holds the whole table as Parquet; written on first use, part by part, whole or not at all."""
    final = lake / table.present
    if final.is_dir():
        return final
    files.make_folder(final.parent)
    with files.exclusive(final.parent / ".lock", patience_seconds=1800):
        if final.is_dir():
            return final
        for left in final.parent.glob(f".*{files.TEMPORARY}"):
            shutil.rmtree(left)  # of one that was killed: we hold the lock
        folder = files.temporary(final)
        folder.mkdir()
        for number in range(len(table.parts)):
            _write(lake, table, number, half_lives, folder / f"part-{number:05d}.parquet")
        files.fsync(folder)
        os.replace(folder, final)
        files.fsync(final.parent)
    return final


def _write(lake: Path, table: PublishedTable, number: int, half_lives: HalfLivesOf, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(lake / table.parts[number].file) as source:
        schema = source.schema_arrow
        groups = source.metadata.num_row_groups
        at_once = min(_ROWS_AT_ONCE, source.metadata.row_group(0).num_rows if groups else _ROWS_AT_ONCE)
        leaves = [source.schema.column(at) for at in range(len(source.schema))]
        # A dictionary of sums that have just faded holds each of them once: it costs time and saves nothing.
        texts_and_numbers = [each.path for each in leaves if each.physical_type not in ("FLOAT", "DOUBLE")]
        with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=texts_and_numbers) as writer:
            for batch in source.iter_batches(batch_size=max(1, at_once)):
                rows = _present(lake, table, number, pa.Table.from_batches([batch], schema), half_lives)
                if len(rows):
                    writer.write_table(rows)
    files.fsync(path)


def _present(
    lake: Path, table: PublishedTable, number: int, rows: "pa.Table", half_lives: HalfLivesOf
) -> "pa.Table":
    """What is left of some rows of a part, as of the publication."""
    import pyarrow as pa

    fading, part = _fading(table), table.parts[number]
    moves = _cut_off_rows(rows, part)
    dead = _dead(lake, table, number, rows.column(fading.key), moves)
    if dead is not None and dead.any():
        rows, moves = rows.filter(pa.array(~dead)), moves[~dead]
    return forward(rows, fading, half_lives, moves)


def _cut_off_rows(rows: "pa.Table", part: Part) -> npt.NDArray[np.bool_]:
    if VALID_AT not in rows.column_names or part.as_of is None:
        return np.ones(len(rows), bool)
    return instants(rows.column(VALID_AT)) == micros(part.as_of)


def _dead(
    lake: Path, table: PublishedTable, number: int, keys: "pa.ChunkedArray", moves: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_] | None:
    """Which rows a later part has made anew; None where no later part lists any key."""
    import pyarrow.compute as pc

    if not any(part.keys for part in table.parts[number + 1 :]) or not len(keys):
        return None
    listed = _listed(tuple(str(lake / part.keys) if part.keys else None for part in table.parts))
    if len(keys) < len(listed):
        # The look-up hashes all keys that it may find: let these be few.
        listed = listed.filter(pc.is_in(listed.column("key"), value_set=pc.unique(keys)))
    place = pc.index_in(keys, value_set=listed.column("key").combine_chunks())
    at = np.asarray(pc.fill_null(place, len(listed)).to_numpy(), np.int64)
    whole, any_row = (np.append(listed.column(name).to_numpy(), -1) for name in ("whole", "cut_off"))
    dead: npt.NDArray[np.bool_] = (whole[at] > number) | (moves & (any_row[at] > number))
    return dead


@lru_cache(_TABLES_REMEMBERED)
def _listed(paths: tuple[str | None, ...]) -> "pa.Table":
    """Every key that parts list: the last part that replaces all of its rows, and its cut-off row (−1: none does)."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found = []
    for number, path in enumerate(paths):
        if path is not None:
            keys = pq.read_table(path, partitioning=None)
            is_whole = keys.column(IS_WHOLE)
            (name,) = (each for each in keys.column_names if each != IS_WHOLE)
            any_row = pa.array(np.full(len(keys), number, np.int32))
            whole = pc.if_else(is_whole, any_row, pa.scalar(-1, pa.int32()))
            found.append(pa.table({"key": keys.column(name), "whole": whole, "cut_off": any_row}))
    every = pa.concat_tables(found).group_by("key").aggregate([("whole", "max"), ("cut_off", "max")])
    return every.rename_columns({"whole_max": "whole", "cut_off_max": "cut_off"})


def _fading(table: PublishedTable) -> Fading:
    if table.fading is None:
        raise AssertionError(f"{table.name} has deltas and does not say what fades")
    return table.fading


def _expression(filters: Filters) -> "pc.Expression | None":
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if filters is None or isinstance(filters, pc.Expression):
        return filters
    return pq.filters_to_expression(filters)


def _refuse_moving(table: PublishedTable, schema: "pa.Schema", expression: "pc.Expression | None") -> None:
    import pyarrow as pa

    if expression is None:
        return
    moving = _fading(table).moving
    standing = pa.schema([each for each in schema if each.name not in moving])
    try:
        standing.empty_table().filter(expression)
    except pa.ArrowInvalid as error:
        raise GenomeError(
            f"{table.name} cannot be searched by what moves with the clock ({', '.join(sorted(moving))}).",
            "Read the rows first, and filter them then.",
        ) from error
