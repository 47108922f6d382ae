"""Complements and substitutes against their definition: every basket and every person in Python loops.

The small world has too few people for premium versions: those have a unit test of literal rows.
"""

import itertools
import math
from collections import Counter, defaultdict
from typing import Any

import pandas as pd
import pytest
import yaml
from support import built

from genome.settings import PROJECT_ROOT, Settings

VARS = yaml.safe_load((PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text())["vars"]
ZONE = "America/New_York"
VERSION = pd.Timestamp(built.NOW).tz_convert(ZONE).normalize().replace(day=1)


@pytest.fixture(scope="module")
def lines(world: Settings) -> pd.DataFrame:
    """Purchases that were known when the month began, of the products that relations are looked for between."""
    lake = built.lake(world).drop_duplicates("interaction_id")
    lake["available_at"] = lake[["occurred_at", "received_at"]].max(axis=1)
    lake["evidence_at"] = lake[["occurred_at", "received_at"]].min(axis=1)
    # A till sends an order's number as the session.
    sold = lake[(lake.interaction_type == "Order Completed") & (lake.available_at < VERSION)]
    lines = sold.product_id.value_counts()
    products = built.catalog(world, "products").drop_duplicates("product_id").set_index("product_id")
    wanted = products.loc[products.index.isin(lines[lines >= VARS["relation_minimum_lines"]].index)].copy()
    wanted = wanted[wanted.category.notna()]
    wanted["type"] = wanted.product_type.fillna(wanted.category)
    wanted["line_count"] = lines.reindex(wanted.index)
    wanted["id"] = wanted.index
    wanted = wanted.sort_values(["line_count", "id"], ascending=[False, True])
    wanted = wanted.groupby("type").head(VARS["relation_products_of_a_type"])
    sold = sold[sold.product_id.isin(wanted.index) & (sold.quantity > 0) & sold.session_id.notna()].copy()
    for name in ("category", "type"):
        sold[name] = sold.product_id.map(wanted[name])
    return sold


def expected(lines: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    baskets: dict[Any, set[str]] = defaultdict(set)
    first: dict[tuple[str, str], pd.Timestamp] = {}
    about: dict[str, Any] = {}
    for row in lines.itertuples():
        baskets[row.customer_key, row.session_id].add(row.product_id)
        who = (row.customer_key, row.product_id)
        first[who] = min(first.get(who, row.evidence_at), row.evidence_at)
        about[row.product_id] = row
    in_baskets = Counter(product for basket in baskets.values() for product in basket)
    buyers: dict[str, set[str]] = defaultdict(set)
    of_type: dict[str, set[str]] = defaultdict(set)
    for person, product in first:
        buyers[product].add(person)
        of_type[about[product].type].add(person)
    together = Counter(
        pair for basket in baskets.values() for pair in itertools.permutations(sorted(basket), 2)
    )
    found: dict[tuple[str, str, str], dict[str, Any]] = {}

    def relate(kind: str, one: str, other: str, support: int, of: int, count: int, chance: float) -> None:
        low = (count - 2 * math.sqrt(count)) / chance
        if low > 1:
            found[one, kind, other] = {
                "support_count": support,
                "confidence": support / of,
                "lift": count / chance,
                "lift_low": low,
            }

    least = VARS["relation_minimum_support"]
    for one, other in itertools.permutations(sorted(about), 2):
        both = together[one, other]
        if about[one].category != about[other].category:
            if both >= least:
                chance = in_baskets[one] * in_baskets[other] / len(baskets)
                relate("complement", one, other, both, in_baskets[one], both, chance)
            continue
        if about[one].type != about[other].type:
            continue
        people = buyers[one] & buyers[other]
        if len(people) < least:
            continue
        chance = len(buyers[one]) * len(buyers[other]) / len(of_type[about[one].type])
        if both / min(in_baskets[one], in_baskets[other]) <= VARS["substitute_together_share"]:
            relate("substitute", one, other, len(people), len(buyers[one]), len(people), chance)
    return found


def test_every_relation_is_what_baskets_and_people_say(world: Settings, lines: pd.DataFrame) -> None:
    found = built.published(world, "fct_product_relations")
    wanted = expected(lines)
    ranked: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    for (one, kind, other), row in wanted.items():
        ranked[one, kind].append((-row["lift_low"], other))
    kept = {
        (one, kind, other): rank
        for (one, kind), rows in ranked.items()
        for rank, (_, other) in enumerate(sorted(rows)[: VARS["relations_of_a_product"]], 1)
    }
    mine = found[found.relation != "premium"]
    assert len(kept) > 40
    assert len(mine) == len(kept)
    assert {
        (row.product_id, row.relation, row.other_product_id): row.relation_rank for row in mine.itertuples()
    } == kept
    for row in mine.itertuples():
        for name, value in wanted[row.product_id, row.relation, row.other_product_id].items():
            assert getattr(row, name) == pytest.approx(value, rel=1e-9), (row, name)
    assert set(found.known_at) == {VERSION}
