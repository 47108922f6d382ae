"""How far each reader of the stream is, for `genome status` and Prometheus.

The owner of a partition writes its figures once a second into the events store, so whoever asks needs no
word with that process. A figure whose `at` is old belongs to a consumer that does not run.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genome.errors import GenomeError
from genome.settings import Settings
from genome.stream import keys

if TYPE_CHECKING:
    import redis
    from prometheus_client.metrics_core import Metric


@dataclass(frozen=True, slots=True)
class Figure:
    """One consumer in one partition.

    Attributes:
        consumer: its name.
        partition: which.
        position: the last stream id that it has dealt with.
        ordinal: how many entries the stream had up to that position, since it began.
        lag: entries behind it that wait.
        lag_seconds: how long the oldest of them has waited.
        handled: entries that this owner has handled since it took the partition.
        rate: entries a second over the last ten seconds.
        parked: messages that this consumer has parked in this partition.
        failing: the kind of error it is trying to get over; empty where all is well.
        owner: which process.
        at: when this was written, milliseconds since 1970 by the store's clock.
    """

    consumer: str
    partition: int
    position: str = "0-0"
    ordinal: int = 0
    lag: int = 0
    lag_seconds: float = 0.0
    handled: int = 0
    rate: float = 0.0
    parked: int = 0
    failing: str = ""
    owner: str = ""
    at: int = 0


def write(client: "redis.Redis", figures: Iterable[Figure]) -> None:
    """Publish figures."""
    pipeline = client.pipeline(transaction=False)
    for each in figures:
        pipeline.hset(
            keys.of_partition(each.partition, "figures", each.consumer),
            mapping={
                name: getattr(each, name)
                for name in Figure.__dataclass_fields__
                if name not in ("consumer", "partition")
            },
        )
    pipeline.execute()


def read(settings: Settings, client: "redis.Redis | None" = None) -> list[Figure]:
    """The figures of every consumer and partition; empty where the events store does not run."""
    from redis.exceptions import RedisError

    from genome.stores import valkey

    if client is not None:
        return _read(client, settings.collector_partitions)
    if settings.events_url is None and not (settings.valkey / "events").exists():
        return []  # it never ran here
    try:
        with valkey.connect(settings, "events", start=False) as own:
            return _read(own, settings.collector_partitions)
    except (RedisError, GenomeError, OSError):
        return []


def _read(client: "redis.Redis", partitions: int) -> list[Figure]:
    known: Any = client.hkeys(keys.CONSUMERS)
    names = sorted(name.decode() for name in known)
    places = [(name, partition) for name in names for partition in range(partitions)]
    pipeline = client.pipeline(transaction=False)
    for name, partition in places:
        pipeline.hgetall(keys.of_partition(partition, "figures", name))
    return [
        parsed(name, partition, found)
        for (name, partition), found in zip(places, pipeline.execute(), strict=True)
        if found
    ]


def parsed(consumer: str, partition: int, found: Any) -> Figure:
    """A figure from what the store holds."""
    text = {name.decode(): value.decode() for name, value in found.items()}
    kinds: dict[str, Any] = {
        "ordinal": int,
        "lag": int,
        "lag_seconds": float,
        "handled": int,
        "rate": float,
        "parked": int,
        "at": int,
    }
    known = {name: text[name] for name in Figure.__dataclass_fields__ if name in text}
    return Figure(consumer, partition, **{name: kinds.get(name, str)(value) for name, value in known.items()})


def families(figures: Iterable[Figure]) -> "Iterator[Metric]":
    """The figures in Prometheus' words."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    figures = list(figures)
    labels = ["consumer", "partition"]
    for name, text, kind, attribute in (
        ("lag_events", "Entries that wait for a consumer", GaugeMetricFamily, "lag"),
        ("lag_seconds", "How long the oldest of them has waited", GaugeMetricFamily, "lag_seconds"),
        ("rate", "Entries a second, over ten seconds", GaugeMetricFamily, "rate"),
        ("parked", "Messages that a consumer could not take", GaugeMetricFamily, "parked"),
        ("handled", "Entries handled since the partition was taken", CounterMetricFamily, "handled"),
    ):
        family = kind(f"genome_stream_{name}", text, labels=labels)
        for each in figures:
            family.add_metric([each.consumer, str(each.partition)], getattr(each, attribute))
        yield family
