"""A publication of three products, written by hand, and a stream that is read live."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import redis
from support.streaming import record

from feature_repo.loader import write_view
from genome.collector import stream as names
from genome.collector.record import Record, checksum, decode, encode
from genome.collector.stream import partition_of
from genome.features import joins
from genome.features import live as layout
from genome.features.definitions import (
    CATALOGUE,
    GENERATION,
    Catalogue,
    FeatureDefinition,
    LoadedView,
    ServiceDefinition,
    ViewDefinition,
    metadata_key,
)
from genome.features.online import PROJECT, OnlineReader, OnlineRow
from genome.lake import publish
from genome.settings import Settings
from genome.stream.consumer import Entry
from genome.stream.epoch import identity_map
from genome.stream.land import Land
from genome.stream.live import LiveHandler

CUT_OFF = datetime(2026, 3, 1, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MILK, CHEESE, ORGANIC = 11, 12, 21
DNA = {"milk": [(MILK, "category"), (ORGANIC, "claim")], "cheese": [(CHEESE, "category")], "bread": []}
KINDS: dict[str, Any] = {
    "gene_hashes": "INT64_LIST",
    "affinities_now": "FLOAT_LIST",
    "affinities_character": "FLOAT_LIST",
    "shares_now": "FLOAT_LIST",
    "shares_character": "FLOAT_LIST",
    "last_at_days": "INT32_LIST",
}
VIEW = ViewDefinition(
    name=layout.GENOME_VIEW,
    entity="customer",
    join_key="customer_id",
    ttl=timedelta(days=3650),
    features=tuple(FeatureDefinition(name=name, kind=kind) for name, kind in KINDS.items()),
)


def micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return round(at.timestamp() * 1_000_000)


def event(name: str, number: int, *, key: str = "user:u1", at: datetime | None = None, **said: Any) -> Record:
    """An event a minute after the one before it; `said` are its properties."""
    kind, _, own = key.partition(":")
    when = micros(at or CUT_OFF + timedelta(minutes=number))
    received = max(when, micros(CUT_OFF + timedelta(minutes=number)))
    return record(
        f"m{number}",
        name=name,
        key_type=kind,
        key=own,
        occurred=when,
        received=received,
        session=said.pop("session", None),
        properties=said,
    )


def publish_build(
    settings: Settings,
    *,
    as_of: datetime = CUT_OFF,
    stream: dict[int, bytes] | None = None,
    dna: dict[str, list[tuple[int, str]]] = DNA,
) -> publish.Publication:
    """A build of one customer with two keys, who has bought milk and cheese: an order of three milks among it."""
    area = publish.stage(settings, "genome")
    instant = pa.timestamp("us", "UTC")

    def write(kind: str, table: str, rows: list[dict[str, Any]], **types: pa.DataType) -> None:
        made = pa.Table.from_pylist(rows)
        for name, type_ in types.items():
            made = made.set_column(made.schema.get_field_index(name), name, made.column(name).cast(type_))
        pq.write_table(made, area.file(kind, table))

    write(
        "parameters",
        "evidence_weights",
        [
            {
                "interaction_type": name,
                "weight_for": towards,
                "weight_against": against,
                "k": k,
                "reverses": back,
            }
            for name, towards, against, k, back in [
                ("Order Completed", 1.0, 0.0, 1.0, None),
                ("Order Refunded", None, None, None, "Order Completed"),
                ("Product Viewed", 0.25, 0.0, 0.0, None),
                ("Product Disliked", 0.0, 1.0, 0.0, None),
            ]
        ],
    )
    write(
        "parameters",
        "loci",
        [
            {
                "locus_number": number,
                "locus_id": name,
                "half_life_now_days": 28.0,
                "half_life_character_days": 180.0,
            }
            for number, name in ((2, "category"), (5, "claim"))
        ],
    )
    write(
        "product_dna",
        "dim_product_dna",
        [
            {
                "product_id": product,
                "gene_hash": gene,
                "locus_id": locus,
                "weight": 1.0,
                "valid_from": LONG_AGO,
                "valid_to": None,
            }
            for product, genes in dna.items()
            for gene, locus in genes
        ],
        valid_from=instant,
        valid_to=instant,
    )
    write(
        "genes",
        "dim_genes",
        [
            {"gene_hash": gene, "locus_number": {"category": 2, "claim": 5}[locus]}
            for gene, locus in sorted({each for genes in dna.values() for each in genes})
        ],
    )
    write(
        "identity",
        "fct_customer_keys",
        [
            {"source_key": key, "customer_id": "c1", "known_to": None}
            for key in ("user:u1", "email:e1", "anonymous:beside")
        ]
        + [{"source_key": "user:u2", "customer_id": "user:u2", "known_to": None}]
        + [{"source_key": "anonymous:former", "customer_id": "c1", "known_to": CUT_OFF}],
        known_to=instant,
    )
    write(
        "identity",
        "fct_identity_links",
        [
            {"owner_key": "user:u1", "other_key": "email:e1", "reason": None},
            {"owner_key": "user:u1", "other_key": "anonymous:shared", "reason": "shared"},
            {"owner_key": "user:u2", "other_key": "anonymous:shared", "reason": "shared"},
        ],
    )
    write(
        "evidence",
        "fct_reversible_lines",
        [
            {
                "source_key": "user:u1",
                "order_id": "built",
                "product_id": "milk",
                "interaction_type": "Order Completed",
                "interaction_id": "0" * 32,
                "line_number": 1,
                "quantity": 3.0,
                "evidence_at": CUT_OFF - timedelta(days=28),
            }
        ],
        evidence_at=instant,
    )
    # Three milks a half-life ago: 3/4 of a weight, half of it left in the short view.
    row = {
        "customer_id": "c1",
        "valid_at": as_of,
        "known_at": as_of,
        "gene_hashes": [MILK, CHEESE, ORGANIC],
        "affinities_now": [0.375, 0.125, 0.375],
        "affinities_character": [0.75 * 2 ** (-28 / 180), 0.25, 0.75 * 2 ** (-28 / 180)],
        "shares_now": [0.75, 0.25, 1.0],
        "shares_character": [0.7, 0.3, 1.0],
        "last_at_days": [20_000, 20_001, 20_000],
    }
    schema = pa.schema(
        [
            ("customer_id", pa.string()),
            ("valid_at", instant),
            ("known_at", instant),
            ("gene_hashes", pa.list_(pa.int64())),
            *((name, pa.list_(pa.float32())) for name in list(KINDS)[1:5]),
            ("last_at_days", pa.list_(pa.int32())),
        ]
    )
    pq.write_table(pa.Table.from_pylist([row], schema), area.file("features", VIEW.name))
    told = {str(partition): position.decode() for partition, position in (stream or {}).items()}
    area.seal(provenance={"as_of": as_of.isoformat(), "stream": told})
    return publish.publish(area)


@dataclass
class Road:
    """The stream, and the consumers `live` and `land` read step by step."""

    settings: Settings
    events: redis.Redis
    online: redis.Redis
    handler: LiveHandler = field(init=False)
    positions: dict[int, bytes] = field(default_factory=dict)
    landed: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.handler = LiveHandler(self.settings)
        self.landed = dict.fromkeys(self.partitions, b"0-0")

    @property
    def partitions(self) -> range:
        return range(self.settings.collector_partitions)

    def start(self) -> "Road":
        """Take the partitions, as a consumer does when it begins."""
        self.positions = {p: self.handler.position(p) for p in self.partitions}
        return self

    def restart(self) -> "Road":
        """Another process takes the partitions."""
        self.handler.close()
        self.handler = LiveHandler(self.settings)
        return self.start()

    def send(self, *records: Record) -> "Road":
        for each in records:
            body = encode(each)
            partition = partition_of(each.source_key, self.settings.collector_partitions)
            self.events.xadd(names.events_key(partition), {"r": body, "c": checksum(body)})
        return self

    def entries(self, partition: int, after: bytes, count: int = 1_000) -> list[Entry]:
        found: Any = self.events.xrange(names.events_key(partition), b"(" + after, count=count)
        return [Entry(each, decode(fields), fields[b"r"]) for each, fields in found]  # type: ignore[arg-type]

    def read(self, at_once: int = 1_000) -> "Road":
        for partition in self.partitions:
            while entries := self.entries(partition, self.positions[partition], at_once):
                self.handler.handle(partition, entries)
                self.positions[partition] = entries[-1].id
        return self

    def land(self) -> "Road":
        land = Land(self.settings)
        for partition in self.partitions:
            land.position(partition)
        batches = {p: self.entries(p, self.landed[p]) for p in self.partitions}
        land.handle_many({p: entries for p, entries in batches.items() if entries})
        self.landed |= {p: entries[-1].id for p, entries in batches.items() if entries}
        return self

    def tick(self) -> "Road":
        self.handler._looked = float("-inf")
        self.handler.tick(CUT_OFF)
        if self.handler._preparing is not None:
            self.handler._preparing.join()
        return self

    def load(self, publication: publish.Publication) -> "Road":
        """The feature loader's part."""
        now = self.settings.now
        assert now is not None
        write_view(self.online, VIEW, publication.files(VIEW.name), now, lambda: None, publication.epoch)
        keys, ids = identity_map(publication)
        joins.write_customers(self.online, publication.epoch, keys, ids, lambda: None)
        return self.announce(publication)

    def announce(self, publication: publish.Publication) -> "Road":
        """The end of a load: readers learn of it."""
        loaded = LoadedView(
            view=VIEW.name,
            epoch=publication.epoch,
            published_at=CUT_OFF,
            as_of=CUT_OFF,
            loaded_at=CUT_OFF,
            rows=1,
        )
        service = ServiceDefinition(name="genome_v1", views=(VIEW,))
        catalogue = Catalogue(project=PROJECT, services=(service,), loaded=(loaded,))
        metadata = {GENERATION: publication.epoch, CATALOGUE: catalogue.model_dump_json()}
        self.online.hset(metadata_key(PROJECT), mapping=metadata)
        return self

    def row(self, customer: str) -> OnlineRow:
        with OnlineReader(self.settings) as reader:
            return reader.read("genome_v1", "customer", [customer]).rows[0]

    def genes(self, customer: str, what: str = "affinities_now") -> dict[int, float]:
        values = self.row(customer).values
        if values["gene_hashes"] is None:
            return {}
        return dict(zip(values["gene_hashes"].tolist(), values[what].tolist(), strict=True))

    def state(self) -> dict[bytes, Any]:
        """Everything live, as readers understand it: logs as what they come to."""
        found: dict[bytes, Any] = {}
        for key in self.online.scan_iter(b"live:{*"):
            if b":genes:" in key:
                log: Any = self.online.get(key)
                found[key] = layout.sums_of([log]).tolist()
            elif b":session:" in key:
                log = self.online.get(key)
                found[key] = layout.folded(layout.decode_acts(log))
            elif b":lines:" in key:
                log = self.online.get(key)
                found[key] = sorted(log[at : at + 48] for at in range(0, len(log), 48))
        return found
