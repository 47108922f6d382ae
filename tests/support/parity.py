"""What comparisons of the live path with dbt have in common: a stream with its readers, and sums by key and gene."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import redis
from support.live import VIEW

from feature_repo.loader import write_view
from genome import warehouse
from genome.collector import stream as names
from genome.collector.record import Record, checksum, decode, encode
from genome.collector.stream import partition_of
from genome.features import joins
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
from genome.identity.resolve import resolve
from genome.lake import publish
from genome.settings import PROJECT_ROOT, Settings
from genome.stores import valkey
from genome.stream import keys
from genome.stream.consumer import Entry
from genome.stream.epoch import identity_map
from genome.stream.land import Land
from genome.stream.live import LiveHandler

TABLES = {
    "evidence_weights": ("parameters", "interaction_type"),
    "motive_weights": ("parameters", "interaction_type"),
    "loci": ("parameters", "locus_number"),
    "dim_product_dna": ("product_dna", "product_id"),
    "dim_genes": ("genes", "gene_hash"),
    "fct_reversible_lines": ("evidence", "source_key"),
    "fct_customer_keys": ("identity", "source_key"),
    "fct_identity_links": ("identity", "owner_key"),
    VIEW.name: ("features", "customer_id"),
}
"""What the live path and the reader want of a build: where it lies, and its order."""
SUMS = [f"{what}_{name}" for what in ("for", "against", "squares") for name in ("now", "character")]


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
            partition = partition_of(each.source_key, self.settings.collector_partitions)
            self.events.xadd(names.events_key(partition), {"r": body, "c": checksum(body)})

    def entries(self, partition: int, after: bytes, count: int) -> list[Entry]:
        found: Any = self.events.xrange(names.events_key(partition), b"(" + after, count=count)
        return [Entry(each, decode(fields), fields[b"r"]) for each, fields in found]  # type: ignore[arg-type]

    def read_live(self, at_once: int = 17) -> None:
        for partition in range(self.settings.collector_partitions):
            while entries := self.entries(partition, self.positions[partition], at_once):
                self.handler.handle(partition, entries)
                self.positions[partition] = entries[-1].id

    def read_to_lake(self) -> None:
        batches = {
            p: self.entries(p, self.landed[p], 10_000) for p in range(self.settings.collector_partitions)
        }
        self.land.handle_many({p: entries for p, entries in batches.items() if entries})
        self.landed = {p: entries[-1].id if entries else self.landed[p] for p, entries in batches.items()}

    def wait_for(self, epoch: str) -> None:
        """Until the deltas of a publication are there."""
        self.handler._looked = float("-inf")
        self.handler.tick(datetime.now(UTC))
        assert self.handler._preparing is not None
        self.handler._preparing.join()
        assert epoch in self.handler._epochs

    def customers(self) -> pd.DataFrame:
        """The identity map of the last build, by source key."""
        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            frame = connection.execute("select source_key, customer_id from dim_customers").fetch_df()
        return frame.set_index("source_key", drop=False).rename_axis(None)

    def things(self, epoch: str, customer: str) -> set[str]:
        """What somebody has identified on since a build, and nobody else."""
        members: Any = self.online.smembers(joins.joined_key(epoch, customer))
        mine = set()
        for thing in joins.things(members):
            owners: Any = self.online.smembers(joins.joined_key(epoch, thing))
            mine |= {thing} if joins.owner(owners) == customer else set()
        return mine

    def restart(self) -> None:
        """Another process takes the partitions."""
        self.handler.close()
        self.handler = LiveHandler(self.settings)
        self.positions = {p: self.handler.position(p) for p in range(self.settings.collector_partitions)}

    def load(self, publication: publish.Publication) -> None:
        """The feature loader's part."""
        now = self.settings.now
        assert now is not None
        write_view(self.online, VIEW, publication.files(VIEW.name), now, lambda: None, publication.epoch)
        joins.write_customers(self.online, publication.epoch, *identity_map(publication), lambda: None)
        loaded = LoadedView(
            view=VIEW.name,
            epoch=publication.epoch,
            published_at=now,
            as_of=now,
            loaded_at=now,
            rows=1,
        )
        service = ServiceDefinition(name="genome_v1", views=(VIEW,))
        catalogue = Catalogue(project=PROJECT, services=(service,), loaded=(loaded,))
        metadata = {GENERATION: publication.epoch, CATALOGUE: catalogue.model_dump_json()}
        self.online.hset(metadata_key(PROJECT), mapping=metadata)

    def deltas(self, epoch: str) -> pd.DataFrame:
        """What the online store holds, by source key and gene, decayed to the epoch's cut-off."""
        found: dict[str, npt.NDArray[Any]] = {}
        for partition in range(self.settings.collector_partitions):
            members: Any = self.online.smembers(layout.of_epoch(partition, epoch, "keys"))
            for member in members:
                log: Any = self.online.get(layout.of_epoch(partition, epoch, "genes", member.decode()))
                found[member.decode()] = layout.sums_of([log or b""])
        rows = np.concatenate([np.empty(0, layout.SUMS), *found.values()])
        frame = pd.DataFrame({name: rows[name] for name in ("gene", "locus", "count", *SUMS)})
        frame["source_key"] = np.repeat(np.array(list(found), object), [len(each) for each in found.values()])
        return frame.set_index(["source_key", "gene"]).sort_index()

    def read(self, *customers: str) -> dict[str, OnlineRow]:
        with OnlineReader(self.settings) as reader:
            return {row.id: row for row in reader.read("genome_v1", "customer", customers).rows}


def sums_of_build(settings: Settings, at: datetime) -> pd.DataFrame:
    """The sums of a build by source key and gene, decayed to an instant."""
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        parts = ", ".join(f"sum({name}) as {name}" for name in SUMS)
        frame = connection.execute(
            f"select source_key, gene_hash as gene, any_value(locus_number) as locus, {parts},"
            " sum(evidence_count)::double as count from int_gene_sums"
            " join dim_customers using (source_number) group by all"
        ).fetch_df()
        loci = connection.execute("select * from loci").fetch_df().set_index("locus_number")
    days = (pd.Timestamp(at) - pd.Timestamp("2020-01-01", tz="UTC")) / pd.Timedelta(days=1)
    for name in SUMS:
        half = frame.locus.map(loci[f"half_life_{name.split('_')[1]}_days"])
        frame[name] *= np.exp2(-days / half * (2 if name.startswith("squares") else 1))
    return frame.set_index(["source_key", "gene"]).sort_index()


def build(settings: Settings) -> warehouse.Inputs:
    """The part of a build that this is about, without its tests: they are run where the world is built."""
    resolve(settings)
    inputs = warehouse.write_inputs(settings)
    warehouse.dbt(settings, "run", select=" ".join(f"+{table}" for table in ("int_gene_sums", *TABLES)))
    return inputs


def publish_build(settings: Settings, inputs: warehouse.Inputs) -> publish.Publication:
    """Publish what the live path reads of a build."""
    area = publish.stage(settings, "genome")
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        for table, (kind, by) in TABLES.items():
            connection.table(table).order(by).write_parquet(str(area.file(kind, table)))
    told = {str(partition): last for partition, last in inputs.stream.items()}
    area.seal(provenance={"as_of": inputs.as_of, "stream": told})
    return publish.publish(area)


def agree(first: pd.DataFrame, deltas: pd.DataFrame, second: pd.DataFrame) -> int:
    """Base and deltas are what a later build says, to 1e-9 of what was added; how many genes have deltas."""
    index = first.index.union(deltas.index).union(second.index)
    for name in (*SUMS, "count"):
        told, live, whole = (
            each[name].reindex(index, fill_value=0.0).to_numpy(np.float64) for each in (first, deltas, second)
        )
        off = np.abs(told + live - whole)
        added = np.abs(told) + np.abs(live) + np.abs(whole) + 1.0
        worst = int(np.argmax(off / added))
        assert off[worst] <= 1e-9 * added[worst], (
            f"{name} of {index[worst]}: {told[worst]} + {live[worst]} live, {whole[worst]} built"
        )
    return len(deltas)


def shares(sums: pd.DataFrame) -> dict[int, float]:
    """Shares of a customer's genes by the definition; the customer's sums, whatever keys they came by."""
    genes = sums.groupby(level="gene")[["for_character", "against_character", "count"]].sum()
    genes["locus"] = sums.groupby(level="gene").locus.first()
    genes = genes[genes["count"] > 0]
    net = (genes.for_character - genes.against_character).clip(lower=0.0)
    total = net.groupby(genes.locus).transform("sum")
    return dict(zip(genes.index, np.where(total > 0, net / total.where(total > 0), np.nan), strict=True))


def scaled(deltas: pd.DataFrame, since: datetime, to: datetime) -> pd.DataFrame:
    """Deltas decayed to one instant, as they are at another, earlier or later."""
    days = (to - since) / timedelta(days=1)
    loci = pd.read_csv(PROJECT_ROOT / "dbt_project" / "seeds" / "loci.csv").set_index("locus_number")
    found = deltas.copy()
    for name in SUMS:
        half = deltas.locus.map(loci[f"half_life_{name.split('_')[1]}_days"])
        found[name] *= np.exp2(-days / half * (2 if name.startswith("squares") else 1))
    return found


@contextmanager
def road(settings: Settings) -> Iterator[Road]:
    """The stores of a built world, its current build loaded, and everything that reads the stream at its beginning."""
    with valkey.connect(settings, "events") as one, valkey.connect(settings, "online") as other:
        begun = dict.fromkeys(range(settings.collector_partitions), keys.BEGINNING)
        made = Road(settings, one, other, LiveHandler(settings), Land(settings), {}, dict(begun))
        publication = publish.current(settings, "genome")
        assert publication is not None
        made.load(publication)
        made.positions = {p: made.handler.position(p) for p in begun}
        yield made
        made.handler.close()
    valkey.stop(settings)
