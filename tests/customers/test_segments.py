"""Segments of everybody at once and of one customer's row agree, for every shipped rule and every measure."""

from collections.abc import Iterator

import pandas as pd
import pytest
from support import built

from genome.api.published import Published
from genome.customers import segments
from genome.errors import UsageError
from genome.rules.conditions import MEASURES, parse
from genome.rules.rules import SegmentRule
from genome.rules.rules import segments as rules_of
from genome.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    yield from built.read_only(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def people(world: Settings) -> segments.Population:
    return segments.read(world, Published(world).catalogue())


@pytest.fixture(scope="module")
def rows(world: Settings) -> dict[str, dict[str, object]]:
    """Each customer's row as the online store holds it: traits and lists."""
    found: dict[str, dict[str, object]] = {}
    for table in ("feat_customer_traits", "feat_customer_genome"):
        frame = built.published(world, table)
        frame = frame[frame.valid_at == frame.valid_at.max()]
        for row in frame.to_dict("records"):
            values = {
                name: None if not hasattr(value, "__len__") and pd.isna(value) else value
                for name, value in row.items()
            }
            found.setdefault(row["customer_id"], {}).update(values)
    return found


def more_rules(people: segments.Population) -> list[SegmentRule]:
    """Rules of every measure and kind of trait, cut where they divide."""
    found = []
    for gene in ("brand_type:Private", "price_tier:lower", "motive:price", "claim:organic", "claim:nothing"):
        for measure in MEASURES:
            where = parse({"gene": gene, "measure": measure, "is": ">=", "value": 0.05})
            found.append(SegmentRule(f"{gene} {measure}", "", where))
    for trait, value in (("order_count", 20), ("days_since_last_order", 10), ("redemption_count", 1)):
        where = parse({"not": {"trait": trait, "is": ">", "value": value}})
        found.append(SegmentRule(trait, "", where))
    found.append(SegmentRule("age", "", parse({"trait": "age_band", "is": "present"})))
    return found


def test_batch_and_one_customer_s_row_agree(
    people: segments.Population, rows: dict[str, dict[str, object]]
) -> None:
    rules = [*rules_of(), *more_rules(people)]
    names = people.customers.to_pylist()
    assert len(names) == len(set(names)) >= 24
    batch = {rule.id: set(pd.Series(names)[people.members(rule.where)]) for rule in rules}
    live = {name: segments.segments_of(rules, rows[name], people.genes, people.now) for name in names}
    for rule in rules:
        assert batch[rule.id] == {name for name in names if rule.id in live[name]}, rule.id
    divided = [rule.id for rule in rules if 0 < len(batch[rule.id]) < len(names)]
    assert len(divided) >= 10


def test_members_are_those_of_the_definition(world: Settings) -> None:
    genome = built.published(world, "feat_customer_genome")
    genome = genome[genome.valid_at == genome.valid_at.max()]
    genes = built.published(world, "dim_genes").set_index("gene_id").gene_hash
    expected = sorted(
        row.customer_id
        for row in genome.itertuples()
        if dict(zip(row.gene_hashes, row.shares_character, strict=True)).get(genes["brand_type:Private"], 0)
        >= 0.5
    )
    assert segments.members(world, "own_brand_buyer") == expected
    size = {each.rule.id: each.members for each in segments.sizes(world)}
    assert size["own_brand_buyer"] == len(expected)


def test_wrong_names_say_what_would_be_right(world: Settings, people: segments.Population) -> None:
    with pytest.raises(UsageError, match="no segment 'nobody'"):
        segments.members(world, "nobody")
    with pytest.raises(UsageError, match="no trait 'days_since_birth'"):
        people.members(parse({"trait": "days_since_birth", "is": "present"}))
