"""Relations of one product, as published: read whole, in words, and refused where there is no such product."""

from collections.abc import Iterator

import pytest
from support import built

from genome.api.published import Published
from genome.errors import UsageError
from genome.products import relations
from genome.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    yield from built.read_only(tmp_path_factory.getbasetemp())


def test_the_table_holds_what_is_published_best_first(world: Settings) -> None:
    published = built.published(world, "fct_product_relations")
    catalogue = Published(world).catalogue()
    table = relations.read(world, catalogue)
    assert table.epoch == catalogue.epoch
    assert sum(len(each) for each in table.by_product.values()) == len(published) > 40
    product = published.product_id.value_counts().index[0]
    found = relations.one(table, catalogue, product)
    mine = published[published.product_id == product].sort_values(["relation", "relation_rank"])
    assert [each.other_product_id for each in found.relations] == list(mine.other_product_id)
    assert [each.lift_low for each in found.relations] == list(mine.lift_low)
    hashes = built.published(world, "dim_genes").set_index("gene_id").gene_hash
    assert table.genes[product] == hashes[f"product:{product}"]
    assert {each.label for each in found.relations} == {found.label}
    assert table.of([product, product, "nothing"]) == found.relations


def test_a_product_without_relations_is_known_and_an_unknown_one_is_not(world: Settings) -> None:
    catalogue = Published(world).catalogue()
    table = relations.read(world, catalogue)
    alone = next(
        each.removeprefix("product:")
        for each in catalogue.gene_ids
        if each.startswith("product:") and each.removeprefix("product:") not in table.labels
    )
    assert relations.one(table, catalogue, alone).relations == ()
    with pytest.raises(UsageError, match="no product 'nobody'"):
        relations.one(table, catalogue, "nobody")


def test_relations_are_told_in_words() -> None:
    assert "2.5 times" in relations.in_words("complement", "bread", 2.5, 0.1)
    assert relations.in_words("premium", "bread", 1.0, 0.25) == (
        "a step up from bread, which 25% of its buyers have taken"
    )
    assert "stands in for bread" in relations.in_words("substitute", "bread", 1.5, 0.1)
