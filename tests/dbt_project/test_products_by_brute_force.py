"""Product DNA, offers and labels against their definitions, in pandas."""

import hashlib
import json
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from support import built

from genome.settings import Settings

ZONE = "America/New_York"


@pytest.fixture(scope="session")
def lake(world: Settings) -> pd.DataFrame:
    rows = built.first_deliveries(world)
    rows["available_at"] = rows[["occurred_at", "received_at"]].max(axis=1)
    rows["evidence_at"] = rows[["occurred_at", "received_at"]].min(axis=1)
    return rows


@pytest.fixture(scope="session")
def dna(world: Settings) -> pd.DataFrame:
    return built.published(world, "dim_product_dna")


def days(instants: pd.Series) -> np.ndarray:
    return instants.dt.as_unit("us").astype("int64").to_numpy() / 86_400e6


def third(values: pd.Series) -> pd.Series | None:
    """Which third of the group each value lies in; equal values share the lowest rank."""
    if len(values) < 3:
        return None
    rank = (values.rank(method="min") - 1) / (len(values) - 1)
    return pd.Series(np.where(rank < 1 / 3, 1, np.where(rank < 2 / 3, 2, 3)), index=values.index)


def test_the_gene_hash_can_be_computed_in_python(dna: pd.DataFrame) -> None:
    some = dna.drop_duplicates("gene_id").sample(200, random_state=0)
    expected = [int(hashlib.md5(gene.encode()).hexdigest()[:15], 16) for gene in some.gene_id]
    assert list(some.gene_hash) == expected


def test_price_tiers_come_from_sales_before_the_month(
    world: Settings, lake: pd.DataFrame, dna: pd.DataFrame
) -> None:
    products = built.catalog(world, "products").set_index("product_id")
    sold = lake[(lake.interaction_type == "Order Completed") & (lake.quantity > 0)].copy()
    sold["discount"] = [float(json.loads(text).get("retail_discount", 0)) for text in sold.properties]
    sold["shelf"] = sold.amount.astype(float) + sold.discount
    sold = sold[sold.shelf > 0]
    sold["category"] = sold.product_id.map(products.category)
    tiers = dna[dna.locus_id == "price_tier"]
    compared = 0
    for month in ("2017-04-01", "2017-09-01", "2017-12-01"):
        start = pd.Timestamp(month, tz=ZONE)
        notice = start - pd.DateOffset(days=7)
        before = sold[sold.available_at < notice].groupby("product_id")[["shelf", "quantity"]].sum()
        price = (before.shelf / before.quantity).round(6)
        category = products.category.reindex(price.index)
        expected: dict[str, str] = {}
        for _, group in price.groupby(category):
            thirds = third(group)
            if thirds is not None:
                expected |= thirds.map({1: "lower", 2: "middle", 3: "upper"}).to_dict()
        valid = tiers[(tiers.valid_from <= start) & (tiers.valid_to.isna() | (tiers.valid_to > start))]
        found = dict(zip(valid.product_id, valid.gene_id.str.removeprefix("price_tier:"), strict=True))
        assert found == expected
        compared += len(found)
    assert compared > 1_000


def test_dna_adds_up_to_one_in_each_locus_at_any_time(dna: pd.DataFrame) -> None:
    for at in ("2017-01-01", "2017-06-15", "2017-12-31"):
        now = pd.Timestamp(at, tz=ZONE)
        valid = dna[(dna.valid_from <= now) & (dna.valid_to.isna() | (dna.valid_to > now))]
        sums = valid.groupby(["product_id", "locus_id"]).weight.sum()
        assert len(sums) > 100_000
        assert sums.to_numpy() == pytest.approx(1.0, abs=1e-12)


def test_offer_dna_and_popularity_by_hand(world: Settings, lake: pd.DataFrame, dna: pd.DataFrame) -> None:
    offers = built.published(world, "feat_offer_dna")
    covers = built.catalog(world, "offers").drop_duplicates(["offer_id", "product_id"])
    covered = covers.groupby("offer_id").product_id.apply(set)
    sold = lake[lake.interaction_type == "Order Completed"]
    by_product = dict(list(dna[dna.product_id.isin(set().union(*covered))].groupby("product_id")))
    lines_of = dict(list(sold.groupby("product_id")))
    sample = offers[offers.product_count.between(2, 60)].sample(40, random_state=1)
    for row in sample.itertuples():
        popular, popularity = {}, 0.0
        for product in covered[row.offer_id]:
            lines = lines_of.get(product)
            lines = lines[lines.available_at < row.valid_at] if lines is not None else None
            age = (
                days(pd.Series([row.valid_at]))[0] - days(lines.evidence_at)
                if lines is not None
                else np.zeros(0)
            )
            popular[product] = float((2.0 ** (-age / 180)).sum()) if len(age) else 0.0
            popularity += float((2.0 ** (-age / 28)).sum()) if len(age) else 0.0
        assert row.popularity_h28_sum == pytest.approx(popularity, rel=1e-9, abs=1e-12)
        assert row.popularity_h180_sum == pytest.approx(sum(popular.values()), rel=1e-9, abs=1e-12)
        weights: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for product in covered[row.offer_id] & by_product.keys():
            genes = by_product[product]
            genes = genes[
                (genes.valid_from <= row.valid_at) & (genes.valid_to.isna() | (genes.valid_to > row.valid_at))
            ]
            for locus, gene_hash, weight in zip(genes.locus_id, genes.gene_hash, genes.weight, strict=True):
                weights[locus, gene_hash][0] += weight
                weights[locus, gene_hash][1] += weight * (popular[product] + 0.001)
        totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for (locus, _), (plain, by_sales) in weights.items():
            totals[locus][0] += plain
            totals[locus][1] += by_sales
        # Of claims, the part of all the products.
        totals["claim"] = [len(popular), sum(popular.values()) + 0.001 * len(popular)]
        expected = sorted((gene_hash, locus) for locus, gene_hash in weights)
        assert list(row.gene_hashes) == [gene_hash for gene_hash, _ in expected]
        for place, (gene_hash, locus) in enumerate(expected):
            plain, by_sales = weights[locus, gene_hash]
            assert row.gene_weights[place] == pytest.approx(plain / totals[locus][0], rel=1e-6)
            assert row.gene_sales_weights[place] == pytest.approx(by_sales / totals[locus][1], rel=1e-6)


def test_labels_of_every_pair_by_hand(world: Settings, lake: pd.DataFrame) -> None:
    outcomes = built.published(world, "fct_offer_outcomes")
    offers = built.published(world, "dim_offers").set_index("offer_id")
    covers = built.catalog(world, "offers").drop_duplicates(["offer_id", "product_id"])
    covered = covers.groupby("offer_id").product_id.apply(set)
    sends = lake[lake.interaction_type == "Campaign Sent"]
    campaign_of = [json.loads(text)["campaign_id"] for text in sends.properties]
    expected: dict[tuple[str, str], tuple[bool, bool]] = {}
    redeemed = lake[lake.interaction_type == "Coupon Applied"]
    used = set(zip(redeemed.customer_key, redeemed.offer_id, strict=True))
    sold = lake[lake.interaction_type == "Order Completed"]
    for key, campaign in sorted(set(zip(sends.customer_key, campaign_of, strict=True))):
        mine = sold[sold.customer_key == key]
        for offer_id, offer in offers[offers.campaign_id == campaign].iterrows():
            if offer.ends_at > pd.Timestamp(built.NOW):
                continue
            inside = mine[(mine.occurred_at >= offer.starts_at) & (mine.occurred_at < offer.ends_at)]
            bought = bool(set(inside.product_id) & covered[offer_id])
            expected[f"household:{key}", str(offer_id)] = ((key, offer_id) in used, bought)
    found = {
        (customer, offer): (is_redeemed, is_bought)
        for customer, offer, is_redeemed, is_bought in zip(
            outcomes.customer_id, outcomes.offer_id, outcomes.is_redeemed, outcomes.is_bought, strict=True
        )
    }
    assert found == expected
    assert sum(bought for _, bought in found.values()) > 50
    assert len(found) == len(outcomes)
