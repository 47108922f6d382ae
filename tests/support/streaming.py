"""A stream that tests write into, and a handler that writes down what it was given."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from genome.collector import stream as names
from genome.collector.record import Record, checksum, encode
from genome.settings import Settings
from genome.stores import valkey
from genome.stream import figures, keys
from genome.stream.consumer import Consumer, Entry
from genome.stream.figures import Figure


def stream_settings(home: Path, **overrides: Any) -> Settings:
    """Settings of an events store on the system's clock, at free ports."""
    from conftest import free_ports

    events, online, collector = free_ports(3)
    values: dict[str, Any] = {
        "events_port": events,
        "online_port": online,
        "collector_port": collector,
        "collector_disk_reserve_mb": 1,
        "collector_partitions": 4,
    }
    return Settings(home=home, **(values | overrides))


def record(message_id: str, **changes: Any) -> Record:
    """A product view; `changes` are fields of the record."""
    values: dict[str, Any] = {
        "source": "shop",
        "channel": "web",
        "type": "track",
        "name": "Product Viewed",
        "message_id": message_id,
        "received": 1_767_323_046_000_000,
        "occurred": 1_767_323_045_000_000,
        "key_type": "user",
        "key": "u1",
        "properties": {"product_id": "p1"},
    }
    return Record(**(values | changes))


@dataclass
class Stream:
    """The event stream of a store."""

    settings: Settings
    _count: int = 0

    def __post_init__(self) -> None:
        self.client = valkey.connect(self.settings, "events")

    def name(self) -> str:
        """A consumer's name that no other test has."""
        self._count += 1
        return f"reader{self._count}"

    def clear(self) -> None:
        """Begin with an empty store."""
        self.client.flushall()

    def add(self, partition: int, *records: Record) -> list[bytes]:
        """Append records; returns their stream ids."""
        return [self.add_raw(partition, encode(each)) for each in records]

    def add_many(self, partition: int, records: Sequence[Record]) -> None:
        """Append many records fast."""
        pipeline = self.client.pipeline(transaction=False)
        for each in records:
            body = encode(each)
            pipeline.xadd(names.events_key(partition), {"r": body, "c": checksum(body)})
        pipeline.execute()

    def add_raw(self, partition: int, body: bytes, sum_: bytes | None = None) -> bytes:
        """Append bytes as a record, with a checksum that may be wrong."""
        found: Any = self.client.xadd(names.events_key(partition), {"r": body, "c": sum_ or checksum(body)})
        return found

    def figure(self, consumer: str, partition: int) -> Figure:
        """What a consumer has published last about a partition."""
        found: Any = self.client.hgetall(keys.of_partition(partition, "figures", consumer))
        return figures.parsed(consumer, partition, found)

    def figures(self, consumer: str) -> list[Figure]:
        """A consumer's figures in all partitions."""
        return [self.figure(consumer, each) for each in range(self.settings.collector_partitions)]


@dataclass
class Notebook:
    """A durable handler in memory: what it was given, and the position, both changed at once."""

    name: str
    given: dict[int, list[Entry]] = field(default_factory=dict)
    positions: dict[int, bytes] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    ticks: int = 0
    fault: Callable[[int, Sequence[Entry]], None] | None = None

    def position(self, partition: int) -> bytes:
        return self.positions.get(partition, keys.BEGINNING)

    def handle(self, partition: int, entries: Sequence[Entry]) -> None:
        if self.fault is not None:
            self.fault(partition, entries)
        assert keys.parsed(entries[0].id) > keys.parsed(self.position(partition))
        self.given.setdefault(partition, []).extend(entries)
        self.positions[partition] = entries[-1].id
        self.batches.append(len(entries))

    def tick(self, now: datetime) -> None:
        self.ticks += 1

    def messages(self, partition: int | None = None) -> list[str]:
        """The message ids it was given, in order."""
        return [
            each.record.message_id
            for number, entries in sorted(self.given.items())
            for each in entries
            if partition in (None, number)
        ]


class JointNotebook(Notebook):
    """A handler that commits several partitions at once."""

    def handle_many(self, batches: Mapping[int, Sequence[Entry]]) -> None:
        if self.fault is not None:
            for partition, entries in batches.items():
                self.fault(partition, entries)
        for partition, entries in batches.items():
            self.given.setdefault(partition, []).extend(entries)
            self.positions[partition] = entries[-1].id
        self.batches.append(sum(len(each) for each in batches.values()))


@contextlib.contextmanager
def running(consumer: Consumer) -> Iterator[Consumer]:
    """A consumer in a thread; what it raises is raised here."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            consumer.run()
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            failed.append(error)

    thread = threading.Thread(target=run, name="consumer", daemon=True)
    thread.start()
    try:
        yield consumer
    finally:
        consumer.stop()
        thread.join(30)
    if failed:
        raise failed[0]
    assert not thread.is_alive()


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)
