"""Rectangles of made-up customers and offers, in the shape in which the feature service gives them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from genome.match import GeneIndex
from models.features import Rectangle, gene_hash

GENES = [
    *((100 + number, "department") for number in range(3)),
    *((200 + number, "category") for number in range(5)),
    *((300 + number, "product_type") for number in range(8)),
    *((400 + number, "brand") for number in range(8)),
    (gene_hash("brand_type:Private"), "brand_type"),
    (gene_hash("brand_type:National"), "brand_type"),
    (gene_hash("price_tier:lower"), "price_tier"),
    (gene_hash("price_tier:upper"), "price_tier"),
    (700, "pack_size"),
    *((800 + number, "product") for number in range(30)),
]
"""(gene_hash, locus_id)"""

INDEX = GeneIndex.of([gene for gene, _ in GENES], [locus for _, locus in GENES])

AT = "2017-08-08T04:00:00Z"
_LIST = {
    "gene_hashes": pa.list_(pa.int64()),
    "affinities_character": pa.list_(pa.float32()),
    "shares_now": pa.list_(pa.float32()),
    "shares_character": pa.list_(pa.float32()),
    "last_at_days": pa.list_(pa.int32()),
    "purchase_hashes": pa.list_(pa.int64()),
    "purchase_days": pa.list_(pa.int32()),
    "purchase_amounts": pa.list_(pa.float32()),
}
_INSTANTS = (
    "first_order_at",
    "last_order_at",
    "last_coupon_order_at",
    "last_campaign_at",
    "last_redemption_at",
)
_WORDS = ("age_band", "income_band", "household_size", "kids_count")
_INSTANT = pa.timestamp("us", "UTC")


def customers(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The customers' views; what a row leaves out is empty or null."""
    from models.features import _TRAITS

    columns: dict[str, pa.Array] = {
        name: pa.array([row.get(name, []) for row in rows], kind) for name, kind in _LIST.items()
    }
    columns |= {name: pa.array([row.get(name) for row in rows], pa.float64()) for name in _TRAITS}
    columns |= {name: pa.array([row.get(name) for row in rows], _INSTANT) for name in _INSTANTS}
    columns |= {name: pa.array([row.get(name) for row in rows], pa.string()) for name in _WORDS}
    return pa.table(columns)


def offers(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The offers' view."""
    starts = pd.Timestamp("2017-08-08T04:00:00Z")
    columns: dict[str, pa.Array] = {
        "gene_hashes": pa.array([row["gene_hashes"] for row in rows], pa.list_(pa.int64())),
        "gene_weights": pa.array([row["gene_weights"] for row in rows], pa.list_(pa.float32())),
        "gene_sales_weights": pa.array(
            [row.get("gene_sales_weights", row["gene_weights"]) for row in rows], pa.list_(pa.float32())
        ),
        "campaign_type": pa.array([row.get("campaign_type", "Type A") for row in rows]),
        "starts_at": pa.array([row.get("starts_at", starts) for row in rows], _INSTANT),
        "ends_at": pa.array([row.get("ends_at", starts + pd.Timedelta(days=47)) for row in rows], _INSTANT),
    }
    numbers = (
        "product_count",
        "popularity_h28_sum",
        "popularity_h180_sum",
        "amount_h180_sum",
        "customers_d90_count",
        "redemption_count",
        "send_count",
    )
    columns |= {name: pa.array([row.get(name, 1.0) for row in rows], pa.float64()) for name in numbers}
    return pa.table(columns)


def rectangle(
    of_customers: Sequence[Mapping[str, Any]], of_offers: Sequence[Mapping[str, Any]], at: str = AT
) -> Rectangle:
    """A rectangle of literal rows."""
    return Rectangle(
        at=pd.Timestamp(at),
        timezone="America/New_York",
        index=INDEX,
        customers=customers(of_customers),
        offers=offers(of_offers),
    )


def random_rectangle(count: int = 12, of_offers: int = 9, seed: int = 8, at: str = AT) -> Rectangle:
    """A rectangle of seeded rows: nobody's history is empty but the first one's, and some days come in parts."""
    random = np.random.default_rng(seed)
    today = (pd.Timestamp(at).tz_localize(None) - pd.Timestamp("1970-01-01")).days
    products = np.arange(800, 830)
    by_gene = dict(GENES)
    rows = [_customer(random, by_gene, products, today, is_new=number == 0) for number in range(count)]
    return rectangle(rows, [_offer(random, by_gene, products) for _ in range(of_offers)], at)


def _customer(
    random: np.random.Generator, by_gene: Mapping[int, str], products: np.ndarray, today: int, *, is_new: bool
) -> dict[str, Any]:
    genes = np.array(sorted(by_gene))
    chosen = genes[random.random(len(genes)) < (0 if is_new else 0.6)]
    bought = random.choice(products, 0 if is_new else int(random.integers(5, 40)))
    days = today - 1 - random.integers(0, 60, len(bought))
    order = np.lexsort((days, bought))
    bought, days = bought[order], days[order]
    if len(bought):
        # One day known in parts.
        bought, days = np.append(bought, bought[-1]), np.append(days, days[-1])
    trait = random.random
    return {
        "gene_hashes": chosen.tolist(),
        "affinities_character": (5 * random.random(len(chosen))).tolist(),
        "shares_now": [None if random.random() < 0.1 else value for value in random.random(len(chosen))],
        "shares_character": random.random(len(chosen)).tolist(),
        "last_at_days": (today - 1 - random.integers(0, 200, len(chosen))).tolist(),
        "purchase_hashes": bought.tolist(),
        "purchase_days": days.tolist(),
        "purchase_amounts": np.round(10 * random.random(len(bought)), 2).tolist(),
        "orders_h28_sum": trait(),
        "orders_h180_sum": 1 + trait(),
        "amount_h180_sum": 100 * trait(),
        "campaign_count": 3.0,
        "redeemed_campaign_count": float(random.integers(3)),
        "last_order_at": pd.Timestamp(AT) - pd.Timedelta(days=float(random.integers(1, 30))),
        "age_band": "35-44",
    }


def _offer(random: np.random.Generator, by_gene: Mapping[int, str], products: np.ndarray) -> dict[str, Any]:
    others = np.array([gene for gene, locus in by_gene.items() if locus != "product"])
    some = np.sort(random.choice(others, 9, replace=False))
    covered = np.sort(random.choice(products, int(random.integers(2, 6)), replace=False))
    genes = np.sort(np.concatenate([some, covered]))
    return {
        "gene_hashes": genes.tolist(),
        "gene_weights": random.random(len(genes)).tolist(),
        "gene_sales_weights": random.random(len(genes)).tolist(),
        "product_count": float(len(covered)),
        "popularity_h28_sum": float(random.random()),
        "popularity_h180_sum": float(5 * random.random()),
        "amount_h180_sum": float(9 * random.random()),
        "customers_d90_count": float(random.integers(1, 50)),
        "redemption_count": float(random.integers(4)),
        "send_count": 20.0,
    }
