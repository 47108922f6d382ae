"""A small published world for tests of decisions and pages: six genes, three offers, three customers.

Published files are real (through `genome.lake.publish`), the events store is a real Valkey; online features
are rows in memory, in the very type that `OnlineReader` gives.
"""

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from genome.api.app import create_app
from genome.api.auth import SCOPES
from genome.api.log import DecisionLog, quick_client
from genome.api.server import server
from genome.api.service import GenomeService
from genome.collector import sources
from genome.errors import GenomeError
from genome.features.definitions import LoadedView
from genome.features.live import Live
from genome.features.online import OnlineRow, OnlineRows
from genome.identity.tokens import Tokeniser
from genome.lake import publish
from genome.settings import Settings

NOW = datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)
DAY = timedelta(days=1)
EPOCH = "20180101T045959000000-test"

GENES = [
    # gene_hash, gene_id, locus, number, label, population share
    (101, "category:YOGURT", "category", 2, "yogurt", 0.02),
    (102, "category:CHEESE", "category", 2, "cheese", 0.05),
    (103, "category:BEEF", "category", 2, "beef", 0.08),
    (201, "brand_type:National", "brand_type", 5, "national brands", 0.75),
    (202, "brand_type:Private", "brand_type", 5, "the store's own brands", 0.25),
    (301, "product:9", "product", 8, "<b>milk & honey</b>", None),
]

TRAITS: dict[str, Any] = {
    "first_order_at": datetime(2017, 1, 3, 15, tzinfo=UTC),
    "last_order_at": NOW - 3 * DAY,
    "order_count": 52,
    "order_gap_mean_days": 7.0,
    "order_gap_spread_days": 2.0,
    "amount_h28_sum": 400.0,
    "amount_h180_sum": 2000.0,
    "campaign_count": 4,
    "redemption_count": 2,
    "category_count": 60,
    "category_entropy": 3.0,
    "private_brand_share": 0.4,
    "price_tier_level": 0.3,
    "retail_discount_h180_share": 0.15,
    "saturday_h180_share": 0.5,
    "evening_h180_share": 0.6,
    "age_band": "45-54",
    "income_band": None,
}

GENOME: dict[str, Any] = {
    "gene_hashes": np.array([101, 102, 103, 201, 202, 301, 999]),
    "affinities_now": np.array([3.0, 1.0, 0.0, 3.0, 1.0, 1.0, 1.0]),
    "affinities_character": np.array([9.0, 6.0, 15.0, 20.0, 10.0, 3.0, 1.0]),
    "shares_now": np.array([0.75, 0.25, 0.0, 0.75, 0.25, 1.0, 1.0], dtype=np.float32),
    "shares_character": np.array([0.3, 0.2, 0.5, 0.6, 0.4, 1.0, 1.0], dtype=np.float32),
    "last_at_days": np.array([17500, 17490, 17300, 17500, 17500, 17500, 17500]),
}

SCORES: dict[str, Any] = {
    "offer_ids": ["o_yogurt", "o_beef", "o_ended", "o_gone"],
    "scores": np.array([0.09, 0.05, 0.04, 0.03]),
    "model_name": "next_best_offer",
    "model_version": "7",
}


def offer(label: str, genes: Mapping[int, float], **other: Any) -> dict[str, Any]:
    values = {
        "label": label,
        "kind": "cross_sell",
        "starts_at": NOW - 5 * DAY,
        "ends_at": NOW + 10 * DAY,
        "gene_hashes": np.array(list(genes)),
        "gene_weights": np.array(list(genes.values()), dtype=np.float32),
    }
    return values | other


OFFERS = {
    "o_yogurt": offer("yogurt", {101: 0.9, 102: 0.1, 202: 1.0}),
    "o_beef": offer("beef, <script>alert(1)</script>", {103: 1.0, 201: 1.0}),
    "o_ended": offer("cheese", {102: 1.0}, ends_at=NOW - DAY),
}


@dataclass
class Memory:
    """Online features in memory; `fault` is raised in place of an answer."""

    customers: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    scored_at: datetime = NOW
    live: dict[str, Live] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)
    """Source key → customer, where a person has just identified on it."""
    fault: Exception | None = None
    reads: int = 0

    def __post_init__(self) -> None:
        everything = {
            "feat_customer_traits": TRAITS,
            "feat_customer_genome": GENOME,
            "feat_customer_offer_scores": SCORES,
        }
        self.customers |= {
            "household:1": everything,
            "household:2": {name: each for name, each in everything.items() if "scores" not in name},
        }

    def read(self, service: str, entity: str, ids: Sequence[str]) -> OnlineRows:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        if service not in {"customer_genome_v1", "offers_v1"}:
            raise GenomeError("There is no feature service of that name.", "Name one of these.")
        views = {"feat_offer_dna": OFFERS["o_yogurt"]} if entity == "offer" else self.customers["household:1"]
        return OnlineRows(
            service,
            f"hash-of-{service}",
            dict.fromkeys(views, EPOCH),
            tuple(self._row(entity, each, views) for each in ids),
        )

    def _row(self, entity: str, asked: str, views: Mapping[str, Mapping[str, Any]]) -> OnlineRow:
        wanted = self.joined.get(asked, asked)
        found = (
            {"feat_offer_dna": OFFERS[wanted]}
            if entity == "offer" and wanted in OFFERS
            else self.customers.get(wanted, {})
        )
        return OnlineRow(
            asked,
            {name: found.get(view, {}).get(name) for view, all_of_it in views.items() for name in all_of_it},
            {
                view: (self.scored_at if "scores" in view else NOW) if view in found else None
                for view in views
            },
            (),
            tuple(view for view in views if view not in found),
            self.live.get(wanted),
            wanted,
        )

    def loaded(self) -> tuple[LoadedView, ...]:
        if self.fault is not None:
            raise self.fault
        return (
            LoadedView(
                view="feat_customer_genome", epoch=EPOCH, published_at=NOW, as_of=NOW, loaded_at=NOW, rows=3
            ),
        )

    def close(self) -> None:
        self.customers.clear()


def publish_world(settings: Settings) -> None:
    """Publish the tables that the API reads."""
    area = publish.stage(settings, "genome", EPOCH)

    def write(kind: str, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        pq.write_table(pa.Table.from_pylist(list(rows)), area.file(kind, table))

    write(
        "genes",
        "dim_genes",
        [
            {
                "gene_hash": gene_hash,
                "gene_id": gene_id,
                "locus_id": locus,
                "locus_number": number,
                "allele": gene_id.partition(":")[2],
                "label": label,
                "sentence": f"you often choose {label}",
                "population_share": share,
            }
            for gene_hash, gene_id, locus, number, label, share in GENES
        ],
    )
    write(
        "genome",
        "genome",
        [
            {"customer_id": customer, "gene_hash": gene, "confidence": n, "distinctiveness": z}
            for customer, gene, n, z in [
                ("household:1", 101, 12.0, 5.5),
                ("household:1", 202, 30.0, 2.0),
                ("household:1", 103, 2.0, 1.9),
                ("household:2", 103, 40.0, 9.0),
            ]
        ],
    )
    keys = [(f"household:{n}", f"household:{n}") for n in (1, 2, 11)] + [("loyalty:1", "household:2")]
    write("identity", "dim_customers", [{"source_key": key, "customer_id": name} for key, name in keys])
    email = Tokeniser(settings).token("email", "Jane.Roe@Example.com")
    keys += [(f"email:{email.text}", "household:11")]
    since = {"known_at": datetime(2016, 1, 1, tzinfo=UTC)}
    believed = [{"source_key": key, "customer_id": name, "known_to": None} | since for key, name in keys]
    former = {"source_key": "loyalty:9", "customer_id": "household:2", "known_to": NOW} | since
    write("identity", "fct_customer_keys", [former, *believed])
    people = [
        {"customer_id": name, "valid_at": NOW, "known_at": NOW} for name in ("household:1", "household:2")
    ]
    lists = {name: list(values) for name, values in GENOME.items()}
    write("features", "feat_customer_genome", [each | lists for each in people])
    known = {name: value for name, value in TRAITS.items() if value is not None}
    write("features", "feat_customer_traits", [each | known for each in people])
    write(
        "features",
        "dim_offers",
        [
            {
                "offer_id": offer_id,
                "label": values["label"],
                "kind": values["kind"],
                "campaign_id": "13",
                "starts_at": values["starts_at"],
                "ends_at": values["ends_at"],
                "product_count": 4,
            }
            for offer_id, values in OFFERS.items()
        ],
    )
    write(
        "parameters",
        "loci",
        [
            {
                "locus_id": locus,
                "locus_number": number,
                "half_life_now_days": 28.0,
                "half_life_character_days": 180.0,
            }
            for locus, number in (("category", 2), ("brand_type", 5), ("product", 8))
        ],
    )
    write(
        "parameters",
        "genome_parameters",
        [{"decay_anchor_at": datetime(2020, 1, 1, tzinfo=UTC), "distinctiveness_prior": 10.0}],
    )
    # Product 9 is yogurt of the store's own brand; it was bought 180 and 28 days ago, and then taken back.
    write(
        "product_dna",
        "dim_product_dna",
        [
            {
                "product_id": "9",
                "gene_hash": gene_hash,
                "locus_id": locus,
                "weight": 1.0,
                "valid_from": NOW - 400 * DAY,
                "valid_to": None,
            }
            for gene_hash, locus in ((101, "category"), (202, "brand_type"), (301, "product"))
        ],
    )
    write(
        "genome_history",
        "genome_history",
        [
            {
                "source_key": "household:1",
                "interaction_id": name,
                "takes_back_id": takes_back,
                "interaction_type": kind,
                "channel": "pos",
                "product_id": "9",
                "evidence_at": NOW - days * DAY,
                "available_at": NOW - known * DAY,
                "evidence_for": towards,
                "evidence_against": 0.0,
                "evidence_squared": towards * abs(towards),
                "evidence_count": count,
            }
            for name, takes_back, kind, days, known, towards, count in (
                ("i1", None, "Order Completed", 180, 180, 0.5, 1),
                ("i2", None, "Order Completed", 28, 28, 0.5, 1),
                ("i3", "i2", "Order Refunded", 28, 20, -0.5, -1),
            )
        ],
    )
    write(
        "genes",
        "gene_months",
        [
            {
                "gene_hash": gene_hash,
                "locus_number": number,
                "month_date": datetime(2017, 6, 1, tzinfo=UTC).date(),
                "for_character": 50.0,
                "against_character": 0.0,
                "squares_character": 25.0,
                "evidence_count": 50,
            }
            for gene_hash, number in ((101, 2), (102, 2), (201, 5), (202, 5))
        ],
    )
    publish.publish(area)
    scores = publish.stage(settings, "scores", EPOCH)
    pq.write_table(
        pa.table({"customer_id": ["household:1"]}), scores.file("features", "feat_customer_offer_scores")
    )
    publish.publish(scores)


@dataclass
class Served:
    """A running API."""

    settings: Settings
    features: Memory
    service: GenomeService
    url: str
    _write_key: str | None = None

    def key(self, scope: str) -> str:
        if scope == "ingest":  # a source's write key
            if self._write_key is None:
                self._write_key = sources.add(self.settings, f"s{secrets.token_hex(4)}", "web")
                time.sleep(1.1)  # a running collector notices a new source within a second
            return self._write_key
        return (self.settings.secrets / f"{scope}.key").read_text()

    def client(self, scope: str | None = None, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key(scope)}"} if scope else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=False, **options)

    def decide(self, **ask: Any) -> httpx.Response:
        headers = ask.pop("headers", {})
        body = {"customer_id": "household:1", "placement": "homepage"} | ask
        with self.client("decide") as client:
            return client.post("/v1/decisions", json=body, headers=headers)


@contextmanager
def served(settings: Settings, *, events: "redis.Redis | None" = None) -> Iterator[Served]:
    """The API on a real socket."""
    features = Memory()
    service = GenomeService(settings, features, DecisionLog(events or quick_client(settings, "events")))
    app = create_app(settings, service=lambda _: service)
    serving = server(settings, app)
    thread = threading.Thread(target=serving.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not serving.started:
            assert thread.is_alive(), "the API did not start"
            assert time.monotonic() < deadline, "the API did not start in time"
            time.sleep(0.01)
        yield Served(settings, features, service, f"http://{settings.host}:{settings.api_port}")
    finally:
        serving.should_exit = True
        thread.join(15)
    assert not thread.is_alive()


__all__ = ["EPOCH", "NOW", "SCOPES", "Memory", "Served", "publish_world", "served"]
