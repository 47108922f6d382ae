"""The consumer `moments`: events that match a rule become moments on a durable queue, each once.

    moments:{p}:position    the last stream id whose effect is durable
    moments:{p}:states      hash: rule and subject → what the rule remembers (matcher.State)
    moments:{p}:timers      sorted set: rule and subject → when to look again, microseconds since 1970
    moments:{p}:made        sorted set: ids of moments made lately, by when
    moments:{p}:queue       stream: `id`, and `m`: a `Moment` as JSON, for whoever decides

All of a partition lies in the events store (fsynced), in one slot of a cluster. One script moves position,
states and timers and puts the moments on the queue, so a kill anywhere neither loses nor doubles a moment.

Time is the event's; timers go off by the platform's clock, but never before what the stream still holds was
read: after a standstill, a purchase that waits there ends the wait that it belongs to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from genome.collector import stream
from genome.collector.contracts import identifier
from genome.collector.record import Record
from genome.rules.matcher import Happened, Match, Matcher, Outcome, State
from genome.rules.rules import MomentRule, moments, own_file
from genome.settings import Settings
from genome.stream import keys
from genome.stream.consumer import Consumer, Entry, PositionMovedError
from genome.stream.epoch import microseconds

if TYPE_CHECKING:
    import redis

NAME: Final = "moments"
_KEPT_DAYS: Final = 7
_DUE_AT_ONCE: Final = 500
_DETAILS: Final = (
    "product_id",
    "sku",
    "store_id",
    "place_id",
    "order_id",
    "case_id",
    "cart_id",
    "offer_id",
    "seconds",
)
"""Properties that a moment tells of its event."""

_COMMIT: Final = """
-- KEYS: position, states, timers, made, queue. ARGV: expected position ('' none), new position, now; then for each
-- change: subject, the state that it must have ('*': any), new state ('' none), when to look again ('' never), how many
-- moments, and for each its id and body.
-- Answer: false where the position is not the expected one, else how many moments were made.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return false end
if ARGV[2] ~= ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
local at, made = 4, 0
while at <= #ARGV do
  local subject, expected, state, again = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local moments = tonumber(ARGV[at + 4])
  at = at + 5
  if expected == '*' or (redis.call('HGET', KEYS[2], subject) or '') == expected then
    if state == '' then redis.call('HDEL', KEYS[2], subject) else redis.call('HSET', KEYS[2], subject, state) end
    if again == '' then redis.call('ZREM', KEYS[3], subject) else redis.call('ZADD', KEYS[3], again, subject) end
    for number = 0, moments - 1 do
      local id = ARGV[at + 2 * number]
      if redis.call('ZADD', KEYS[4], 'NX', ARGV[3], id) == 1 then
        redis.call('XADD', KEYS[5], '*', 'id', id, 'm', ARGV[at + 2 * number + 1])
        made = made + 1
      end
    end
  end
  at = at + 2 * moments
end
return made
"""


class Moment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something worth deciding about.

    Attributes:
        id: the same for the same match: whoever decides may see it twice, and decides once.
        moment: what it is: mall_entered, cart_abandoned …
        rule: which rule made it.
        source_key: whose.
        at: when, by the event's time, in microseconds since 1970.
        made_at: when it was put on the queue, by the platform's clock.
        channel: of the event.
        seller: of the event.
        session: of the event.
        details: product_id, store_id, order_id … of the event, as far as it has them.
    """

    id: str
    moment: str
    rule: str
    source_key: str
    at: int
    made_at: int
    channel: str | None = None
    seller: str | None = None
    session: str | None = None
    details: dict[str, Any] = {}


_moments = msgspec.json.Decoder(Moment)
_states = msgspec.msgpack.Decoder(State)
_encode_state = msgspec.msgpack.Encoder().encode
_encode_moment = msgspec.json.Encoder().encode


def of_partition(partition: int, what: str) -> bytes:
    """A name of a partition."""
    return b"moments:{%d}:%b" % (partition, what.encode())


def queue_key(partition: int) -> bytes:
    """The queue of a partition's moments: a stream; whoever decides reads it by a consumer group."""
    return of_partition(partition, "queue")


def decode(fields: Mapping[bytes, bytes]) -> Moment:
    """A moment, from an entry of the queue."""
    return _moments.decode(fields[b"m"])


@dataclass(slots=True)
class _Batch:
    """What entries change, before it is written: the newest state of each subject, and the moments."""

    states: dict[str, State] = field(default_factory=dict)
    changed: dict[str, tuple[State | None, int | None]] = field(default_factory=dict)
    moments: dict[str, list[Match]] = field(default_factory=dict)

    def take(self, outcome: Outcome) -> None:
        self.changed[outcome.key] = (outcome.state, outcome.look_again)
        self.moments.setdefault(outcome.key, []).extend(outcome.matches)
        if outcome.state is None:
            self.states.pop(outcome.key, None)
        else:
            self.states[outcome.key] = outcome.state


class MomentsHandler:
    """Matches entries with rules.

    Args:
        settings: where the events store is.
        rules: in place of the shipped ones, or of `rules/moments.toml` in the home.
    """

    def __init__(self, settings: Settings, rules: Sequence[MomentRule] | None = None) -> None:
        self.name = NAME
        self._settings = settings
        self._matcher = Matcher(moments(own_file(settings, "moments")) if rules is None else rules)
        self._client: redis.Redis | None = None
        self._positions: dict[int, bytes] = {}
        self._known: dict[int, int] = {}
        self._now = 0

    def position(self, partition: int) -> bytes:
        """The last stream id whose moments are on the queue."""
        found = cast("bytes | None", self._store.get(of_partition(partition, "position")))
        self._positions[partition] = found or b""
        return found or keys.BEGINNING

    def handle(self, partition: int, entries: Sequence[Entry]) -> None:
        """Match, and commit what it changes with the position."""
        names = self._matcher.names
        events = [_happened(entry.record) for entry in entries if entry.record.name in names]
        batch = _Batch(
            self._states(partition, sorted({key for each in events for key in self._matcher.keys(each)}))
        )
        for event in events:
            for outcome in self._matcher.feed(event, batch.states):
                batch.take(outcome)
        changes = [
            (key, b"*", state, again, batch.moments[key]) for key, (state, again) in batch.changed.items()
        ]
        self._commit(partition, entries[-1].id, changes)
        self._positions[partition] = entries[-1].id
        self._known[partition] = entries[-1].record.received

    def tick(self, now: datetime) -> None:
        """Let timers go off, and forget what is long past."""
        self._now = microseconds(now)
        for partition in list(self._positions):
            try:
                self._ring(partition)
            except PositionMovedError:
                # It is another process' by now; the consumer asks for the position when it is ours again.
                del self._positions[partition]

    @property
    def _store(self) -> "redis.Redis":
        if self._client is None:
            from genome.stores import valkey

            self._client = valkey.connect(self._settings, "events", start=False)
        return self._client

    def _states(self, partition: int, subjects: Sequence[str]) -> dict[str, State]:
        if not subjects:
            return {}
        found = cast(
            "list[bytes | None]",
            self._store.hmget(of_partition(partition, "states"), [_text(each) for each in subjects]),  # type: ignore[arg-type]
        )
        return {
            subject: _states.decode(state)
            for subject, state in zip(subjects, found, strict=True)
            if state is not None
        }

    def _ring(self, partition: int) -> None:
        """What timers that have run out mean."""
        until = self._until(partition)
        due = cast(
            "list[bytes]",
            self._store.zrangebyscore(
                of_partition(partition, "timers"),
                "-inf",
                until,
                start=0,
                num=_DUE_AT_ONCE,
            ),
        )
        if not due:
            return
        held = cast("list[bytes | None]", self._store.hmget(of_partition(partition, "states"), due))  # type: ignore[arg-type]
        changes = []
        for subject, state in zip(due, held, strict=True):
            key = subject.decode(errors="surrogatepass")
            outcome = None
            if state is not None:
                outcome = self._matcher.due(key, _states.decode(state), until)
            outcome = outcome or Outcome(key, None)
            changes.append((key, state or b"", outcome.state, outcome.look_again, list(outcome.matches)))
        self._commit(partition, self._positions[partition], changes)
        oldest = self._now - _KEPT_DAYS * 86_400_000_000
        self._store.zremrangebyscore(of_partition(partition, "made"), "-inf", oldest)

    def _until(self, partition: int) -> int:
        """Up to when timers may go off: now, or as far as what was read tells while more is waiting."""
        newest = cast("list[tuple[bytes, Any]]", self._store.xrevrange(stream.events_key(partition), count=1))
        read = self._positions[partition] or keys.BEGINNING
        if not newest or keys.parsed(newest[0][0]) <= keys.parsed(read):
            return self._now
        return min(self._now, self._known.get(partition, 0))

    def _commit(
        self,
        partition: int,
        position: bytes,
        changes: Sequence[tuple[str, bytes, State | None, int | None, list[Match]]],
    ) -> None:
        words: list[bytes | int] = []
        for key, expected, state, again, matches in changes:
            words += [
                _text(key),
                expected,
                b"" if state is None else _encode_state(state),
                b"" if again is None else again,
                len(matches),
            ]
            for match in matches:
                words += [match.id.encode(), _encode_moment(self._moment(match))]
        names = ("position", "states", "timers", "made", "queue")
        done = self._store.execute_command(
            "EVAL",
            _COMMIT,
            len(names),
            *(of_partition(partition, each) for each in names),
            self._positions[partition],
            position,
            self._now or microseconds(_now(self._settings)),
            *words,
        )
        if done is None:
            raise PositionMovedError([partition])

    def _moment(self, match: Match) -> Moment:
        details = dict(match.details)
        return Moment(
            id=match.id,
            moment=match.moment,
            rule=match.rule,
            source_key=match.subject,
            at=match.at,
            made_at=self._now or microseconds(_now(self._settings)),
            channel=details.pop("channel", None),
            seller=details.pop("seller", None),
            session=details.pop("session", None),
            details=details,
        )


def _now(settings: Settings) -> datetime:
    from genome import clock

    return clock.now(settings)


def _text(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _happened(record: Record) -> Happened:
    """A record as rules see it."""
    properties = record.properties
    event = {
        "name": record.name,
        "channel": record.channel,
        "source": record.source,
        "seller_id": record.seller,
        "product_id": identifier(properties.get("product_id")) or identifier(properties.get("sku")),
        "store_id": identifier(properties.get("store_id")),
        "quantity": properties.get("quantity"),
    }
    details = {name: properties[name] for name in _DETAILS if properties.get(name) is not None}
    details |= {
        name: value
        for name, value in (
            ("channel", record.channel),
            ("seller", record.seller),
            ("session", record.session),
        )
        if value is not None
    }
    return Happened(
        id=f"{record.source}|{record.message_id}",
        name=record.name,
        at=min(record.occurred, record.received),
        received=record.received,
        subject=record.source_key,
        facts={"event": event, "property": properties},
        details=details,
    )


def waiting(settings: Settings, client: "redis.Redis", newest: int | None = None) -> list[Moment]:
    """The moments on the queues, for people who look: all, or the newest of each partition."""
    found: list[Moment] = []
    for partition in range(settings.collector_partitions):
        entries = cast(
            "list[tuple[bytes, dict[bytes, bytes]]]", client.xrevrange(queue_key(partition), count=newest)
        )
        found += [decode(fields) for _, fields in reversed(entries)]
    return found


def make(settings: Settings, partitions: Sequence[int] | None = None) -> Consumer:
    """The consumer, for `genome stream moments`."""
    return Consumer(settings, MomentsHandler(settings), partitions=partitions, batch_count=1_000)
