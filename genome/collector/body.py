"""A request's body: decompressed within limits, and cut into its events without reading them.

One bad event must not cost the others, so the cut survives events that are no JSON (NaN, half characters,
bytes that are no UTF-8): a strict cut first, since it is fast, and a patient one where it fails.
"""

import re
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from genome.collector import limits
from genome.collector.errors import Refusal
from genome.collector.event import Context

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 16 + zlib.MAX_WBITS


class _Batch(msgspec.Struct, gc=False):
    batch: list[msgspec.Raw] | None = None
    sentAt: str | int | float | None = None  # noqa: N815 - the senders' names
    writeKey: str | None = None  # noqa: N815
    context: Context | None = None


class _Single(msgspec.Struct, gc=False):
    writeKey: str | None = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class Cut:
    """A body cut into its events.

    Attributes:
        events: the bytes of each, as they were sent.
        sent: `sentAt` of the request.
        context: `context` of the request.
        write_key: `writeKey` of the request, for senders that cannot set a header (sendBeacon).
    """

    events: list[bytes] = field(default_factory=list)
    sent: str | int | float | None = None
    context: Context | None = None
    write_key: str | None = None


class Inflating:
    """Decompresses what arrives, and stops as soon as a limit is passed: a bomb never unfolds."""

    def __init__(self, encoding: str) -> None:
        self._parts: list[bytes] = []
        self._in = 0
        self._out = 0
        self._inflater: Any = None
        encoding = encoding.strip().lower()
        if encoding in ("", "identity"):
            self._gzip: bool | None = None  # some clients compress and do not say so
        elif encoding in ("gzip", "x-gzip"):
            self._gzip = True
        else:
            raise Refusal(
                415,
                "unsupported_encoding",
                "Content-Encoding is neither gzip nor identity.",
                "Send one of them.",
            )

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if not chunk:
            return
        if self._gzip is None:
            self._gzip = chunk.startswith(_GZIP_MAGIC)
        self._in += len(chunk)
        if not self._gzip:
            self._keep(chunk)
            return
        while chunk:
            if self._inflater is None or self._inflater.eof:
                self._inflater = zlib.decompressobj(_GZIP)  # gzip files may follow one another
            room = limits.BODY_BYTES - self._out + 1
            try:
                self._keep(self._inflater.decompress(chunk, room))
            except zlib.error:
                raise Refusal(400, "bad_gzip", "The body is no gzip.", "Compress it again.") from None
            chunk = self._inflater.unconsumed_tail or self._inflater.unused_data

    def finish(self) -> bytes:
        """The whole body."""
        if self._inflater is not None and not self._inflater.eof:
            raise Refusal(400, "bad_gzip", "The gzip body is cut short.", "Send it whole.")
        if self._gzip and self._out > limits.RATIO * self._in:
            raise Refusal(
                413,
                "ratio_too_high",
                f"The body grows more than {limits.RATIO} times.",
                "Send it uncompressed.",
            )
        return b"".join(self._parts)

    def _keep(self, part: bytes) -> None:
        self._out += len(part)
        if self._out > limits.BODY_BYTES:
            raise too_large()
        self._parts.append(part)


def too_large() -> Refusal:
    """The answer to a body over the limit."""
    return Refusal(
        413, "body_too_large", f"The body is larger than {limits.BODY_BYTES} bytes.", "Send smaller batches."
    )


_batch_decoder = msgspec.json.Decoder(_Batch)
_single_decoder = msgspec.json.Decoder(_Single)


def cut(body: bytes, path: str) -> Cut:
    """Cut a body into its events.

    Args:
        body: decompressed.
        path: `batch` and `import` hold many events; every other path is one event.

    Raises:
        Refusal: 400 where it is no JSON object or `batch` is no list, 413 where it holds too many events.
    """
    if path not in ("batch", "import"):
        return _single(body)
    try:
        found = _batch_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(400, "bad_batch", f"The body is no batch: {error}.", 'Send {"batch": [...]}.') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _limited(_patient(body))
    if found.batch is None:
        raise Refusal(400, "bad_batch", "The body has no `batch`.", 'Send {"batch": [...]}.')
    if len(found.batch) > limits.BATCH_EVENTS:
        raise _too_many()
    return Cut([bytes(each) for each in found.batch], found.sentAt, found.context, found.writeKey)


def _single(body: bytes) -> Cut:
    if not body.lstrip().startswith(b"{") or not body.rstrip().endswith(b"}"):
        raise _no_json()
    try:
        key = _single_decoder.decode(body).writeKey
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # It looks like an object: what is wrong inside it is for the quarantine, under the key in the header.
        key = None
        if _whole(body) is None:
            raise _no_json() from None
    return Cut([body.strip()], write_key=key)


def _limited(found: Cut | None) -> Cut:
    if found is None:
        raise _no_json()
    if len(found.events) > limits.BATCH_EVENTS:
        raise _too_many()
    return found


def _no_json() -> Refusal:
    return Refusal(400, "invalid_json", "The body is no JSON object.", "Send one.")


def _too_many() -> Refusal:
    return Refusal(
        413,
        "too_many_events",
        f"The batch has more than {limits.BATCH_EVENTS} events.",
        "Send smaller batches.",
    )


# The patient cut: brackets and texts only, whatever stands between them

_MARK: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},:]', re.DOTALL)


def _whole(body: bytes) -> int | None:
    """Where the body's one object ends; None where its brackets do not match."""
    level = 0
    for found in _MARK.finditer(body):
        mark = found.group()
        if mark in (b"{", b"["):
            level += 1
        elif mark in (b"}", b"]"):
            level -= 1
            if level == 0:
                return found.end() if not body[found.end() :].strip() else None
    return None


def _patient(body: bytes) -> Cut | None:
    """The members of the body's object, cut at its own level; None where it has no `batch` list."""
    members: dict[bytes, bytes] = {}
    if not body.lstrip().startswith(b"{") or _whole(body) is None:
        return None
    for member in _pieces(body, body.index(b"{") + 1):
        name, colon, value = _name_and_value(member)
        if colon:
            members[name] = value
    batch = members.get(b"batch", b"").strip()
    if not batch.startswith(b"["):
        return None
    events = [each for each in _pieces(batch, 1) if each]
    return Cut(
        events,
        _or_none(members.get(b"sentAt"), str | int | float | None),
        _or_none(members.get(b"context"), Context | None),
        _or_none(members.get(b"writeKey"), str | None),
    )


def _pieces(text: bytes, start: int) -> list[bytes]:
    """The comma-separated pieces of the object or array that is open at `start`."""
    pieces: list[bytes] = []
    level, begin = 0, start
    for found in _MARK.finditer(text, start):
        mark = found.group()
        if mark in (b"{", b"["):
            level += 1
        elif mark in (b"}", b"]"):
            if level == 0:
                pieces.append(text[begin : found.start()].strip())
                break
            level -= 1
        elif mark == b"," and level == 0:
            pieces.append(text[begin : found.start()].strip())
            begin = found.end()
    return pieces


def _name_and_value(member: bytes) -> tuple[bytes, bytes, bytes]:
    found = _MARK.match(member)
    if found is None or not found.group().startswith(b'"'):
        return b"", b"", b""
    rest = member[found.end() :].lstrip()
    return found.group()[1:-1], rest[:1] if rest.startswith(b":") else b"", rest[1:]


def _or_none(text: bytes | None, kind: Any) -> Any:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
