"""From the door to the lake: for each source, accepted = landed + waiting + parked, exactly.

What was accepted is counted by the collector in the call that stores it; what landed is counted in the
document that commits it; what waits is counted in the stream itself. Three books, written by different
hands: where they disagree, something is lost.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from genome.collector import ledger as door
from genome.collector import stream
from genome.errors import GenomeError
from genome.lake.layout import INTERACTIONS
from genome.lake.manifest import Manifest
from genome.settings import Settings
from genome.stream import keys, parked
from genome.stream.land import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from prometheus_client.metrics_core import Metric

_PAGE: Final = 2_000
_TRIES: Final = 5


class _Whose(msgspec.Struct):
    source: str
    channel: str


_whose = msgspec.json.Decoder(_Whose)


@dataclass(frozen=True, slots=True)
class Hop:
    """Where the accepted events of one source are.

    Attributes:
        accepted: stored by the collector (replayed ones of the quarantine included).
        landed: in the lake.
        waiting: in the stream, behind what has landed; counted there, not derived.
        parked: set aside by `land`.
        rows: what the landed ones became.
    """

    source: str
    channel: str
    accepted: int = 0
    landed: int = 0
    waiting: int = 0
    parked: int = 0
    rows: int = 0

    @property
    def is_balanced(self) -> bool:
        """Whether every accepted event is accounted for."""
        return self.accepted == self.landed + self.waiting + self.parked


def read(settings: Settings, client: "redis.Redis | None" = None) -> list[Hop]:
    """The hop of every source; starts no server.

    Raises:
        redis.RedisError: the events store does not answer.
    """
    from genome.stores import valkey

    if client is not None:
        return _read(settings, client)
    with valkey.connect(settings, "events", start=False) as own:
        return _read(settings, own)


def _read(settings: Settings, client: "redis.Redis") -> list[Hop]:
    for _ in range(_TRIES):
        before = Manifest.read(settings, INTERACTIONS)
        hops = _count(settings, client, before)
        # What landed meanwhile may have left the stream before it was counted: then look again.
        if Manifest.read(settings, INTERACTIONS).landed() == before.landed():
            break
    return hops


def _count(settings: Settings, client: "redis.Redis", manifest: Manifest) -> list[Hop]:
    positions = manifest.positions()
    accepted: list[Any] = []
    waiting: Counter[str] = Counter()
    aside: Counter[str] = Counter()
    for partition in range(settings.collector_partitions):
        key = stream.events_key(partition)
        # In one transaction, so that the ledger and the stream's end belong together.
        pipeline = client.pipeline(transaction=True)
        pipeline.hgetall(stream.ledger_key(partition))
        pipeline.xrevrange(key, count=1)
        counts, last = pipeline.execute()
        accepted.append(counts)
        parked_here = parked.owners(client, NAME, partition)
        aside.update(parked_here.values())
        if last:
            start = positions.get(partition, "0-0").encode()
            _waiting(client, key, start, last[0][0], parked_here, waiting)
    stored = {f"{row.source}|{row.channel}": row.accepted + row.replayed for row in door.add_up(accepted)}
    landed = manifest.landed()
    hops = []
    for name in sorted({*stored, *landed, *waiting, *aside}):
        source, _, channel = name.partition("|")
        events, rows = landed.get(name, (0, 0))
        hops.append(
            Hop(source, channel, stored.get(name, 0), events, waiting[name], parked=aside[name], rows=rows)
        )
    return hops


def _waiting(
    client: "redis.Redis", key: str, start: bytes, last: bytes, aside: dict[bytes, str], found: Counter[str]
) -> None:
    while keys.parsed(start) < keys.parsed(last):
        page: Any = client.xrange(key, b"(" + start, last, count=_PAGE)
        for stream_id, fields in page:
            if stream_id in aside:
                continue
            try:
                whose = _whose.decode(fields.get(b"r", b""))
            except (msgspec.DecodeError, UnicodeDecodeError):
                found["?|?"] += 1  # damaged, and not parked yet
            else:
                found[f"{whose.source}|{whose.channel}"] += 1
        if len(page) < _PAGE:
            return
        start = page[-1][0]


def summary(settings: Settings) -> list[Hop]:
    """The hops, for `genome status`; empty where the events store does not run."""
    from redis.exceptions import RedisError

    if settings.events_url is None and not (settings.valkey / "events").exists():
        return []
    try:
        return read(settings)
    except (RedisError, GenomeError, OSError):
        return []


def families(settings: Settings, rows: list[door.Row]) -> "Iterator[Metric]":
    """What became of the accepted events, in Prometheus' words; derived, so that a scrape counts no stream."""
    from prometheus_client.core import GaugeMetricFamily

    landed = Manifest.read(settings, INTERACTIONS).landed()
    family = GaugeMetricFamily(
        "genome_lake_events",
        "Accepted events that are in the lake, and those that are not yet (waiting or parked)",
        labels=["source", "channel", "state"],
    )
    for row in rows:
        there = landed.get(f"{row.source}|{row.channel}", (0, 0))[0]
        family.add_metric([row.source, row.channel, "landed"], there)
        family.add_metric(
            [row.source, row.channel, "not_landed"], max(0, row.accepted + row.replayed - there)
        )
    yield family
