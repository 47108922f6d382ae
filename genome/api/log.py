"""The decision log: every decision and every feedback is an event in the *events* store, fsynced at once.

    decisions                           stream: type, decision_id, customer_id, body (JSON)
    decision:{id}                       → the stream entry of the decision
    decision:{id}:feedback              → stream entries, oldest first
    decisions:customer:{customer_id}    → stream entries, newest first
    decisions:once:{caller and key}     → request hash and stream entry, for 24 hours

The stream is the truth; the other keys only find entries in it. What must happen together happens in one Lua
script, so 50 requests at once with one Idempotency-Key record one decision: whoever comes first appends, the
others get that entry. Lifetimes run by the server's clock, never by `GENOME_NOW`: a clock that stands still
would keep a key for ever.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from genome.errors import UnavailableError
from genome.settings import Settings
from genome.stores import valkey
from genome.stores.valkey import StoreName

if TYPE_CHECKING:
    import redis

STREAM = "decisions"
ONCE_SECONDS = 24 * 60 * 60
_PATIENCE_SECONDS: Mapping[StoreName, float] = {"online": 0.05, "events": 0.08}

_APPEND_DECISION = """
local once = KEYS[4]
if once then
  local seen = redis.call('HMGET', once, 'request', 'entry')
  if seen[1] then
    if seen[1] ~= ARGV[4] then return {'conflict', ''} end
    local entry = redis.call('XRANGE', KEYS[1], seen[2], seen[2])
    return {'seen', entry[1][2]}
  end
end
local id = redis.call('XADD', KEYS[1], '*', 'type', 'decision', 'decision_id', ARGV[1],
                      'customer_id', ARGV[2], 'body', ARGV[3])
redis.call('SET', KEYS[2], id)
redis.call('LPUSH', KEYS[3], id)
if once then
  redis.call('HSET', once, 'request', ARGV[4], 'entry', id)
  redis.call('EXPIRE', once, ARGV[5])
end
return {'recorded', {}}
"""

_APPEND_FEEDBACK = """
if redis.call('EXISTS', KEYS[2]) == 0 then return 'unknown' end
local id = redis.call('XADD', KEYS[1], '*', 'type', 'feedback', 'decision_id', ARGV[1],
                      'customer_id', ARGV[2], 'body', ARGV[3])
redis.call('RPUSH', KEYS[3], id)
return 'recorded'
"""


class StoreUnavailableError(UnavailableError):
    """A store did not answer in time, or not at all: our own fault, never the caller's."""

    def __init__(self, store: str) -> None:
        super().__init__(f"The {store} store does not answer.", "Try again soon; `genome status` says more.")
        self.store = store


@contextmanager
def unavailable(store: str) -> Iterator[None]:
    """Turn a store's connection errors into `StoreUnavailableError`."""
    import redis

    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, redis.ReadOnlyError) as error:
        raise StoreUnavailableError(store) from error
    except redis.ResponseError as error:
        # The disk is full or the last write to it failed: Valkey refuses writes until it can keep them.
        if str(error).startswith(("MISCONF", "OOM")):
            raise StoreUnavailableError(store) from error
        raise


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a decision.

    Attributes:
        outcome: recorded now; seen before under the same key, `body` is what was recorded then; conflict:
            the same key came with another request.
        body: the recorded decision.
    """

    outcome: Literal["recorded", "seen", "conflict"]
    body: bytes


@dataclass(frozen=True, slots=True)
class Once:
    """One request that must have one effect, however often it is sent."""

    name: str
    request: str

    @classmethod
    def of(cls, caller: str, key: str, request: bytes) -> "Once":
        """Of the caller's key id, the Idempotency-Key and the request in canonical form."""
        name = hashlib.sha256(f"{caller}\0{key}".encode()).hexdigest()
        return cls(f"decisions:once:{name}", hashlib.sha256(request).hexdigest())


class DecisionLog:
    """Appends and reads decisions; every method may raise `StoreUnavailableError`."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._append = client.register_script(_APPEND_DECISION)
        self._append_feedback = client.register_script(_APPEND_FEEDBACK)

    def append(self, decision_id: str, customer_id: str, body: bytes, once: Once | None = None) -> Appended:
        """Record a decision, or find the one that was recorded for the same request."""
        keys = [STREAM, f"decision:{decision_id}", f"decisions:customer:{customer_id}"]
        arguments: list[Any] = [decision_id, customer_id, body]
        if once is not None:
            keys.append(once.name)
            arguments += [once.request, ONCE_SECONDS]
        with unavailable("events"):
            outcome, fields = cast("list[Any]", self._append(keys=keys, args=arguments))
        if outcome == b"seen":
            return Appended("seen", _fields(fields)[b"body"])
        return Appended("recorded" if outcome == b"recorded" else "conflict", body)

    def seen(self, once: Once) -> Appended | None:
        """What was recorded for this request before, without recording anything."""
        with unavailable("events"):
            request, entry = cast("list[bytes | None]", self._client.hmget(once.name, ["request", "entry"]))
            if request is None or entry is None:
                return None
            if request.decode() != once.request:
                return Appended("conflict", b"")
            return Appended("seen", self._bodies([entry])[0])

    def read(self, decision_id: str) -> bytes | None:
        """The recorded decision of this id."""
        with unavailable("events"):
            entry = cast("bytes | None", self._client.get(f"decision:{decision_id}"))
            return self._bodies([entry])[0] if entry is not None else None

    def of_customer(self, customer_id: str, count: int) -> list[bytes]:
        """The customer's newest decisions, newest first."""
        with unavailable("events"):
            entries = self._client.lrange(f"decisions:customer:{customer_id}", 0, count - 1)
            return self._bodies(cast("list[bytes]", entries))

    def append_feedback(self, decision_id: str, customer_id: str, body: bytes) -> bool:
        """Record what happened to a decision's offer; False where there is no such decision."""
        keys = [STREAM, f"decision:{decision_id}", f"decision:{decision_id}:feedback"]
        with unavailable("events"):
            outcome = self._append_feedback(keys=keys, args=[decision_id, customer_id, body])
        return bool(outcome == b"recorded")

    def feedback(self, decision_id: str) -> list[bytes]:
        """What was reported about a decision, oldest first."""
        with unavailable("events"):
            entries = self._client.lrange(f"decision:{decision_id}:feedback", 0, -1)
            return self._bodies(cast("list[bytes]", entries))

    def ping(self) -> None:
        """Raise `StoreUnavailableError` where the store does not answer."""
        with unavailable("events"):
            self._client.ping()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _bodies(self, entries: list[bytes]) -> list[bytes]:
        pipeline = self._client.pipeline(transaction=False)
        for entry in entries:
            pipeline.xrange(STREAM, min=entry, max=entry)
        return [found[0][1][b"body"] for found in pipeline.execute() if found]


def _fields(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def quick_client(settings: Settings, store: StoreName) -> "redis.Redis":
    """A client that gives up quickly and never tries twice: a decision has to be answered within 150 ms.

    A decision waits for the online store and then for the events store: both limits together stay below it.
    """
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return valkey.connect(
        settings,
        store,
        start=False,
        socket_timeout=_PATIENCE_SECONDS[store],
        socket_connect_timeout=_PATIENCE_SECONDS[store],
        retry=Retry(NoBackoff(), 0),
    )
