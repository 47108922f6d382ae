"""The collector as an ASGI application: served alone (`genome collector`) or mounted into another app.

Plain ASGI, because the way from a request to its acknowledgement is hot: nothing is made for an event that
is not stored for it. `Collector.ROUTES` says what it answers to; everything else gets 404.
"""

import asyncio
import base64
import binascii
import gc
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import structlog

from genome import clock
from genome.collector import body as bodies
from genome.collector import event as events
from genome.collector import hooks, ledger, limits, quarantine, stream
from genome.collector.body import Cut, Inflating
from genome.collector.commit import Committer, Parcel
from genome.collector.errors import Refusal, unavailable
from genome.collector.event import Accepted, Breach, Envelope, Suppressed
from genome.collector.figures import Figures
from genome.collector.limits import Capacity
from genome.collector.record import checksum, encode
from genome.collector.sources import Source, Sources
from genome.collector.stream import Section
from genome.errors import GenomeError
from genome.identity.personal import Scrubber
from genome.identity.texts import Text
from genome.identity.tokens import Tokeniser
from genome.identity.vault import Vault
from genome.lake.vault import Vault as Cipher
from genome.settings import Settings, load
from genome.stores.secrets import made_once

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

log = structlog.get_logger(__name__)

SUCCESS: Final = b'{"success":true}'
"""The one answer that all clients take for success (202, 204 and redirects are failures to some)."""
_GIF: Final = base64.b64decode(b"R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YIELD_EVENTS: Final = 200
_json = msgspec.json.Encoder()


class Gone(Exception):  # noqa: N818 - not an error of anybody's
    """The sender closed the connection before its body was whole."""


class Collector:
    """The tracking API of one installation.

    Its lifespan starts and stops the writer; where it is mounted, the outer app calls `startup` and
    `shutdown`.
    """

    ROUTES: Final = {
        ("POST", "/v1/track"): "One event.",
        ("POST", "/v1/identify"): "What is known of a person.",
        ("POST", "/v1/page"): "A page view.",
        ("POST", "/v1/screen"): "A screen view.",
        ("POST", "/v1/group"): "A person's group.",
        ("POST", "/v1/alias"): "Two identifiers of one person.",
        ("POST", "/v1/batch"): "Up to 2,500 events of any type.",
        ("POST", "/v1/import"): "Up to 2,500 events of the past, each with its own time.",
        ("POST", "/v1/hooks/{source}"): "A provider's signed webhook: SendGrid, Mailgun, Typeform.",
        ("GET", "/v1/pixel"): "One event in the query of a 1×1 picture.",
    }
    """(method, path) → what it does. All of them need a source's write key (scope `ingest`) or a
    signature.
    """

    def __init__(self, settings: Settings, capacity: Capacity | None = None) -> None:
        self.settings = settings
        self.capacity = capacity or Capacity()
        self.sources = Sources(settings)
        self.vault = Vault(settings)
        self.committer = Committer(settings, self.vault, self.capacity)
        self.figures = Figures()
        self.digest_key = bytes.fromhex(made_once(settings, "digest.key", lambda: secrets.token_hex(32)))
        self.replayed_was_new = False
        self._cipher = Cipher(settings)
        self._tokenisers: dict[str | None, Tokeniser] = {}
        self._receiving_bytes = 0
        self._started = False

    # Life

    async def startup(self) -> None:
        """Begin to write (in the running event loop)."""
        self.committer.start()
        self._started = True
        # The first requests should not be turned away because the store is only just starting.
        deadline = time.monotonic() + 15.0
        while self.committer.problem == "starting" and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    async def shutdown(self) -> None:
        """Write what waits, and let go of everything."""
        await self.committer.stop()
        self.vault.close()
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            if not self._started:
                await self.startup()
            await self._http(scope, receive, send)
        else:
            raise RuntimeError(f"The collector speaks HTTP, not {scope['type']}.")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.startup()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return

    # HTTP

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        method: str = scope["method"]
        path: str = scope["path"].rstrip("/") or "/"
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers[name] = value
        cross = _cross_origin(headers)
        route = "other"
        status = 503
        try:
            status, kind, answer, extra, route = await self._answer(scope, method, path, headers, receive)
        except Gone:
            return
        except Refusal as refusal:
            route = route_of(path)
            status, kind, answer, extra = _refused(refusal)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is our fault: 503, never 4xx or a bare 500
            route = route_of(path)
            log.error("collector_fault", route=route, error=type(error).__name__)
            status, kind, answer, extra = _refused(
                unavailable("internal", "The collector met a fault of its own.")
            )
        finally:
            self.figures.request(route, status, time.perf_counter() - began)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", kind),
                    (b"content-length", b"%d" % len(answer)),
                    *cross,
                    *extra,
                ],
            }
        )
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer})

    async def _answer(
        self, scope: Scope, method: str, path: str, headers: dict[bytes, bytes], receive: Receive
    ) -> tuple[int, bytes, bytes, Headers, str]:
        name = path.removeprefix("/v1/")
        if path.startswith("/v1/"):
            if name in _POSTED:
                if method == "OPTIONS":
                    return _preflight(path)
                _only(method, "POST")
                await self._collect(scope, name, headers, receive)
                return 200, b"application/json", SUCCESS, [], path
            if name.startswith("hooks/") and "/" not in name[6:]:
                _only(method, "POST")
                await self._hook(name[6:], headers, receive)
                return 200, b"application/json", SUCCESS, [], "/v1/hooks/{source}"
            if name == "pixel":
                _only(method, "GET", "HEAD")
                await self._pixel(scope, headers)
                return 200, b"image/gif", _GIF, [(b"cache-control", b"no-store, max-age=0")], path
        if path in _LOOKED_AT:
            _only(method, "GET", "HEAD")
        if path == "/healthz":
            return 200, b"application/json", b'{"status":"alive"}', [], path
        if path == "/readyz":
            problem = self.committer.problem
            if problem is not None:
                raise unavailable("not_ready", f"Events cannot be stored now: {problem}.")
            return 200, b"application/json", b'{"status":"ready"}', [], path
        if path == "/metrics":
            text = await asyncio.to_thread(self.metrics)
            return 200, b"text/plain; version=0.0.4; charset=utf-8", text, [], path
        raise Refusal(404, "not_found", "There is no such route.", "See /v1/track and its neighbours.")

    def metrics(self) -> bytes:
        """Figures of this process, the ledger, and what became of the events behind it; blocks for the store."""
        from redis.exceptions import RedisError

        from genome.stream import figures
        from genome.stream import ledger as landing

        try:
            rows = ledger.read(self.settings)
        except (RedisError, GenomeError, OSError):
            rows = []  # the other figures are wanted most when the store is down
        further = [*figures.families(figures.read(self.settings)), *landing.families(self.settings, rows)]
        return self.figures.text(rows, self.committer, further)

    # The three doors

    async def _collect(self, scope: Scope, path: str, headers: dict[bytes, bytes], receive: Receive) -> None:
        self.committer.refuse_if_full()
        key = _key_of(headers.get(b"authorization")) or _key_of_query(scope["query_string"])
        source = self._source(key) if key else None
        raw = await self._body(headers, receive)
        arrived = self._now()
        cut = bodies.cut(raw, path)
        if source is None:
            if cut.write_key is None:
                raise _no_key()
            source = self._source(cut.write_key)
        envelope = Envelope(source, path, arrived, self.digest_key, cut.sent, cut.context)
        await self._store(envelope, cut.events)

    async def _hook(self, source_id: str, headers: dict[bytes, bytes], receive: Receive) -> None:
        self.committer.refuse_if_full()
        source = self.sources.named(source_id)
        if source is None or source.provider is None or source.secret is None:
            raise Refusal(
                404, "no_such_hook", "There is no such webhook.", "Register a source with a provider."
            )
        raw = await self._body(headers, receive)
        arrived = self._now()
        hooks.verify(source.provider, source.secret, headers, raw, arrived)
        await self._store(
            Envelope(source, f"hooks:{source.provider}", arrived, self.digest_key),
            hooks.cut(source.provider, raw),
        )

    async def _pixel(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        self.committer.refuse_if_full()
        cut = _from_query(scope["query_string"])
        key = _key_of(headers.get(b"authorization")) or cut.write_key
        if key is None:
            raise _no_key()
        await self._store(Envelope(self._source(key), "pixel", self._now(), self.digest_key), cut.events)

    def _source(self, key: str) -> Source:
        source = self.sources.of_key(key)
        if source is None:
            raise Refusal(
                401, "unknown_write_key", "No source has this write key.", "Ask for the source's key."
            )
        return source

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limits.BODY_BYTES:
            raise bodies.too_large()  # compressed or not, it cannot become smaller
        inflating = Inflating(headers.get(b"content-encoding", b"").decode("latin-1"))
        taken = 0
        try:
            async with asyncio.timeout(self.capacity.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    chunk = message.get("body", b"")
                    taken += len(chunk)
                    self._receiving_bytes += len(chunk)
                    if self._receiving_bytes > self.capacity.body_bytes:
                        raise unavailable("overloaded", "Too many bodies are being received.")
                    inflating.feed(chunk)
                    if not message.get("more_body", False):
                        return inflating.finish()
        except TimeoutError:
            raise Refusal(
                408, "body_too_slow", "The body did not arrive in time.", "Send it again."
            ) from None
        finally:
            self._receiving_bytes -= taken

    # From events to the disk

    async def _store(self, envelope: Envelope, found: Sequence[bytes | Breach]) -> None:
        parcel = await self._parcel(envelope, found)
        if parcel.sections:
            await self.committer.store(parcel)

    async def _parcel(self, envelope: Envelope, found: Sequence[bytes | Breach]) -> Parcel:
        settings, source = self.settings, envelope.source
        partitions = settings.collector_partitions
        owner = f"{source.source_id}|{source.channel}".encode()
        prefix = source.source_id.encode() + b"\0"
        key = self.digest_key
        scrubber = Scrubber(self._tokeniser(source.calling_code))
        sections: dict[int, list[Section]] = {}
        accepting: dict[int, Section] = {}
        texts: list[Text] = []
        breaches: list[tuple[int, bytes, Breach]] = []
        suppressed = 0
        size = 0
        for offset, raw in enumerate(found):
            if offset % _YIELD_EVENTS == _YIELD_EVENTS - 1:
                await asyncio.sleep(0)  # a large batch must not hold up the small ones
            outcome = read_one(raw, envelope, scrubber)
            if type(outcome) is Accepted:
                record = outcome.record
                partition = stream.partition_of(record.source_key, partitions)
                section = accepting.get(partition)
                if section is None:
                    section = accepting[partition] = Section(b"a", owner)
                written = encode(record)
                section.values += (
                    events.digest(key, prefix + record.message_id.encode(), 16),
                    events.digest(key, outcome.body, 8),
                    checksum(written),
                    written,
                )
                section.count += 1
                section.sources.append((offset, raw))
                size += len(written)
                if outcome.text is not None:
                    texts.append(outcome.text)
                    size += len(outcome.text.words)
            elif type(outcome) is Suppressed:
                suppressed += 1
            else:
                breaches.append((offset, raw if isinstance(raw, bytes) else b"", outcome))  # type: ignore[arg-type]
        for partition, section in accepting.items():
            sections[partition] = [section]
        # What has no source key goes wherever this request goes anyway, so that it costs no further call.
        home = next(iter(accepting), 0)
        if breaches:
            aside = Section(b"q", owner)
            for offset, raw, breach in breaches:
                self._set_aside(aside, envelope, offset, raw, breach)
                size += len(raw)
            sections.setdefault(home, []).append(aside)
        if suppressed:
            sections.setdefault(home, []).append(Section(b"s", owner, count=suppressed))
        counted = sum(section.count for each in sections.values() for section in each)
        if counted != len(found):
            raise RuntimeError(f"{len(found)} events came and {counted} are accounted for")

        def conflict(section: Section, ordinals: Sequence[int]) -> tuple[int, Section]:
            reused = Breach("message_id_reused", "the same message id came before with another body")
            aside = Section(b"q", section.owner)
            for ordinal in ordinals:
                offset, raw = section.sources[ordinal]
                self._set_aside(aside, envelope, offset, raw, reused)
            return home, aside

        return Parcel(sections, size, scrubber.taken(), conflict, texts)

    def _set_aside(
        self, section: Section, envelope: Envelope, offset: int, raw: bytes, breach: Breach
    ) -> None:
        why = quarantine.Why(
            source=envelope.source.source_id,
            channel=envelope.source.channel,
            reason=breach.reason,
            offset=offset,
            path=envelope.path,
            arrived=envelope.arrived,
            size=len(raw),
            sent=envelope.sent,
        )
        section.values += quarantine.values(self._cipher, why, raw, envelope.context)
        section.count += 1

    async def replay_one(self, raw: bytes, envelope: Envelope) -> Accepted | Breach | Suppressed:
        """Read a quarantined event again and store it where it is taken now; `replayed_was_new` says if it
        was.
        """
        scrubber = Scrubber(self._tokeniser(envelope.source.calling_code))
        outcome = read_one(raw, envelope, scrubber)
        if not isinstance(outcome, Accepted):
            return outcome
        record, written = outcome.record, encode(outcome.record)
        section = Section(b"r", f"{envelope.source.source_id}|{envelope.source.channel}".encode())
        section.values += (
            events.digest(self.digest_key, f"{envelope.source.source_id}\0{record.message_id}".encode(), 16),
            events.digest(self.digest_key, outcome.body, 8),
            checksum(written),
            written,
        )
        section.count = 1
        section.sources.append((0, raw))
        conflicts: list[int] = []

        def conflict(section: Section, ordinals: Sequence[int]) -> tuple[int, Section]:
            conflicts.extend(ordinals)
            return 0, Section(b"s", section.owner)

        partition = stream.partition_of(record.source_key, self.settings.collector_partitions)
        before = self._replays(partition, section.owner)
        texts = [] if outcome.text is None else [outcome.text]
        await self.committer.store(
            Parcel({partition: [section]}, len(written), scrubber.taken(), conflict, texts)
        )
        if conflicts:
            return Breach("message_id_reused", "the same message id came before with another body")
        self.replayed_was_new = self._replays(partition, section.owner) > before
        return outcome

    def _replays(self, partition: int, owner: bytes) -> int:
        from genome.stores import valkey

        with valkey.connect(self.settings, "events", start=False) as client:
            found: Any = client.hget(stream.ledger_key(partition), owner.decode() + "|replayed")
        return int(found or 0)

    def _tokeniser(self, calling_code: str | None) -> Tokeniser:
        if calling_code not in self._tokenisers:
            self._tokenisers[calling_code] = Tokeniser(self.settings, calling_code=calling_code)
        return self._tokenisers[calling_code]

    def _now(self) -> int:
        return (clock.now(self.settings) - _EPOCH) // events.MICROSECOND


_LOOKED_AT: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_POSTED: Final = frozenset({*events.TYPES, "batch", "import"})


def read_one(raw: bytes | Breach, envelope: Envelope, scrubber: Scrubber) -> Accepted | Breach | Suppressed:
    """Read one event of whatever door: a provider's is mapped first."""
    if isinstance(raw, Breach):
        return raw
    if envelope.path.startswith("hooks:"):
        mapped = hooks.mapped(envelope.path.removeprefix("hooks:"), raw)
        if isinstance(mapped, Breach):
            return mapped
        return events.read(mapped, envelope, scrubber)
    return events.read(raw, envelope, scrubber)


def route_of(path: str) -> str:
    """The route that a path means, for figures and for whoever mounts it: never what a stranger put into it."""
    path = path.rstrip("/")
    if path.startswith("/v1/hooks/"):
        return "/v1/hooks/{source}"
    known = path in _LOOKED_AT or path in {route for _, route in Collector.ROUTES}
    return path if known else "other"


def _refused(refusal: Refusal) -> tuple[int, bytes, bytes, Headers]:
    extra: Headers = []
    if refusal.retry_after is not None:
        extra.append((b"retry-after", b"%d" % refusal.retry_after))
    if refusal.status == 401:
        extra.append((b"www-authenticate", b'Basic realm="write key"'))
    if refusal.status == 405:
        extra.append((b"allow", refusal.remedy.encode()))
    return (
        refusal.status,
        b"application/json",
        _json.encode({"code": refusal.code, "message": str(refusal)}),
        extra,
    )


def _only(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise Refusal(405, "method_not_allowed", "This route has another method.", ", ".join(allowed))


def _no_key() -> Refusal:
    return Refusal(
        401, "no_write_key", "The request has no write key.", "Send it as the user name of HTTP Basic."
    )


def _key_of(authorization: bytes | None) -> str | None:
    """The write key: the user name of Basic (as Segment's and RudderStack's clients send it), or a Bearer."""
    scheme, _, rest = (authorization or b"").partition(b" ")
    rest = rest.strip()
    if scheme.lower() == b"bearer":
        return rest.decode("latin-1") or None
    if scheme.lower() != b"basic":
        return None
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user or password or None


def _key_of_query(query: bytes) -> str | None:
    """For sendBeacon, which cannot set a header."""
    if b"writeKey=" not in query:
        return None
    return dict(parse_qsl(query.decode("latin-1"))).get("writeKey") or None


def _cross_origin(headers: dict[bytes, bytes]) -> Headers:
    """Browsers may send from every origin: a write key writes and does nothing else, and no cookie is
    read.
    """
    origin = headers.get(b"origin")
    if origin is None:
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    ]


def _preflight(path: str) -> tuple[int, bytes, bytes, Headers, str]:
    return (
        200,
        b"text/plain",
        b"",
        [
            (b"access-control-allow-methods", b"POST, OPTIONS"),
            (b"access-control-allow-headers", b"authorization, content-type, content-encoding"),
            (b"access-control-max-age", b"86400"),
        ],
        path,
    )


_PIXEL_FIELDS: Final = (
    "type",
    "event",
    "name",
    "category",
    "userId",
    "anonymousId",
    "groupId",
    "messageId",
    "timestamp",
)


def _from_query(query: bytes) -> Cut:
    """A pixel's event: `data` (JSON in base64), or plain fields, with properties as `properties.<name>`."""
    try:
        asked = dict(parse_qsl(query.decode("ascii"), errors="strict"))
    except (UnicodeDecodeError, ValueError):
        raise Refusal(400, "bad_query", "The query is no text in UTF-8.", "Encode it.") from None
    data = asked.get("data")
    if data is None:
        found: dict[str, Any] = {name: asked[name] for name in _PIXEL_FIELDS if name in asked}
        found.setdefault("type", "track")
        found["properties"] = {
            name.removeprefix("properties."): value
            for name, value in asked.items()
            if name.startswith("properties.")
        }
        return Cut([_json.encode(found)], write_key=asked.get("writeKey"))
    try:
        padded = data.replace("-", "+").replace("_", "/").replace(" ", "+")
        raw = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except binascii.Error:
        raise Refusal(
            400, "bad_query", "`data` is no base64.", "Encode the event's JSON in base64."
        ) from None
    cut = bodies.cut(raw, "pixel")
    return Cut(cut.events, write_key=asked.get("writeKey") or cut.write_key)


def create_app(settings: Settings, capacity: Capacity | None = None) -> Collector:
    """The collector of an installation."""
    return Collector(settings, capacity)


def routes(collector: Collector) -> list[Any]:
    """The collector's routes for an outer Starlette or FastAPI app, each with and without a trailing slash.

    The outer app calls `startup` and `shutdown` in its lifespan, and keeps its own middleware off these
    routes where it would read the body (`route_of` says which requests are meant).
    """
    from starlette.routing import Route

    return [
        Route(path + slash, endpoint=collector, include_in_schema=False)
        for _, path in Collector.ROUTES
        for slash in ("", "/")
    ]


def from_environment() -> Collector:
    """The collector for a server that makes its own processes."""
    app = create_app(load())
    # Events come and go in large numbers and refer to nothing in a circle: looking for circles at every 700th
    # object costs a third of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    return app
