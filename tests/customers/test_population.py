"""How a gene is distributed, counted customer by customer."""

from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pytest
from support import built

from genome.api.published import Published
from genome.customers.page import population_page
from genome.customers.population import BANDS, distribution, picture
from genome.errors import UsageError
from genome.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    yield from built.read_only(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(
    "gene_id", ["brand_type:Private", "price_tier:lower", "motive:price", "claim:premium"]
)
def test_a_distribution_is_what_counting_gives(world: Settings, gene_id: str) -> None:
    found = distribution(world, Published(world).catalogue(), gene_id)
    genes = built.published(world, "dim_genes").set_index("gene_id")
    locus = set(genes[genes.locus_id == gene_id.partition(":")[0]].gene_hash)
    rows = built.published(world, "feat_customer_genome")
    rows = rows[rows.valid_at == rows.valid_at.max()]
    confidences = built.published(world, "genome").set_index(["customer_id", "gene_hash"]).confidence
    shares: dict[str, float] = {}
    knowing = 0
    for row in rows.itertuples():
        mine = dict(zip(row.gene_hashes, row.shares_character, strict=True))
        knowing += any(gene in locus and not np.isnan(share) for gene, share in mine.items())
        share = mine.get(genes.gene_hash[gene_id], 0.0)
        if share > 0:
            shares[row.customer_id] = float(share)
    assert found.customers == len(rows)
    assert (found.showing, found.knowing) == (len(shares), knowing)
    assert found.showing > 2
    assert found.mean_share == pytest.approx(sum(shares.values()) / knowing)
    weights = {each: confidences[each, genes.gene_hash[gene_id]] for each in shares}
    assert found.weighted_share == pytest.approx(
        sum(shares[each] * weights[each] for each in shares) / sum(weights.values())
    )
    for band, low, high in zip(found.bands, BANDS, BANDS[1:], strict=False):
        inside = [each for each in shares if low < shares[each] <= high or (high == 1 and shares[each] > 1)]
        assert band.customers == len(inside)
        assert band.weight == pytest.approx(sum(weights[each] for each in inside) / sum(weights.values()))
    assert sum(band.customers for band in found.bands) == found.showing
    assert found.quantiles["0.5"] == pytest.approx(np.median(list(shares.values())))


def test_the_picture_is_whole_and_says_its_numbers(world: Settings) -> None:
    found = distribution(world, Published(world).catalogue(), "brand_type:Private")
    root = ElementTree.fromstring(picture(found))
    bars = [each for each in root if each.tag.endswith("rect")]
    assert len(bars) == 2 * len(found.bands)
    assert all(float(each.attrib["height"]) >= 0 for each in bars)
    named = found.model_copy(update={"label": "<script>&"})
    page = population_page(named)
    assert "<script>" not in page
    assert f"{found.showing:,} of {found.customers:,} customers" in page


def test_an_unknown_gene_is_refused(world: Settings) -> None:
    with pytest.raises(UsageError, match="no gene 'category:NOTHING'"):
        distribution(world, Published(world).catalogue(), "category:NOTHING")
