"""One record of the event stream: what the collector writes and every consumer reads.

A stream entry has two fields, in this order: `r`, the record as JSON in UTF-8, and `c`, the CRC-32 of
exactly those bytes, as eight hexadecimal digits. The store loads a damaged byte without a word, so a
consumer verifies each entry by `decode` and sets a damaged one aside; it never skips one silently.

All personal identifiers in a record are tokens. Times are whole microseconds since 1970, UTC.
"""

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

VERSION: Final = 1
"""Raised when a reader of the former version could not read a record; a new optional field does not raise
it.
"""


class Record(msgspec.Struct, omit_defaults=True, gc=False):
    """An event as it was accepted.

    Attributes:
        v: version of this layout.
        source: the source that sent it.
        channel: the source's channel.
        type: track, identify, page, screen, group or alias.
        name: the interaction's name ("Product Viewed").
        message_id: the sender's name for it; (source, message_id) is one event.
        received: known time: when the platform could have known.
        occurred: when it happened, by the platform's clock.
        key_type: what the source key is: user, anonymous, or a token's kind (email, phone …).
        key: the source key; with its type it chooses the partition.
        key_version: which key made the token, where the source key is one.
        arrived: when it reached the collector; differs from `received` in a historical import.
        original: when it happened, as the sender said.
        sent: when it was sent, as the sender said.
        identifiers: the other identifiers it carries: (type, key, key version or None).
        seller: whose shop.
        session: the sender's session.
        properties: the event's own fields.
        traits: what it says about the person.
        context: page, campaign, device, locale, time zone, library … (what is personal in them is left out).
        flags: see FLAGS.
        known_assumed: the known time is assumed, not told (historical import).
    """

    source: str
    channel: str
    type: str
    name: str
    message_id: str
    received: int
    occurred: int
    key_type: str
    key: str
    v: int = VERSION
    key_version: int | None = None
    arrived: int | None = None
    original: int | None = None
    sent: int | None = None
    identifiers: list[tuple[str, str, int | None]] = []
    seller: str | None = None
    session: str | None = None
    properties: dict[str, Any] = {}
    traits: dict[str, Any] = {}
    context: dict[str, Any] = {}
    flags: list[str] = []
    known_assumed: bool = False

    def interaction_id(self, line: int | None = None) -> str:
        """The id that its interaction has in the lake (genome/lake/live.py); an order has one for each line, from 1."""
        parts = (self.channel, self.source, self.message_id, *(() if line is None else (str(line),)))
        text = "\x1f".join(parts)
        return hashlib.md5(text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()

    @property
    def source_key(self) -> str:
        """`<type>:<key>`: whose order is kept."""
        return f"{self.key_type}:{self.key}"


FLAGS: Final = {
    "clock_ahead": "more than 24 hours ahead of its arrival after correction",
    "no_sent_at": "it did not say when it was sent, so its clock could not be corrected",
    "no_time": "it did not say when it happened: its arrival is taken",
    "no_offset": "its time had no offset from UTC: UTC is assumed",
    "no_message_id": "it had no message id: one was made from its content",
    "repaired": "it held half of a two-part character, which was replaced",
}
"""What a flag on a record means."""


@dataclass(frozen=True, slots=True)
class Damage:
    """An entry that is not what was written.

    Attributes:
        reason: checksum, layout or version.
        raw: the bytes that were found.
    """

    reason: str
    raw: bytes


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """A record as the stream holds it."""
    return _encoder.encode(record)


def checksum(body: bytes) -> bytes:
    """The checksum that stands beside a record."""
    return b"%08x" % zlib.crc32(body)


def decode(fields: dict[bytes, bytes]) -> Record | Damage:
    """A stream entry's record, or what is wrong with it."""
    body = fields.get(b"r")
    if body is None or len(fields) != 2 or b"c" not in fields:
        return Damage("layout", b"\n".join(name + b"=" + value for name, value in fields.items()))
    if checksum(body) != fields[b"c"]:
        return Damage("checksum", body)
    try:
        record = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Damage("layout", body)
    return record if record.v == VERSION else Damage("version", body)
