"""Feature tables for tests: a hand-made dbt manifest, and publications that hold every type served."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genome.lake import publish
from genome.settings import Settings

CUT_OFF = datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")

CONTRACTS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "feat_customer_traits": (
        {"entity": "customer", "ttl_days": 7},
        {
            "customer_id": "varchar",
            "valid_at": "timestamptz",
            "known_at": "timestamptz",
            "first_order_at": "timestamptz",
            "order_count": "bigint",
            "store_count": "integer",
            "amount_h28_sum": "double",
            "price_tier_level": "float",
            "age_band": "varchar",
            "is_member": "boolean",
        },
    ),
    "feat_customer_genome": (
        {"entity": "customer", "ttl_days": 7},
        {
            "customer_id": "varchar",
            "valid_at": "timestamp with time zone",
            "known_at": "timestamp with time zone",
            "gene_hashes": "bigint[]",
            "affinities_now": "float[]",
            "shares_now": "double[]",
            "last_at_days": "integer[]",
        },
    ),
    "feat_offer_dna": (
        {"entity": "offer", "ttl_days": 7},
        {
            "offer_id": "varchar",
            "valid_at": "timestamptz",
            "known_at": "timestamptz",
            "label": "varchar",
            "gene_hashes": "bigint[]",
            "gene_weights": "float[]",
        },
    ),
    "feat_customer_offer_scores": (
        {"entity": "customer", "ttl_days": 7},
        {
            "customer_id": "varchar",
            "valid_at": "timestamptz",
            "known_at": "timestamptz",
            "offer_ids": "varchar[]",
            "scores": "double[]",
        },
    ),
}

SERVICES: dict[str, tuple[tuple[str, ...], str]] = {
    "next_best_offer_v1": (
        ("feat_customer_traits", "feat_customer_genome", "feat_offer_dna"),
        "For training.",
    ),
    "customer_genome_v1": (
        ("feat_customer_traits", "feat_customer_genome", "feat_customer_offer_scores"),
        "For pages.",
    ),
    "offers_v1": (("feat_offer_dna",), "For decisions."),
}
"""Services over these tables, in the place of the project's own, which grow."""

ARROW: dict[str, pa.DataType] = {
    "varchar": pa.string(),
    "timestamptz": INSTANT,
    "timestamp with time zone": INSTANT,
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


def node(name: str, meta: Mapping[str, Any] | None, columns: Mapping[str, str]) -> dict[str, Any]:
    """One dbt model as a manifest holds it, with what is read of it."""
    return {
        "resource_type": "model",
        "name": name,
        "description": f"About {name}.",
        "config": {"contract": {"enforced": True}, "meta": {"feast": dict(meta)} if meta else {}},
        "columns": {
            column: {"name": column, "data_type": kind, "description": f"The {column}."}
            for column, kind in columns.items()
        },
    }


def manifest(**changed: Mapping[str, str]) -> dict[str, Any]:
    """The manifest of `CONTRACTS`; a table named here has these columns instead."""
    nodes = {
        f"model.customer_genome.{name}": node(name, meta, changed.get(name, columns))
        for name, (meta, columns) in CONTRACTS.items()
    }
    nodes["model.customer_genome.dim_products"] = node("dim_products", None, {"product_id": "varchar"})
    nodes["seed.customer_genome.loci"] = {"resource_type": "seed", "name": "loci"}
    return {"nodes": nodes}


def table(name: str, rows: list[dict[str, Any]], columns: Mapping[str, str] | None = None) -> pa.Table:
    """Rows as the published table of a contract; columns that a row leaves out are null."""
    columns = columns or CONTRACTS[name][1]
    return pa.table(
        {column: pa.array([row.get(column) for row in rows], ARROW[kind]) for column, kind in columns.items()}
    )


def put(settings: Settings, group: str, tables: Mapping[str, pa.Table]) -> publish.Publication:
    """Publish tables as one new epoch."""
    area = publish.stage(settings, group)
    for name, each in tables.items():
        pq.write_table(each, area.file("features", name), row_group_size=700)
    return publish.publish(area)


def customers(count: int, genes: int = 12) -> dict[str, pa.Table]:
    """Two tables of customers with all that happens: nulls, empty lists, rows of the past and to come."""
    random = np.random.default_rng(20180101)
    traits: list[dict[str, Any]] = []
    vectors: list[dict[str, Any]] = []
    for number in range(count):
        customer = f"household:{number}"
        for days in (60, 0):
            at = CUT_OFF - timedelta(days=days)
            size = 0 if number % 11 == 0 else int(random.integers(1, genes + 1))
            traits.append(
                {
                    "customer_id": customer,
                    "valid_at": at,
                    "known_at": at,
                    "first_order_at": None if number % 7 == 0 else at - timedelta(seconds=number * 3601),
                    "order_count": None if number % 5 == 0 else int(random.integers(-(2**60), 2**60)),
                    "store_count": -number if number % 3 else None,
                    "amount_h28_sum": [None, float("nan"), 0.0][number] if number < 3 else random.normal(),
                    "price_tier_level": None if number % 4 == 0 else random.random(),
                    "age_band": ["", None, "Émilie · 35–44"][number % 3],
                    "is_member": [True, False, None][number % 3],
                }
            )
            vectors.append(
                {
                    "customer_id": customer,
                    "valid_at": at,
                    "known_at": at,
                    "gene_hashes": None
                    if number % 13 == 0
                    else sorted(random.integers(-(2**63), 2**63 - 1, size).tolist()),
                    "affinities_now": random.random(size).astype("f4").tolist(),
                    "shares_now": [None if place == 3 else x for place, x in enumerate(random.random(size))],
                    "last_at_days": random.integers(-5, 20_000, size).tolist(),
                }
            )
    # Not yet valid, and not yet known, at the cut-off: nobody may see these.
    for late in (
        {"valid_at": CUT_OFF + timedelta(days=1), "known_at": CUT_OFF},
        {"valid_at": CUT_OFF, "known_at": CUT_OFF + timedelta(days=1)},
    ):
        traits.append({"customer_id": "household:1", "order_count": 666} | late)
        traits.append({"customer_id": "household:unborn", "order_count": 666} | late)
    order = random.permutation(len(traits))
    return {
        "feat_customer_traits": table("feat_customer_traits", [traits[place] for place in order]),
        "feat_customer_genome": table("feat_customer_genome", vectors),
    }


def offers(count: int) -> dict[str, pa.Table]:
    """The offers' table at the cut-off."""
    rows = [
        {
            "offer_id": f"26-{number}",
            "valid_at": CUT_OFF,
            "known_at": CUT_OFF,
            "label": f"Offer {number}",
            "gene_hashes": [number, number + 1],
            "gene_weights": [0.25, 0.75],
        }
        for number in range(count)
    ]
    return {"feat_offer_dna": table("feat_offer_dna", rows)}


def scores(count: int) -> dict[str, pa.Table]:
    """Every second customer's offers."""
    rows = [
        {
            "customer_id": f"household:{number}",
            "valid_at": CUT_OFF,
            "known_at": CUT_OFF,
            "offer_ids": [f"26-{place}" for place in range(number % 4)],
            "scores": [1 / (place + 1) for place in range(number % 4)],
        }
        for number in range(0, count, 2)
    ]
    return {"feat_customer_offer_scores": table("feat_customer_offer_scores", rows)}
