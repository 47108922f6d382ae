"""Events that could not be taken: kept whole and encrypted, with the reason; replayed after a fix.

They lie in the events store (one stream for each partition) from the moment of their acknowledgement.
"""

import asyncio
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from genome.collector import stream
from genome.collector.event import Accepted, Breach, Context, Envelope, Suppressed
from genome.collector.record import checksum
from genome.collector.sources import Source
from genome.errors import GenomeError, UsageError
from genome.lake.quarantine import Item
from genome.lake.vault import Vault as Cipher
from genome.settings import Settings

ID_PREFIX: Final = "collector-"
_PAGE: Final = 500


class Why(msgspec.Struct, omit_defaults=True):
    """What is known of a quarantined event without opening it.

    Attributes:
        source: who sent it.
        channel: the source's channel.
        reason: a stable code, then where in the event (never a value of it).
        offset: its place in its request, from 0.
        path: the route it came by.
        arrived: when, in microseconds.
        size: its bytes.
        sent: `sentAt` of its request.
    """

    source: str
    channel: str
    reason: str
    offset: int
    path: str
    arrived: int
    size: int
    sent: str | int | float | None = None


class _Sealed(msgspec.Struct):
    raw: bytes
    context: Context | None = None


_json = msgspec.json.Encoder()
_why = msgspec.json.Decoder(Why)
_sealed = msgspec.msgpack.Decoder(_Sealed)


def values(cipher: Cipher, why: Why, raw: bytes, context: Context | None) -> tuple[bytes, bytes, bytes]:
    """What the stream holds of a quarantined event: why, the sealed bytes, the checksum of both."""
    sealed = cipher.seal(zlib.compress(msgspec.msgpack.encode(_Sealed(raw, context)), 1), _place(why))
    told = _json.encode(why)
    return told, sealed, checksum(told + sealed)


def _place(why: Why) -> str:
    return f"collector:{why.source}:{why.arrived}:{why.offset}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One quarantined event; `quarantine_id` is `collector-<partition>-<stream id>`."""

    quarantine_id: str
    why: Why
    is_damaged: bool


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did.

    Attributes:
        landed: events that are in the stream now.
        known: events whose like was there already.
        suppressed: events that their consent context does not allow.
        still: quarantine id → why it was not taken again.
    """

    landed: int
    known: int
    suppressed: int
    still: dict[str, str]

    @property
    def remaining(self) -> dict[str, int]:
        """How many were not taken, by the reason's code."""
        return dict(Counter(reason.partition(":")[0] for reason in self.still.values()))

    def summary(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "landed": self.landed,
            "known": self.known,
            "suppressed": self.suppressed,
            "still_quarantined": self.still,
        }


def entries(settings: Settings, *, source: str | None = None) -> Iterator[Entry]:
    """The quarantined events, oldest first in each partition."""
    for partition, name, fields in _stored(settings):
        why = _told(fields)
        if source in (None, why.source):
            good = checksum(fields.get(b"m", b"") + fields.get(b"x", b"")) == fields.get(b"c")
            yield Entry(_id(partition, name), why, not good)


def open_entry(settings: Settings, quarantine_id: str) -> tuple[Why, bytes]:
    """One quarantined event with its raw bytes, as they were sent."""
    from genome.stores import valkey

    partition, _, name = quarantine_id.removeprefix(ID_PREFIX).partition("-")
    if not (is_ours(quarantine_id) and partition.isdigit() and name):
        raise UsageError(
            f"'{quarantine_id}' is no quarantined event of the collector.", "List them to see ids."
        )
    with valkey.connect(settings, "events") as client:
        found: Any = client.xrange(stream.quarantine_key(int(partition)), name, name)
    if not found:
        raise UsageError(f"There is no quarantined event '{quarantine_id}'.", "It may have been replayed.")
    fields = found[0][1]
    why = _why.decode(fields[b"m"])
    return why, _open(Cipher(settings), why, fields).raw


def is_ours(quarantine_id: str) -> bool:
    """Whether an id is that of an event that came through the collector."""
    return quarantine_id.startswith(ID_PREFIX)


def lake_items(settings: Settings, channel: str | None = None) -> list[Item]:
    """What waits at the collector's door, told as the lake tells its own; starts no server for it."""
    if settings.events_url is None and not (settings.valkey / "events").exists():
        return []
    return [
        Item(
            id=each.quarantine_id,
            channel=each.why.channel,
            reason="damaged in the store" if each.is_damaged else each.why.reason,
            source=each.why.source,
            offset=each.why.offset,
            raw_kind="json",
            set_aside_at=datetime.fromtimestamp(each.why.arrived / 1e6, UTC).isoformat(),
            batch_id=each.why.path,
        )
        for each in entries(settings)
        if channel in (None, each.why.channel)
    ]


def replay(settings: Settings, *, source: str | None = None, ids: Sequence[str] = ()) -> Replayed:
    """Read quarantined events again, with today's contracts; what is taken now lands once and leaves.

    Args:
        settings: where they are.
        source: only this source's.
        ids: only these; none: everything that waits.
    """
    return asyncio.run(_replay(settings, source, frozenset(ids)))


async def _replay(settings: Settings, source: str | None, ids: frozenset[str]) -> Replayed:
    from genome.collector.app import Collector
    from genome.stores import valkey

    app = Collector(settings)
    await app.startup()
    cipher = Cipher(settings)
    landed = known = suppressed = 0
    still: dict[str, str] = {}
    try:
        with valkey.connect(settings, "events") as client:
            for partition, name, fields in list(_stored(settings)):
                if ids and _id(partition, name) not in ids:
                    continue
                why = _told(fields)
                if source not in (None, why.source):
                    continue
                sender = app.sources.named(why.source)
                outcome: Accepted | Breach | Suppressed
                if sender is None:
                    outcome = Breach("no_source", f"the source '{why.source}' is closed")
                else:
                    outcome = await _land(app, cipher, why, sender, fields)
                if isinstance(outcome, Breach):
                    still[_id(partition, name)] = outcome.reason
                    continue
                # Stored first, removed after: killed in between, the next replay finds it known.
                client.xdel(stream.quarantine_key(partition), name)
                if isinstance(outcome, Suppressed):
                    suppressed += 1
                elif app.replayed_was_new:
                    landed += 1
                else:
                    known += 1
    finally:
        await app.shutdown()
    return Replayed(landed, known, suppressed, still)


async def _land(
    app: Any, cipher: Cipher, why: Why, sender: Source, fields: dict[bytes, bytes]
) -> Accepted | Breach | Suppressed:
    try:
        sealed = _open(cipher, why, fields)
    except GenomeError:
        return Breach("damaged")  # it stays where it is, for a person to look at
    envelope = Envelope(sender, why.path, why.arrived, app.digest_key, why.sent, sealed.context)
    outcome: Accepted | Breach | Suppressed = await app.replay_one(sealed.raw, envelope)
    return outcome


def _open(cipher: Cipher, why: Why, fields: dict[bytes, bytes]) -> _Sealed:
    if checksum(fields[b"m"] + fields[b"x"]) != fields[b"c"]:
        raise GenomeError(
            f"A quarantined event of '{why.source}' was damaged in the store.",
            "Restore the store from a backup.",
        )
    return _sealed.decode(zlib.decompress(cipher.open(fields[b"x"], _place(why))))


def _told(fields: dict[bytes, bytes]) -> Why:
    try:
        return _why.decode(fields[b"m"])
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError):
        return Why("?", "?", "damaged: its description cannot be read", 0, "?", 0, 0)


def _id(partition: int, name: str) -> str:
    return f"{ID_PREFIX}{partition}-{name}"


def _stored(settings: Settings) -> Iterator[tuple[int, str, dict[bytes, bytes]]]:
    from genome.stores import valkey

    with valkey.connect(settings, "events") as client:
        for partition in range(settings.collector_partitions):
            start = "-"
            while True:
                page: Any = client.xrange(stream.quarantine_key(partition), start, "+", count=_PAGE)
                for name, fields in page:
                    yield partition, name.decode(), fields
                if len(page) < _PAGE:
                    break
                start = f"({page[-1][0].decode()}"
