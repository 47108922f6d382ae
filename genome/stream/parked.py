"""Messages that a consumer could not take: set aside with the reason, sealed as the quarantine is.

One hash for each partition and consumer, by stream id, so that parking twice is parking once. A consumer's
parked messages stay until somebody replays them (`genome stream replay`) or drops them.
"""

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from genome.collector.record import Record, checksum, decode
from genome.errors import GenomeError, UsageError
from genome.lake.quarantine import Item
from genome.lake.vault import Vault as Cipher
from genome.settings import Settings
from genome.stream import keys

if TYPE_CHECKING:
    import redis

DAMAGED: Final = "damaged"
"""Reasons of entries that are not what was written begin so; all others name what failed on a whole one."""


class Why(msgspec.Struct, omit_defaults=True):
    """What is known of a parked message without opening it.

    Attributes:
        reason: `damaged: <how>`, or the kind of error on which every try ended.
        at: when it was parked, milliseconds since 1970.
        size: bytes of the record.
        source: who sent it; unknown of a damaged one.
        channel: the source's channel.
        tries: how often it was tried alone.
    """

    reason: str
    at: int
    size: int
    source: str = "?"
    channel: str = "?"
    tries: int = 0


class _Kept(msgspec.Struct, array_like=True):
    why: Why
    sealed: bytes
    sum: bytes


@dataclass(frozen=True, slots=True)
class Parked:
    """One parked message."""

    consumer: str
    partition: int
    stream_id: str
    why: Why

    @property
    def parked_id(self) -> str:
        """Its name: `parked-<consumer>-<partition>-<stream id>`."""
        return f"{ID_PREFIX}{self.consumer}-{self.partition}-{self.stream_id}"


_kept = msgspec.msgpack.Decoder(_Kept)


def park(
    client: "redis.Redis",
    cipher: Cipher,
    consumer: str,
    partition: int,
    stream_id: bytes,
    raw: bytes,
    *,
    reason: str,
    record: Record | None = None,
    tries: int = 0,
) -> bool:
    """Set a message aside; False where it is parked already."""
    why = Why(
        reason,
        int(time.time() * 1000),
        len(raw),
        record.source if record else "?",
        record.channel if record else "?",
        tries,
    )
    sealed = cipher.seal(zlib.compress(raw, 1), _place(consumer, partition, stream_id))
    kept = msgspec.msgpack.encode(_Kept(why, sealed, checksum(sealed)))
    name = keys.of_partition(partition, "parked", consumer)
    return bool(client.execute_command("HSETNX", name, stream_id, kept))


def ids(client: "redis.Redis", consumer: str, partition: int) -> set[bytes]:
    """The stream ids of what is parked."""
    found: Any = client.hkeys(keys.of_partition(partition, "parked", consumer))
    return set(found)


def owners(client: "redis.Redis", consumer: str, partition: int) -> dict[bytes, str]:
    """Stream id → `<source>|<channel>` of what is parked."""
    found: Any = client.hgetall(keys.of_partition(partition, "parked", consumer))
    told = {stream_id: _kept.decode(kept).why for stream_id, kept in found.items()}
    return {stream_id: f"{why.source}|{why.channel}" for stream_id, why in told.items()}


def listed(settings: Settings, consumer: str) -> Iterator[Parked]:
    """What a consumer has parked, oldest first in each partition; starts no server."""
    from genome.stores import valkey

    with valkey.connect(settings, "events", start=False) as client:
        for partition in range(settings.collector_partitions):
            found: Any = client.hgetall(keys.of_partition(partition, "parked", consumer))
            for stream_id in sorted(found, key=keys.parsed):
                why = _kept.decode(found[stream_id]).why
                yield Parked(consumer, partition, stream_id.decode(), why)


ID_PREFIX: Final = "parked-"


def is_ours(item_id: str) -> bool:
    """Whether an id of the quarantine's list is that of a parked message."""
    return item_id.startswith(ID_PREFIX)


def lake_items(settings: Settings, consumer: str, channel: str | None = None) -> list[Item]:
    """What a consumer has parked, told as the lake tells its quarantine; starts no server for it."""
    from redis.exceptions import RedisError

    if settings.events_url is None and not (settings.valkey / "events").exists():
        return []
    try:
        found = list(listed(settings, consumer))
    except (RedisError, OSError):
        return []  # the store is down; what it holds is still there when it is back
    return [
        Item(
            id=each.parked_id,
            channel=each.why.channel,
            reason=f"parked by {consumer}: {each.why.reason}",
            source=each.why.source,
            offset=None,
            raw_kind="json",
            set_aside_at=datetime.fromtimestamp(each.why.at / 1000, UTC).isoformat(),
            batch_id=each.stream_id,
        )
        for each in found
        if channel in (None, each.why.channel)
    ]


def show(settings: Settings, item_id: str) -> tuple[Item, bytes]:
    """A parked message by its id, opened.

    Raises:
        UsageError: there is none of this name.
    """
    from genome.stores import valkey

    consumer = item_id.removeprefix(ID_PREFIX).partition("-")[0]
    for item in lake_items(settings, consumer):
        if item.id == item_id:
            found = next(each for each in listed(settings, consumer) if each.parked_id == item_id)
            with valkey.connect(settings, "events", start=False) as client:
                return item, open_one(settings, client, found)
    raise UsageError(f"There is no '{item_id}'.", "It may have been replayed.")


def open_one(settings: Settings, client: "redis.Redis", parked: Parked) -> bytes:
    """The bytes of a parked message's record.

    Raises:
        UsageError: it is not there (any more).
        GenomeError: it was damaged in the store.
    """
    stream_id = parked.stream_id.encode()
    name = keys.of_partition(parked.partition, "parked", parked.consumer)
    found: Any = client.hget(name, parked.stream_id)
    if found is None:
        raise UsageError(f"There is no '{parked.parked_id}'.", "It may have been replayed.")
    kept = _kept.decode(found)
    if checksum(kept.sealed) != kept.sum:
        raise GenomeError(
            f"'{parked.parked_id}' was damaged in the store.", "Restore the store from a backup."
        )
    place = _place(parked.consumer, parked.partition, stream_id)
    return zlib.decompress(Cipher(settings).open(kept.sealed, place))


def record_of(raw: bytes) -> Record:
    """The record in the bytes of a parked message.

    Raises:
        GenomeError: they are no record.
    """
    found = decode({b"r": raw, b"c": checksum(raw)})
    if isinstance(found, Record):
        return found
    raise GenomeError(f"The message is {DAMAGED} ({found.reason}).", "It cannot be replayed: drop it.")


def remove(client: "redis.Redis", parked: Parked) -> None:
    """Take a message out of the parked ones."""
    name = keys.of_partition(parked.partition, "parked", parked.consumer)
    client.hdel(name, parked.stream_id)


def _place(consumer: str, partition: int, stream_id: bytes) -> str:
    return f"parked:{consumer}:{partition}:{stream_id.decode()}"
