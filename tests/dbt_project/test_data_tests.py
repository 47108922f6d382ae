"""dbt's data tests fail where what they are about is broken."""

from pathlib import Path

import duckdb
import pytest
from support import built

from genome import warehouse
from genome.errors import GenomeError
from genome.settings import Settings


def test_genes_that_met_no_population_are_refused(world: Settings, tmp_path: Path) -> None:
    settings = built.copy_of(world, tmp_path / "home")
    who = "test_name:whoever_can_be_compared_is"
    assert len(warehouse.dbt(settings, "test", select=who).nodes) == 1
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute("DELETE FROM int_gene_population")
    warehouse.dbt(settings, "run", select="int_customer_genes")
    with pytest.raises(GenomeError, match=r"test whoever_can_be_compared_is_int_customer_genes.* failed"):
        warehouse.dbt(settings, "test", select=who)
