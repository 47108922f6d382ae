"""What is made in buckets of customers is what is made at once."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from support import built
from support.same import same_tables

from genome import warehouse
from genome.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    yield from built.read_only(tmp_path_factory.getbasetemp())


def test_buckets_of_customers_change_no_row(world: Settings, tmp_path: Path) -> None:
    settings = built.copy_of(world, tmp_path / "home")
    keys_of = {
        "int_gene_sums": "source_number, gene_hash, stretch",
        "int_gene_states": "customer_number, gene_hash, from_ordinal",
        "int_customer_genomes": "customer_id, valid_at",
        "int_customer_purchases": "customer_id, valid_at",
    }
    # Under the environment of the build that there is, so that only the buckets are new.
    warehouse.dbt(settings, "run", select=" ".join(keys_of), buckets=3)
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        connection.execute(f"ATTACH '{world.warehouse}' AS once (READ_ONLY)")
        for table, key in keys_of.items():
            ((rows, keys),) = connection.execute(
                f"SELECT count(*), count(DISTINCT ({key})) FROM {table}"
            ).fetchall()
            assert rows == keys > 100
            in_buckets, at_once = (
                connection.execute(f"FROM {name} ORDER BY {key}").df()
                for name in (table, f"once.main.{table}")
            )
            same_tables(in_buckets, at_once, table)


def test_a_memory_limit_is_read_as_duckdb_writes_it() -> None:
    assert [warehouse._gigabytes(limit) for limit in ("3GB", "500 MB", "1.5GiB", "1TB")] == [
        3.0,
        0.5,
        1.5,
        1000.0,
    ]
    assert 0 < warehouse._gigabytes("50%") < warehouse._gigabytes("80%")
