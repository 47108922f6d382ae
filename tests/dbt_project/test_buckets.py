"""Lists made in buckets of customers are the lists made at once."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from support import built

from genome import warehouse
from genome.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    yield from built.read_only(tmp_path_factory.getbasetemp())


def test_buckets_of_customers_change_no_row(world: Settings, tmp_path: Path) -> None:
    settings = built.copy_of(world, tmp_path / "home")
    tables = ("int_customer_genomes", "int_customer_purchases")
    # Under the environment of the build that there is, so that only the buckets are new.
    warehouse.dbt(settings, "run", select=" ".join(tables), buckets=3)
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        connection.execute(f"ATTACH '{world.warehouse}' AS once (READ_ONLY)")
        for table in tables:
            ((rows, keys),) = connection.execute(
                f"SELECT count(*), count(DISTINCT (customer_id, valid_at)) FROM {table}"
            ).fetchall()
            assert rows == keys > 100
            for one, other in ((table, f"once.main.{table}"), (f"once.main.{table}", table)):
                found = connection.execute(f"FROM {one} EXCEPT ALL FROM {other}").fetchall()
                assert found == [], table
