"""The profile of a staged table: what its rows say to each rule, in numbers none of which is any row's.

DuckDB reads the columns that some rule names once, a few thousand rows at a time, and keeps a counter for each rule.
Whether rows are unique is the one question that takes more (`grain.py`). Memory and threads are the settings', and
the rest goes to files under `GENOME_HOME/gate`, which are removed in the end.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations import grain
from expectations.answers import Answer, about, aggregates
from expectations.columns import base, value
from expectations.rules import Asked, Distinct, OfRow
from genome.errors import GenomeError
from genome.lake import compiler
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb


@contextmanager
def engine(settings: Settings, group: str) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A DuckDB in memory, with the memory, the threads and a place for temporary files that the settings give."""
    import duckdb

    work = settings.home / "gate" / group
    shutil.rmtree(work, ignore_errors=True)  # of one that was killed
    work.mkdir(parents=True)
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": settings.threads,
        "memory_limit": settings.memory_limit,
        "temp_directory": str(work),
        "preserve_insertion_order": False,
    }
    try:
        with duckdb.connect(config=config) as connection:
            yield connection
    finally:
        shutil.rmtree(work, ignore_errors=True)


def answers(
    connection: "duckdb.DuckDBPyConnection",
    parts: Sequence[Path],
    types: Mapping[str, str],
    rules: Sequence[Asked],
    rows: int,
) -> list[Answer | None]:
    """What the rows of some part files say to each rule; None where it names a column that is not among `types`.

    Args:
        connection: of `engine`.
        parts: the files.
        types: the columns that are the same in all of them → their Arrow types.
        rules: none of which objects to the kinds of its columns.
        rows: how many rows the table has.

    Raises:
        GenomeError: the files cannot be read, or there is no memory or disk to do it with.
    """
    import duckdb

    asked = [
        rule for rule in rules if rule.columns() and all(base(column) in types for column in rule.columns())
    ]
    try:
        found = _ask(connection, parts, types, asked) if asked else {}
    except duckdb.Error as error:
        raise GenomeError(
            f"The gate cannot read {parts[0].parent} ({type(error).__name__}: {str(error).splitlines()[0]}).",
            "Short of memory: raise GENOME_MEMORY_LIMIT; of disk: make room under GENOME_HOME; else stage again.",
        ) from error
    return [found.get(rule) if rule.columns() else Answer.of_number(rows, rows) for rule in rules]


def _ask(
    connection: "duckdb.DuckDBPyConnection",
    parts: Sequence[Path],
    types: Mapping[str, str],
    rules: Sequence[Asked],
) -> dict[Asked, Answer]:
    staged = connection.read_parquet([str(part) for part in parts], hive_partitioning=False)
    named = sorted({column for rule in rules for column in rule.columns()})
    table = staged.select(*(value(column, types).alias(column) for column in named))
    asked = [aggregates(rule, _column) for rule in rules]
    every = [each for some in asked for each in some]
    (numbers,) = table.aggregate(
        [each.alias(f"number_{place}") for place, each in enumerate(every)]
    ).fetchall()
    counts = iter(numbers)
    return {
        rule: _answer(rule, list(islice(counts, len(some))), table)
        for rule, some in zip(rules, asked, strict=True)
    }


def _answer(rule: Asked, counts: Sequence[Any], table: "duckdb.DuckDBPyRelation") -> Answer:
    if isinstance(rule, Distinct):
        (rows,) = counts
        return Answer.of_rows(rows, rows - grain.shared(table.filter(about(rule, _column)), rule.columns()))
    return Answer.of_rows(*counts) if isinstance(rule, OfRow) else Answer.of_number(*counts)


def _column(name: str) -> "duckdb.Expression":
    from duckdb import ColumnExpression

    return ColumnExpression(compiler.name(name))
