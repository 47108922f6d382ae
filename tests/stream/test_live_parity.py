"""Live and batch are one: the same events through the live path and through dbt give the same genome.

The small world is built; a day of events then comes by the stream while it is read live; half of them land, the
next build counts those, the other half comes while that build runs. At each moment the base and the deltas
of one epoch add up to what a build of everything says.
"""

import math
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import redis
from support import built
from support.live import VIEW
from support.streaming import record

from feature_repo.loader import write_view
from genome import warehouse
from genome.collector import stream as names
from genome.collector.record import Record, checksum, decode, encode
from genome.collector.stream import partition_of
from genome.features import live as layout
from genome.features.definitions import (
    CATALOGUE,
    GENERATION,
    Catalogue,
    LoadedView,
    ServiceDefinition,
    metadata_key,
)
from genome.features.online import PROJECT, OnlineReader, OnlineRow
from genome.lake import publish
from genome.settings import Settings
from genome.stores import valkey
from genome.stream import keys
from genome.stream.consumer import Entry
from genome.stream.land import Land
from genome.stream.live import LiveHandler

PARTITIONS = 2
SUMS = [f"{what}_{name}" for what in ("for", "against", "squares") for name in ("now", "character")]


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
    choose.shuffle(found)
    return found


@dataclass
class Road:
    """The world, and its stream with everything that reads it."""

    settings: Settings
    events: redis.Redis
    online: redis.Redis
    handler: LiveHandler
    land: Land
    positions: dict[int, bytes]
    landed: dict[int, bytes]

    def send(self, records: list[Record]) -> None:
        for each in records:
            body = encode(each)
            partition = partition_of(each.source_key, PARTITIONS)
            self.events.xadd(names.events_key(partition), {"r": body, "c": checksum(body)})

    def entries(self, partition: int, after: bytes, count: int) -> list[Entry]:
        found: Any = self.events.xrange(names.events_key(partition), b"(" + after, count=count)
        return [Entry(each, decode(fields), fields[b"r"]) for each, fields in found]  # type: ignore[arg-type]

    def read_live(self, at_once: int = 17) -> None:
        for partition in range(PARTITIONS):
            while entries := self.entries(partition, self.positions[partition], at_once):
                self.handler.handle(partition, entries)
                self.positions[partition] = entries[-1].id

    def read_to_lake(self) -> None:
        batches = {p: self.entries(p, self.landed[p], 10_000) for p in range(PARTITIONS)}
        self.land.handle_many({p: entries for p, entries in batches.items() if entries})
        self.landed = {p: entries[-1].id if entries else self.landed[p] for p, entries in batches.items()}

    def restart(self) -> None:
        """Another process takes the partitions."""
        self.handler.close()
        self.handler = LiveHandler(self.settings)
        self.positions = {p: self.handler.position(p) for p in range(PARTITIONS)}

    def load(self, publication: publish.Publication) -> None:
        """The feature loader's part."""
        write_view(
            self.online,
            VIEW,
            publication.files(VIEW.name),
            self.settings_now(),
            lambda: None,
            publication.epoch,
        )
        loaded = LoadedView(
            view=VIEW.name,
            epoch=publication.epoch,
            published_at=built.NOW,
            as_of=built.NOW,
            loaded_at=built.NOW,
            rows=1,
        )
        service = ServiceDefinition(name="genome_v1", views=(VIEW,))
        catalogue = Catalogue(project=PROJECT, services=(service,), loaded=(loaded,))
        metadata = {GENERATION: publication.epoch, CATALOGUE: catalogue.model_dump_json()}
        self.online.hset(metadata_key(PROJECT), mapping=metadata)

    def settings_now(self) -> datetime:
        assert self.settings.now is not None
        return self.settings.now

    def deltas(self, epoch: str) -> dict[tuple[str, int], npt.NDArray[Any]]:
        """What the online store holds, by key and gene."""
        found = {}
        for partition in range(PARTITIONS):
            members: Any = self.online.smembers(layout.of_epoch(partition, epoch, "keys"))
            for member in members:
                log: Any = self.online.get(layout.of_epoch(partition, epoch, "genes", member.decode()))
                for row in layout.sums_of([log or b""]):
                    found[member.decode(), int(row["gene"])] = row
        return found

    def read(self, *customers: str) -> dict[str, OnlineRow]:
        with OnlineReader(self.settings) as reader:
            return {row.id: row for row in reader.read("genome_v1", "customer", customers).rows}


def sums_of_build(settings: Settings) -> dict[tuple[str, int], dict[str, float]]:
    """The sums of a build by key and gene, decayed to the first world's cut-off."""
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        parts = ", ".join(f"sum({name}) as {name}" for name in SUMS)
        frame = connection.execute(
            f"select source_key, gene_hash, any_value(locus_number) as locus, {parts},"
            " sum(evidence_count) as count from int_gene_days"
            " join dim_customers using (source_number) group by all"
        ).fetch_df()
        loci = connection.execute("select * from loci").fetch_df().set_index("locus_number")
    days = (pd.Timestamp(built.NOW) - pd.Timestamp("2020-01-01", tz="UTC")) / pd.Timedelta(days=1)
    for name in SUMS:
        half = frame.locus.map(loci[f"half_life_{name.split('_')[1]}_days"])
        frame[name] *= np.exp2(-days / half * (2 if name.startswith("squares") else 1))
    return {
        (row.source_key, row.gene_hash): {name: getattr(row, name) for name in (*SUMS, "count", "locus")}
        for row in frame.itertuples()
    }


def build(settings: Settings) -> warehouse.Inputs:
    """The part of a build that this is about, without its tests: they are run where the world is built."""
    inputs = warehouse.write_inputs(settings)
    warehouse.dbt(settings, "run", select="+int_gene_days +fct_reversible_lines")
    return inputs


def publish_build(
    settings: Settings, former: publish.Publication, inputs: warehouse.Inputs
) -> publish.Publication:
    """Publish what the live path reads: what the build has made anew, beside what has not changed."""
    area = publish.stage(settings, "genome")
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        for kind, table in (("evidence", "fct_reversible_lines"), ("identity", "dim_customers")):
            connection.table(table).order("source_key").write_parquet(str(area.file(kind, table)))
    for table in ("evidence_weights", "loci", "dim_product_dna", "dim_genes"):
        kind = former.table(table).path.split("/")[0]
        (only,) = former.files(table)
        shutil.copyfile(only, area.file(kind, table))
    told = {str(partition): last for partition, last in inputs.stream.items()}
    area.seal(provenance={"as_of": inputs.as_of, "stream": told})
    return publish.publish(area)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return built.build_once(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def road(base: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
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
    with valkey.connect(settings, "events") as one, valkey.connect(settings, "online") as other:
        begun = dict.fromkeys(range(PARTITIONS), keys.BEGINNING)
        made = Road(settings, one, other, LiveHandler(settings), Land(settings), {}, dict(begun))
        publication = publish.current(settings, "genome")
        assert publication is not None
        made.load(publication)
        made.positions = {p: made.handler.position(p) for p in range(PARTITIONS)}
        yield made
        made.handler.close()
    valkey.stop(settings)


@pytest.fixture(scope="module")
def before(base: Settings) -> dict[tuple[str, int], dict[str, float]]:
    return sums_of_build(base)


def agree(
    first: dict[tuple[str, int], dict[str, float]],
    deltas: dict[tuple[str, int], npt.NDArray[Any]],
    second: dict[tuple[str, int], dict[str, float]],
) -> int:
    """Base and deltas are what the second build says, to 1e-9 of what was added; how many were compared."""
    nothing = dict.fromkeys((*SUMS, "count"), 0.0)
    compared = 0
    for at in first.keys() | deltas.keys() | second.keys():
        told, whole = first.get(at, nothing), second.get(at, nothing)
        change = deltas.get(at)
        for name in (*SUMS, "count"):
            live = 0.0 if change is None else float(change[name])
            added = abs(told[name]) + abs(live) + abs(whole[name]) + 1.0
            assert told[name] + live == pytest.approx(whole[name], abs=1e-9 * added), (at, name)
        compared += change is not None
    return compared


def test_a_day_of_events_live_and_in_the_next_build(
    road: Road, base: Settings, before: dict[tuple[str, int], dict[str, float]]
) -> None:
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
    second = publish_build(road.settings, first, inputs)
    middle = sums_of_build(road.settings)

    # Both epochs have their own deltas until the second one is served.
    road.handler.tick(built.NOW)
    assert road.handler._preparing is not None
    road.handler._preparing.join()
    old, new = road.deltas(first.epoch), road.deltas(second.epoch)
    assert len(old) > len(new) > 100

    # The next build has seen everything: base and deltas of either epoch are what it says.
    road.read_to_lake()
    build(road.settings)
    everything = sums_of_build(road.settings)
    assert agree(before, old, everything) > 500
    assert agree(middle, scaled(new, base, road.settings), everything) > 100

    # The classic fault: the live path leaves something out that the build has. The comparison sees it.
    for fault in (lambda row: row["locus"] == 5, lambda row: row["count"] < 0):
        with pytest.raises(AssertionError):
            agree(before, {at: row for at, row in old.items() if not fault(row)}, everything)

    # And what a reader gets is the genome of that build, as exact as a float32 is.
    customers = sorted({key for key, _ in old})
    rows = road.read(*customers)
    compared = 0
    for customer in customers:
        expected = shares({gene: sums for (key, gene), sums in everything.items() if key == customer})
        values = rows[customer].values
        found = dict(zip(values["gene_hashes"].tolist(), values["shares_character"].tolist(), strict=True))
        assert found.keys() == expected.keys(), customer
        for gene, share in expected.items():
            assert found[gene] == pytest.approx(share, abs=2e-6, nan_ok=True), (customer, gene)
            compared += 1
    assert compared > 2_000


def shares(genes: dict[int, dict[str, float]]) -> dict[int, float]:
    """Shares of a customer's genes by the definition."""
    net = {
        gene: max(0.0, sums["for_character"] - sums["against_character"])
        for gene, sums in genes.items()
        if sums["count"] > 0
    }
    totals: dict[float, float] = {}
    for gene, value in net.items():
        totals[genes[gene]["locus"]] = totals.get(genes[gene]["locus"], 0.0) + value
    return {
        gene: value / totals[genes[gene]["locus"]] if totals[genes[gene]["locus"]] > 0 else math.nan
        for gene, value in net.items()
    }


def scaled(
    deltas: dict[tuple[str, int], npt.NDArray[Any]], base: Settings, later: Settings
) -> dict[tuple[str, int], npt.NDArray[Any]]:
    """Deltas of the later epoch, decayed back to the first world's cut-off."""
    assert base.now is not None
    assert later.now is not None
    days = (later.now - base.now) / timedelta(days=1)
    found = {}
    for at, held in deltas.items():
        row = held.copy()
        for name in SUMS:
            half = {"now": 28.0, "character": 180.0}[name.split("_")[1]]
            row[name] *= math.exp2(days / half * (2 if name.startswith("squares") else 1))
        found[at] = row
    return found
