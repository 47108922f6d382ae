"""Live and batch are one: the same events through the live path and through dbt give the same genome.

The small world is built; a day of events then comes by the stream while it is read live; half of them land, the
next build counts those, the other half comes while that build runs. At each moment the base and the deltas
of one epoch add up to what a build of everything says.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import built
from support.parity import Road, agree, build, publish_build, road, scaled, shares, sums_of_build
from support.streaming import record

from genome.collector.record import Record
from genome.lake import publish
from genome.settings import Settings

PARTITIONS = 2


def micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def a_day_of_events(world: Settings) -> list[Record]:
    """Views, dislikes, orders, refunds of new and of built lines, late and strange ones, in a fixed disorder."""
    choose = random.Random(7)
    lake = built.lake(world)
    lines = lake[
        (lake.interaction_type == "Order Completed") & (lake.quantity >= 1) & lake.session_id.notna()
    ]
    lines = lines[lines.occurred_at > built.NOW - timedelta(days=200)]
    products = sorted(lines.product_id.unique())
    found: list[Record] = []

    def say(name: str, key: str, occurred: datetime, received: datetime | None = None, **said: Any) -> None:
        number = len(found)
        at = received or built.NOW + timedelta(minutes=number)
        found.append(
            record(
                f"m{number}",
                name=name,
                channel=said.pop("channel", "pos"),
                key_type=said.pop("key_type", "household"),
                key=key,
                occurred=micros(occurred),
                received=micros(at),
                session=said.pop("session", None),
                properties=said,
            )
        )

    households = sorted(lines.customer_key.unique())
    for number in range(240):
        key, product = choose.choice(households), choose.choice(products)
        # Half of it happened before the cut-off and comes late; the rest is of the next day.
        when = built.NOW + timedelta(hours=choose.choice([-900, -30, -2, 1, 20]))
        match number % 6:
            case 0:
                say("Product Viewed", key, when, product_id=product, channel="web")
            case 1:
                say("Product Disliked", key, when, product_id=product)
            case 2:
                items = [
                    {"product_id": each, "quantity": choose.choice([1, 2, "3", 0.5, 0]), "price": 2}
                    for each in (product, choose.choice(products), product)
                ]
                say("Order Completed", key, when, order_id=f"live-{number}", products=items)
                if number % 4:
                    back = (
                        [{"product_id": product, "quantity": 2}] if number % 8 else [{"product_id": product}]
                    )
                    say(
                        "Order Refunded",
                        key,
                        when + timedelta(hours=3),
                        order_id=f"live-{number}",
                        products=back,
                    )
            case 3:
                line = lines.iloc[choose.randrange(len(lines))]
                say(
                    "Order Refunded",
                    line.customer_key,
                    when,
                    product_id=line.product_id,
                    quantity=choose.choice([1, None, 7]),
                    session=line.session_id,
                )
            case 4:
                line = lines.iloc[choose.randrange(len(lines))]
                # A line of an order that was built comes late.
                say(
                    "Order Completed",
                    line.customer_key,
                    line.occurred_at.to_pydatetime(),
                    product_id=line.product_id,
                    quantity=2,
                    line_number=1,
                    session=line.session_id,
                )
            case 5:
                say(
                    "Product Added",
                    f"new{number % 4}",
                    when,
                    product_id=product,
                    key_type="anonymous",
                    channel="web",
                )
    say("Product Viewed", households[0], built.NOW, product_id="nobody-knows-it", channel="web")
    say("Page Viewed", households[0], built.NOW, channel="web")
    # A refund that comes before its line.
    say(
        "Order Refunded",
        households[1],
        built.NOW,
        order_id="early",
        products=[{"product_id": products[0], "quantity": 1}],
    )
    say(
        "Order Completed",
        households[1],
        built.NOW,
        order_id="early",
        products=[{"product_id": products[0], "quantity": 3}],
    )
    # Motives of texts, as the collector leaves them: with and without a product, against, of an unknown word, of an
    # interaction without a weight, through a channel whose texts are not staged.
    for number, (name, channel, motives) in enumerate(
        (
            ("Product Reviewed", "web", "price -ethics"),
            ("Product Reviewed", "web", "price"),
            ("Complaint Opened", "service", "quality quality unheard-of -price price"),
            ("Survey Submitted", "survey", "health"),
            ("Brand Mentioned", "social", "-price"),
            ("Post Liked", "social", "price"),
            ("Product Reviewed", "pos", "price"),
        )
    ):
        more = {"product_id": products[number]} if number % 2 else {}
        late = timedelta(days=40) if number == 1 else timedelta(0)
        say(name, households[number % 3], built.NOW - late, channel=channel, _motives=motives, **more)
    choose.shuffle(found)
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return built.build_once(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module", name="road")
def road_of_the_world(base: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    from conftest import free_ports

    events, online = free_ports(2)
    home: Path = tmp_path_factory.mktemp("live") / "home"
    settings = built.copy_of(base, home).model_copy(
        update={
            "now": built.NOW + timedelta(days=2),
            "events_port": events,
            "online_port": online,
            "collector_partitions": PARTITIONS,
        }
    )
    with road(settings) as made:
        yield made


@pytest.fixture(scope="module")
def before(base: Settings) -> pd.DataFrame:
    return sums_of_build(base, built.NOW)


def test_a_day_of_events_live_and_in_the_next_build(road: Road, base: Settings, before: pd.DataFrame) -> None:
    first = publish.current(road.settings, "genome")
    assert first is not None
    events = a_day_of_events(base)
    road.send(events[:120])
    road.read_live()
    road.read_to_lake()
    # The build begins; the rest comes while it runs, some of it twice.
    inputs = build(road.settings)
    assert inputs.stream == {p: road.landed[p].decode() for p in range(PARTITIONS)}
    road.send([*events[120:], *events[120:130]])
    road.read_live()
    second = publish_build(road.settings, inputs)
    middle = sums_of_build(road.settings, built.NOW)

    # Both epochs have their own deltas until the second one is served.
    road.handler.tick(built.NOW)
    assert road.handler._preparing is not None
    road.handler._preparing.join()
    old, new = road.deltas(first.epoch), road.deltas(second.epoch)
    assert len(old) > len(new) > 100

    # The next build has seen everything: base and deltas of either epoch are what it says.
    road.read_to_lake()
    build(road.settings)
    everything = sums_of_build(road.settings, built.NOW)
    assert agree(before, old, everything) > 500
    moved = scaled(new, built.NOW + timedelta(days=2), built.NOW)
    assert agree(middle, moved, everything) > 100

    # The classic fault: the live path leaves something out that the build has. The comparison sees it.
    for fault in (old.locus == 5, old["count"] < 0):
        with pytest.raises(AssertionError):
            agree(before, old[~fault], everything)

    # And what a reader gets is the genome of that build, as exact as a float32 is.
    customers = sorted(set(old.index.get_level_values("source_key")))
    rows = road.read(*customers)
    compared = 0
    for customer in customers:
        expected = shares(everything.loc[[customer]])
        values = rows[customer].values
        found = dict(zip(values["gene_hashes"].tolist(), values["shares_character"].tolist(), strict=True))
        assert found.keys() == expected.keys(), customer
        for gene, share in expected.items():
            assert found[gene] == pytest.approx(share, abs=2e-6, nan_ok=True), (customer, gene)
            compared += 1
    assert compared > 2_000
