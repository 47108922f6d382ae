"""Clusters: planted groups are found, in their number and by their genes; chance is not called a group."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score
from support import built
from typer.testing import CliRunner

from genome.api.published import Published
from genome.cli import app
from genome.customers import clusters
from genome.customers.clusters import People, find, group
from genome.errors import UsageError
from genome.settings import Settings

GENES = 60


def people(groups: int, customers: int = 900, strength: float = 0.5) -> tuple[People, np.ndarray]:
    """Customers of whom each group gives half of its choices to four genes of its own."""
    random = np.random.default_rng(5)
    truth = random.integers(0, groups, customers)
    popular = random.dirichlet(np.full(GENES, 2.0))
    tastes = np.tile(popular * (1 - strength if groups > 1 else 1.0), (groups, 1))
    for place in range(groups if groups > 1 else 0):
        tastes[place, 4 * place : 4 * place + 4] += strength / 4
    counts = np.stack([random.multinomial(40, tastes[place]) for place in truth])
    return (
        People(
            ids=[f"c{number}" for number in range(customers)],
            shares=csr_array(counts / counts.sum(axis=1, keepdims=True)),
            weight=np.full(customers, 40.0),
            gene_ids=[f"category:{number}" for number in range(GENES)],
            labels=[f"gene {number}" for number in range(GENES)],
            left_out=3,
            as_of=built.NOW,
        ),
        truth,
    )


def test_planted_groups_are_found_in_their_number_and_named_by_their_genes() -> None:
    made, truth = people(5)
    found, names = group(made, "category", None, 1)
    assert len(found.clusters) == 5
    assert adjusted_rand_score(truth, [names[each] for each in made.ids]) > 0.95
    best = next(each for each in found.tried if each.number == 5)
    assert best.agreement > 0.9
    planted = [{f"category:{4 * place + at}" for at in range(4)} for place in range(5)]
    for each in found.clusters:
        assert any({gene.gene_id for gene in each.genes} < mine for mine in planted), each.name
        assert all(gene.share > 3 * gene.others and gene.z > 10 for gene in each.genes)
        assert each.name == f"{each.genes[0].label}, {each.genes[1].label} and {each.genes[2].label}"
    assert sum(each.customers for each in found.clusters) == found.grouped == 900
    assert [each.customers for each in found.clusters] == sorted(
        (each.customers for each in found.clusters), reverse=True
    )


def test_the_same_seed_gives_the_same_clusters() -> None:
    made, _ = people(4)
    assert group(made, "category", 4, 7) == group(made, "category", 4, 7)


def test_where_there_are_no_groups_the_halves_do_not_agree() -> None:
    made, _ = people(1)
    found, _ = group(made, "category", None, 1)
    assert max(each.agreement for each in found.tried) < 0.4


def test_the_demos_households_are_grouped(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for settings in world(tmp_path_factory):
        catalogue = Published(settings).catalogue()
        with pytest.raises(UsageError, match="too few for 12 clusters"):
            find(settings, catalogue)
        with pytest.raises(UsageError, match="no locus 'colour'"):
            find(settings, catalogue, locus_id="colour")
        found, names = find(settings, catalogue, number=2)
        assert found.grouped + found.left_out == built.HOUSEHOLDS + built.LIVES
        genes = built.published(settings, "genome").query("locus_id == 'category' and share_character > 0")
        assert set(names) == {
            customer
            for customer, count in genes.groupby("customer_id").size().items()
            if count >= clusters.FEWEST_GENES
        }
        for name, value in settings.environment().items():
            monkeypatch.setenv(name, value)
        made = CliRunner().invoke(
            app,
            ["clusters", "--number", "2", "--members", str(tmp_path / "m.parquet"), "--to", str(tmp_path)],
        )
        assert made.exit_code == 0, made.output
        rows = pq.read_table(tmp_path / "m.parquet").to_pylist()
        assert {row["customer_id"]: row["cluster"] for row in rows} == names
        assert f"| **{found.clusters[0].name}** |" in (tmp_path / "clusters.md").read_text()


def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    yield from built.read_only(tmp_path_factory.getbasetemp())
