"""How many rows share the values of some columns with another row: exactly, and in bounded memory.

A hash of 64 bits stands for the values first: DuckDB counts rows by hash, and what does not fit into its memory limit
goes to its temporary files, 8 bytes and a count for each row instead of the values. No hash twice: no value twice.
Only rows whose hash is there twice are compared by their values.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def shared(rows: "duckdb.DuckDBPyRelation", columns: Sequence[str], digest: str = "hash") -> int:
    """How many rows have the same values in these columns as another row; null equals null.

    Args:
        rows: of the table.
        columns: whose values are compared.
        digest: the function of DuckDB whose result stands for the values; a weaker one only takes longer.
    """
    from duckdb import ColumnExpression, ConstantExpression, FunctionExpression

    from genome.lake import compiler

    keys = [f"key_{number}" for number in range(len(columns))]
    named = zip(columns, keys, strict=True)
    values = rows.select(*(ColumnExpression(compiler.name(column)).alias(key) for column, key in named))
    number = FunctionExpression("count_star").alias("number")
    more_than_one = ColumnExpression("number") > ConstantExpression(1)

    digested = FunctionExpression(digest, *map(ColumnExpression, keys)).alias("digest")
    digests = values.select(digested).aggregate([ColumnExpression("digest"), number], "digest")
    twice = digests.filter(more_than_one).select(ColumnExpression("digest"))
    if _total(twice, FunctionExpression("count_star")) == 0:
        return 0
    suspects = values.select(*map(ColumnExpression, keys), digested).set_alias("suspects")
    alike = suspects.join(twice.set_alias("twice"), "digest", how="semi").aggregate(
        [*map(ColumnExpression, keys), number], ", ".join(keys)
    )
    return _total(alike.filter(more_than_one), FunctionExpression("sum", ColumnExpression("number")))


def _total(rows: "duckdb.DuckDBPyRelation", aggregate: "duckdb.Expression") -> int:
    (found,) = rows.aggregate([aggregate]).fetchall()
    return int(found[0] or 0)
