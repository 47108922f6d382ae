"""Rows that share their grain are counted exactly, wherever they lie."""

import collections
import random
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations import grain, profile
from genome.settings import Settings


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def test_rows_that_share_their_values_are_all_counted_and_null_equals_null(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    chance = random.Random(7)
    for size in (0, 1, 5, 40):
        rows = [(chance.choice([None, 0.0, 0.5]), chance.choice([None, "a", "b"])) for _ in range(size)]
        times = collections.Counter(rows)
        table = pa.table(
            {"x": pa.array([x for x, _ in rows], "float64"), "y y": pa.array([y for _, y in rows], "string")}
        )
        found = grain.shared(connection.from_arrow(table), ["x", "y y"])
        assert found == sum(number for number in times.values() if number > 1)


def test_a_digest_that_two_values_share_makes_no_twins(connection: duckdb.DuckDBPyConnection) -> None:
    # By their length alone four of these would be twins, with `milk` and `oats` among them.
    table = pa.table({"word": ["milk", "oats", "tea", "milk", "coffee"]})
    assert grain.shared(connection.from_arrow(table), ["word"], digest="length") == 2


def test_twins_are_found_where_the_rows_do_not_fit_into_memory(settings: Settings, tmp_path: Path) -> None:
    path, rows = tmp_path / "rows.parquet", 2_000_000
    # The first row and the last.
    pq.write_table(pa.table({"number": [*range(rows - 1), 0]}), path)
    small = settings.model_copy(update={"memory_limit": "48MB"})
    with profile.engine(small, "test") as connection:
        spilled = small.home / "gate" / "test"
        assert spilled.is_dir()
        assert grain.shared(connection.read_parquet(str(path)), ["number"]) == 2
    assert not spilled.exists()
    without_disk = duckdb.connect(config={"memory_limit": "48MB", "threads": 2, "temp_directory": ""})
    with pytest.raises(duckdb.OutOfMemoryException):
        grain.shared(without_disk.read_parquet(str(path)), ["number"])
