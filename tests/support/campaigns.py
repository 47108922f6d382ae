"""A year of made-up campaigns, published as the build would: who buys what an offer covers redeems it more often.

Five campaigns of ten offers reach 90 customers. Rows come at each label time and at the cut-off, from purchases
before it; tables have the columns of the dbt contracts, so a contract that changes changes these, too.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from genome.lake import publish
from genome.settings import PROJECT_ROOT, Settings
from models.features import gene_hash

TIMEZONE = "America/New_York"
CUT_OFF = pd.Timestamp("2018-01-01T04:59:59Z")
CUSTOMERS = 90
OFFERS = 10
PRODUCTS = 40

CAMPAIGNS = {
    # id: first and last local date; the fourth is a test, the fifth is still on at the cut-off.
    "1": ("2017-03-01", "2017-03-31"),
    "2": ("2017-05-01", "2017-05-31"),
    "3": ("2017-08-10", "2017-09-10"),
    "4": ("2017-10-10", "2017-11-10"),
    "5": ("2017-12-20", "2018-01-20"),
}

FEATURES = ("feat_customer_traits", "feat_customer_genome", "feat_customer_purchases", "feat_offer_dna")

_LOCI = {"department": 3, "category": 5, "product_type": 8, "brand": 6}
_ARROW = {
    "varchar": pa.string(),
    "timestamptz": pa.timestamp("us", "UTC"),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "double": pa.float64(),
    "float": pa.float32(),
    "boolean": pa.bool_(),
    "bigint[]": pa.list_(pa.int64()),
    "integer[]": pa.list_(pa.int32()),
    "float[]": pa.list_(pa.float32()),
    "double[]": pa.list_(pa.float64()),
    "varchar[]": pa.list_(pa.string()),
}


def manifest() -> dict[str, Any]:
    """The feature tables' contracts, from their YAML, as dbt's manifest holds them."""
    nodes: dict[str, Any] = {}
    for path in sorted((PROJECT_ROOT / "dbt_project" / "models").rglob("feat_*.yml")):
        for node in yaml.safe_load(path.read_text())["models"]:
            nodes[f"model.customer_genome.{node['name']}"] = {
                "resource_type": "model",
                "name": node["name"],
                "description": node["description"],
                "config": node["config"],
                "columns": {column["name"]: column for column in node["columns"]},
            }
    return {"nodes": nodes}


def midnight(day: str, days_later: int = 0) -> pd.Timestamp:
    """The instant at which a local date begins."""
    return (pd.Timestamp(day) + pd.Timedelta(days=days_later)).tz_localize(TIMEZONE).tz_convert("UTC")


@dataclass(frozen=True)
class World:
    """Tables by name."""

    tables: Mapping[str, pa.Table]

    def publish(self, settings: Settings) -> publish.Publication:
        """Make them the current publication."""
        area = publish.stage(settings, "genome")
        for name, table in self.tables.items():
            kind = "features" if name.startswith("feat_") else "evaluation"
            pq.write_table(table, area.file(kind, name))
        return publish.publish(area)


@functools.cache
def world(seed: int = 11, signal: float = 3.0) -> World:
    """Make the tables.

    Args:
        seed: of everything.
        signal: how much more often a customer redeems what they buy; 0: not at all.
    """
    random = np.random.default_rng(seed)
    names = [f"household:{number}" for number in range(CUSTOMERS)]
    alleles = {locus: random.integers(0, count, PRODUCTS) for locus, count in _LOCI.items()}
    genes = _genes(alleles)
    taste = random.dirichlet(np.full(PRODUCTS, 0.15), CUSTOMERS)
    keen = random.normal(0, 0.8, CUSTOMERS)
    first_day = (pd.Timestamp("2017-01-02") - pd.Timestamp("1970-01-01")).days
    history = [
        _purchases(random, taste[number], first_day, int(random.integers(60, 160)))
        for number in range(CUSTOMERS)
    ]
    covers = {
        f"{campaign}-{place}": np.sort(random.choice(PRODUCTS, int(random.integers(2, 5)), replace=False))
        for campaign in CAMPAIGNS
        for place in range(OFFERS)
    }
    instants = sorted({*(midnight(first) for first, _ in CAMPAIGNS.values()), CUT_OFF})
    traits, vectors, bought = [], [], []
    for at in instants:
        for number, name in enumerate(names):
            key = {"customer_id": name, "valid_at": at, "known_at": at}
            days, products, amounts = _before(history[number], at)
            traits.append(key | _traits(days, amounts, at))
            vectors.append(key | _vector(days, products, alleles, at))
            bought.append(
                key
                | {
                    "purchase_hashes": [gene_hash(f"product:{product}") for product in products],
                    "purchase_days": days.tolist(),
                    "purchase_amounts": amounts.tolist(),
                }
            )
    dna, dims, outcomes, baselines = [], [], [], []
    for campaign, (first, last) in CAMPAIGNS.items():
        starts, ends = midnight(first), midnight(last, 1)
        offers = [f"{campaign}-{place}" for place in range(OFFERS)]
        for offer in offers:
            dims.append({"offer_id": offer, "campaign_id": campaign, "starts_at": starts, "ends_at": ends})
            for at in [starts, *([CUT_OFF] if starts <= CUT_OFF < ends else [])]:
                dna.append(_dna(offer, campaign, covers[offer], alleles, at, starts, ends))
        if ends > CUT_OFF:
            continue
        for number, name in enumerate(names):
            days, products, _ = _before(history[number], starts)
            for offer in offers:
                own = {
                    int(day) for day, product in zip(days, products, strict=True) if product in covers[offer]
                }
                chance = 1 / (1 + np.exp(2.6 - keen[number] - signal * np.log1p(len(own)) / 2))
                pair = {
                    "campaign_id": campaign,
                    "label_at": starts,
                    "customer_id": name,
                    "offer_id": offer,
                }
                redeemed = bool(random.random() < chance)
                outcomes.append(
                    pair | {"is_redeemed": redeemed, "is_bought": redeemed or bool(random.random() < 0.1)}
                )
                baselines.append(
                    pair
                    | {
                        "own_day_count": len(own),
                        "own_days_h90_sum": sum(2.0 ** (-(_day(starts) - day) / 90) for day in own),
                        "customers_d90_count": int(random.integers(1, 40)),
                    }
                )
    return World(
        {
            "feat_customer_traits": _table("feat_customer_traits", traits),
            "feat_customer_genome": _table("feat_customer_genome", vectors),
            "feat_customer_purchases": _table("feat_customer_purchases", bought),
            "feat_offer_dna": _table("feat_offer_dna", dna),
            "fct_offer_outcomes": pa.Table.from_pylist(outcomes).cast(_outcomes_schema(outcomes)),
            "fct_offer_baselines": pa.Table.from_pylist(baselines),
            "dim_offers": pa.Table.from_pylist(dims),
            "dim_genes": pa.Table.from_pylist(genes),
            "dim_customers": pa.table({"customer_id": names, "source_key": names}),
        }
    )


def _outcomes_schema(rows: list[dict[str, Any]]) -> pa.Schema:
    return pa.Table.from_pylist(rows[:1]).schema


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    columns = manifest()["nodes"][f"model.customer_genome.{name}"]["columns"]
    unknown = {key for row in rows for key in row} - set(columns)
    assert not unknown, f"{name} has no column {unknown}"
    empty: Any = []
    return pa.table(
        {
            column: pa.array(
                [row.get(column, empty if said["data_type"].endswith("[]") else None) for row in rows],
                _ARROW[said["data_type"]],
            )
            for column, said in columns.items()
        }
    )


def _genes(alleles: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    ids = [f"{locus}:{allele}" for locus in _LOCI for allele in np.unique(alleles[locus])]
    ids += [f"product:{product}" for product in range(PRODUCTS)]
    ids += ["brand_type:Private", "price_tier:upper", "pack_size:large"]
    return [{"gene_hash": gene_hash(gene), "gene_id": gene, "locus_id": gene.split(":")[0]} for gene in ids]


def _purchases(
    random: np.random.Generator, taste: np.ndarray, first_day: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    products = random.choice(PRODUCTS, count, p=taste)
    return first_day + random.integers(0, 364, count), products, np.round(5 * random.random(count) + 0.5, 2)


def _before(
    history: tuple[np.ndarray, np.ndarray, np.ndarray], at: pd.Timestamp
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    days, products, amounts = history
    some = np.flatnonzero(days < _day(at))
    hashes = np.array([gene_hash(f"product:{product}") for product in products[some]], dtype=np.int64)
    some = some[np.lexsort((days[some], hashes))]
    return days[some], products[some], amounts[some]


def _day(at: pd.Timestamp) -> int:
    local = at.tz_convert(TIMEZONE).tz_localize(None)
    return (local - pd.Timestamp("1970-01-01")).days


def _traits(days: np.ndarray, amounts: np.ndarray, at: pd.Timestamp) -> dict[str, Any]:
    age = _day(at) - days
    epoch = pd.Timestamp("1970-01-01", tz="UTC")
    return {
        "first_order_at": epoch + pd.Timedelta(days=float(days.min()), hours=17) if len(days) else None,
        "last_order_at": epoch + pd.Timedelta(days=float(days.max()), hours=17) if len(days) else None,
        "order_count": len(days),
        "order_day_count": len(np.unique(days)),
        "orders_h28_sum": float((2.0 ** (-age / 28)).sum()),
        "orders_h180_sum": float((2.0 ** (-age / 180)).sum()),
        "amount_h180_sum": float((amounts * 2.0 ** (-age / 180)).sum()),
        "campaign_count": sum(midnight(first) < at for first, _ in CAMPAIGNS.values()),
        "redemption_count": 0,
        "redeemed_campaign_count": 0,
        "age_band": "35-44",
    }


def _vector(
    days: np.ndarray, products: np.ndarray, alleles: Mapping[str, np.ndarray], at: pd.Timestamp
) -> dict[str, Any]:
    rows: dict[int, list[float]] = {}
    for locus, name in [*((locus, alleles[locus][products]) for locus in _LOCI), ("product", products)]:
        weights = {half_life: 2.0 ** (-(_day(at) - days) / half_life) for half_life in (28, 180)}
        for allele in np.unique(name):
            own = name == allele
            rows[gene_hash(f"{locus}:{allele}")] = [
                weights[28][own].sum(),
                weights[180][own].sum(),
                weights[28][own].sum() / weights[28].sum(),
                weights[180][own].sum() / weights[180].sum(),
                int(days[own].max()),
            ]
    order = sorted(rows)
    values = [[rows[gene][place] for gene in order] for place in range(5)]
    return {
        "gene_hashes": order,
        "affinities_now": values[0],
        "affinities_character": values[1],
        "shares_now": values[2],
        "shares_character": values[3],
        "last_at_days": values[4],
    }


def _dna(
    offer: str,
    campaign: str,
    covered: np.ndarray,
    alleles: Mapping[str, np.ndarray],
    at: pd.Timestamp,
    starts: pd.Timestamp,
    ends: pd.Timestamp,
) -> dict[str, Any]:
    weights: dict[int, float] = {}
    for product in covered:
        for gene in [*(f"{locus}:{alleles[locus][product]}" for locus in _LOCI), f"product:{product}"]:
            weights[gene_hash(gene)] = weights.get(gene_hash(gene), 0.0) + 1 / len(covered)
    order = sorted(weights)
    return {
        "offer_id": offer,
        "valid_at": at,
        "known_at": at,
        "label": f"Offer {offer}",
        "kind": "cross_sell",
        "campaign_id": campaign,
        "campaign_type": "Type A",
        "coupon_upc": offer,
        "starts_at": starts,
        "ends_at": ends,
        "product_count": len(covered),
        "gene_hashes": order,
        "gene_weights": [weights[gene] for gene in order],
        "gene_sales_weights": [weights[gene] for gene in order],
        "popularity_h28_sum": 1.0 + len(covered),
        "popularity_h180_sum": 5.0 + len(covered),
        "redemption_count": 0,
        "send_count": 0,
    }
