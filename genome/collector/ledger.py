"""The exact ledger of the door: received = accepted + quarantined + suppressed + duplicate, for each source.

The counts change in the same script call that stores the events, so no kill can part them. A replayed event
keeps its count as quarantined and is counted once more as replayed: the stream holds accepted + replayed
records.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genome.collector import stream
from genome.settings import Settings

if TYPE_CHECKING:
    import redis


@dataclass(frozen=True, slots=True)
class Row:
    """What became of the events of one source."""

    source: str
    channel: str
    received: int = 0
    accepted: int = 0
    quarantined: int = 0
    suppressed: int = 0
    duplicate: int = 0
    replayed: int = 0

    @property
    def is_balanced(self) -> bool:
        """Whether every event that came in is accounted for."""
        return self.received == self.accepted + self.quarantined + self.suppressed + self.duplicate


def read(settings: Settings, client: "redis.Redis | None" = None) -> list[Row]:
    """The ledger of every source that has sent something; starts no server.

    Raises:
        redis.RedisError: the events store does not answer.
    """
    from genome.stores import valkey

    if client is not None:
        return _rows(client, settings.collector_partitions)
    with valkey.connect(settings, "events", start=False) as own:
        return _rows(own, settings.collector_partitions)


def by_channel(rows: list[Row]) -> dict[str, Row]:
    """The ledger of each channel: its sources added up."""
    totals: dict[str, Row] = {}
    for row in rows:
        total = totals.get(row.channel, Row("*", row.channel))
        totals[row.channel] = replace(
            total, **{name: getattr(total, name) + getattr(row, name) for name in stream.OUTCOMES}
        )
    return totals


def _rows(client: "redis.Redis", partitions: int) -> list[Row]:
    pipeline = client.pipeline(transaction=False)
    for partition in range(partitions):
        pipeline.hgetall(stream.ledger_key(partition))
    return add_up(pipeline.execute())


def add_up(parts: list[Any]) -> list[Row]:
    """The partitions' ledgers, added up."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for part in parts:
        for name, count in part.items():
            source, channel, outcome = name.decode().split("|")
            row = counts.setdefault((source, channel), {})
            row[outcome] = row.get(outcome, 0) + int(count)
    return [Row(source, channel, **row) for (source, channel), row in sorted(counts.items())]
