"""Each of the twelve channels and five feeds goes from a raw file, and each channel from an SDK's call, to rows in
dbt, and the books reconcile to the row at every hop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from segment.analytics.client import Client
from support.collecting import in_this_process
from support.streaming import Stream, running, until

from genome import warehouse
from genome.channels import registry
from genome.collector import sources
from genome.collector.record import Record
from genome.collector.stream import partition_of
from genome.lake.ingest import ingest
from genome.lake.manifest import Manifest
from genome.settings import Settings
from genome.simulate import parameters
from genome.simulate.run import simulate
from genome.stream import land, ledger
from tests.conftest import make_settings

ORDER = {"order_id": "o1", "currency": "EUR", "products": [{"product_id": "a", "price": 2}, {"sku": "b"}]}
CALLS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "web": [
        ("Product Viewed", {"product_id": "p1", "price": 9.5}),
        ("Products Searched", {"query": "red shoes"}),
        ("Order Completed", ORDER),
    ],
    "app": [("Product Added", {"product_id": "p1", "quantity": 2}), ("Application Opened", {})],
    "email": [("Email Opened", {"message_id": "m1", "campaign_id": "c1"})],
    "sms_push": [("Promotion Clicked", {"offer_id": "of1"})],
    "pos": [("Order Completed", ORDER), ("Order Refunded", {"order_id": "o1", "total": 2})],
    "loyalty": [("Points Earned", {"points": 30}), ("Coupon Applied", {"coupon_id": "k1"})],
    "crm": [
        ("Consent Updated", {"purpose": "marketing", "is_granted": True}),
        ("identify", {"tier": "gold"}),
    ],
    "survey": [("Survey Answered", {"survey_id": "s1", "score": 9})],
    "social": [("Post Liked", {"post_id": "x1"})],
    "location": [("Place Dwelled", {"store_id": "st1", "seconds": 90})],
    "service": [("Complaint Opened", {"case_id": "case1"})],
    "direct_mail": [("Campaign Sent", {"campaign_id": "c1"})],
}
ROWS = {
    channel: sum(2 if event == "Order Completed" else 1 for event, _ in calls)
    for channel, calls in CALLS.items()
}
PEOPLE = 7


@dataclass(frozen=True)
class Built:
    """A mall's files and SDKs' calls in the lake, and dbt's interactions made of them."""

    settings: Settings
    report: warehouse.DbtReport
    hops: dict[str, warehouse.Hop]
    landed: dict[str, ledger.Hop]
    from_files: dict[str, int]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as con:
            return con.execute(sql).fetchall()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder: Path = tmp_path_factory.mktemp("channels")
    mall = simulate(parameters.load("small", customers=250, days=35, block=125), 7, folder / "out")
    settings = make_settings(
        folder / "home",
        now=mall.cut_off,
        business_timezone=mall.timezone,
        collector_disk_reserve_mb=1,
        stream_land_seconds=0.1,
    )
    from_files = {
        channel: ingest(settings, channel, [folder / "out" / "inbox" / channel]).counts.accepted
        for channel in registry()
    }
    with in_this_process(settings) as collector, running(land.make(settings)):
        for channel in CALLS:
            _call(collector.url, sources.add(settings, f"sdk-{channel}", channel), channel)
        until(lambda: sum(hop.landed for hop in ledger.read(settings)) == _events(), seconds=60)
        landed = {hop.channel: hop for hop in ledger.read(settings)}
        _again(settings)
    inputs = warehouse.write_inputs(settings)
    report = warehouse.dbt(
        settings, "build", select="tag:staging +fct_interaction_counts +fct_interaction_conflicts"
    )
    with warehouse._reading(settings) as connection:
        hops = {hop.channel: hop for hop in warehouse._ledger(inputs.accepted, connection)}
    return Built(settings, report, hops, landed, from_files)


def _call(url: str, key: str, channel: str) -> None:
    errors: list[Any] = []
    client = Client(
        key, host=url, gzip=True, on_error=lambda error, items: errors.append(error), max_retries=3
    )
    for person in range(PEOPLE):
        for event, properties in CALLS[channel]:
            if event == "identify":
                client.identify(f"u{person}", properties)
            else:
                client.track(f"u{person}", event, properties)
    client.flush()
    client.shutdown()
    assert errors == []


def _events() -> int:
    return PEOPLE * sum(len(calls) for calls in CALLS.values())


def _again(settings: Settings) -> None:
    """Two messages come again after the collector has forgotten their ids: one as it was, one altered."""
    stream = Stream(settings)
    known = {
        "source": "sdk-web",
        "channel": "web",
        "type": "track",
        "name": "Product Viewed",
        "received": int(settings.now.timestamp() * 1e6) if settings.now else 0,
        "occurred": int(settings.now.timestamp() * 1e6) if settings.now else 0,
        "key_type": "user",
        "key": "u0",
    }
    before = sum(hop.landed for hop in ledger.read(settings))
    for message, product in (("twice", "p1"), ("twice", "p1"), ("changed", "p1"), ("changed", "p2")):
        stream.add(
            partition_of("user:u0", settings.collector_partitions),
            Record(message_id=message, properties={"product_id": product}, **known),
        )
    until(lambda: sum(hop.landed for hop in ledger.read(settings)) == before + 4)


def test_every_channel_and_feed_has_rows_from_a_raw_file(built: Built) -> None:
    assert len(built.from_files) == 17
    assert {channel for channel, rows in built.from_files.items() if not rows} == set()
    feeds = set(registry()) - set(built.hops)
    assert feeds == {"products", "offers", "stores", "stock", "prices"}
    staged = {
        "products": "stg_products__versions",
        "offers": "stg_offers__products",
        "stores": "stg_stores__versions",
        "stock": "stg_stock__changes",
        "prices": "stg_prices__versions",
    }
    for feed, table in staged.items():
        assert built.query(f"SELECT count(*) FROM {table}") == [(built.from_files[feed],)], feed


def test_every_channel_has_rows_from_an_sdks_call(built: Built) -> None:
    assert set(built.landed) == set(CALLS)
    found = dict(
        built.query(
            "SELECT channel, count(*) FROM fct_interactions WHERE source_id LIKE 'sdk-%' GROUP BY channel"
        )
    )
    assert found == {
        channel: PEOPLE * rows + (2 if channel == "web" else 0) for channel, rows in ROWS.items()
    }
    orders = built.query(
        "SELECT product_id, quantity, amount, currency, order_id FROM fct_interactions "
        "WHERE source_id = 'sdk-web' AND interaction_type = 'Order Completed' AND source_key = 'user:u0' ORDER BY 1"
    )
    assert orders == [("a", 1.0, 2.0, "EUR", "o1"), ("b", 1.0, None, "EUR", "o1")]


def test_the_books_agree_at_every_hop(built: Built) -> None:
    for channel, calls in CALLS.items():
        hop = built.landed[channel]
        assert hop.is_balanced
        assert (hop.accepted, hop.landed, hop.waiting, hop.parked) == (PEOPLE * len(calls),) * 2 + (0, 0)
        assert hop.rows == PEOPLE * ROWS[channel]
    for channel, hop_ in built.hops.items():
        assert hop_.reconciled, hop_
        extra = 4 if channel == "web" else 0
        assert hop_.accepted == built.from_files[channel] + PEOPLE * ROWS[channel] + extra
    manifest = Manifest.read(built.settings, "interactions")
    assert {name: counts.accepted for name, counts in manifest.counts_by_channel().items()} == {
        channel: hop_.accepted for channel, hop_ in built.hops.items()
    }


def test_a_message_that_comes_again_after_any_time_counts_once_and_another_body_is_flagged(
    built: Built,
) -> None:
    assert built.query(
        "SELECT redelivered_count FROM fct_interaction_counts "
        "WHERE channel = 'web' AND interaction_type = 'Product Viewed'"
    ) == [(2,)]
    assert built.query("SELECT source_id, delivery_count, content_count FROM fct_interaction_conflicts") == [
        ("sdk-web", 2, 2)
    ]
