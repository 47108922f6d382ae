"""The base of every reader of the event stream.

A consumer owns partitions (`lease.py`), reads each from the position of its last durable effect, verifies
every entry, and hands them to its handler in small batches, each partition's in the stream's order. The
position lives with the effect: the handler commits both at once, so a kill anywhere neither loses nor doubles
anything.

What goes wrong, and what happens then:

- *An entry is damaged*: it is parked with its bytes and the reason; the others go on.
- *A batch fails*: it is tried again, then cut in halves until the message that fails stands alone; after
  `ALONE_TRIES` tries that one is parked, and the partition goes on. Meanwhile the other partitions do.
- *A store is away, a disk is full*: everything waits, however long. Nothing is ever parked for that.
- *The process is told to end*: what it has read is handled once more, its partitions are given up.
- *The process dies or stands still*: its leases end, another process takes its partitions.
"""

import gc
import signal
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import structlog

from genome import clock
from genome.collector import stream
from genome.collector.record import Damage, Record, decode
from genome.errors import UnavailableError, UsageError
from genome.lake.vault import Vault as Cipher
from genome.settings import Settings
from genome.stream import figures, keys, parked
from genome.stream.figures import Figure
from genome.stream.lease import Leases, store_clock

if TYPE_CHECKING:
    import redis

log = structlog.get_logger(__name__)

ALONE_TRIES: Final = 5
"""How often a message that fails by itself is tried before it is parked."""
_WHOLE_TRIES: Final = 2
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_EVERY: Final = 1.0
_BLOCK: Final = 0.1
_DRAIN: Final = 8.0
_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the stream.

    Attributes:
        id: its stream id.
        record: what was accepted.
        body: the record's bytes, as the stream holds them.
    """

    id: bytes
    record: Record
    body: bytes


class PositionMovedError(Exception):
    """Another process has moved the position: these partitions are not ours any more, whatever we believed.

    Attributes:
        partitions: which.
    """

    def __init__(self, partitions: Sequence[int]) -> None:
        super().__init__(f"the position of partition {', '.join(map(str, partitions))} has moved")
        self.partitions = tuple(partitions)


class Handler(Protocol):
    """What a consumer does with the events.

    Attributes:
        name: the consumer's name; part of its keys in the store.
    """

    name: str

    def position(self, partition: int) -> bytes:
        """The last stream id whose effect is durable; b"0-0" at first.

        Asked whenever this process takes the partition: another one may have moved it since.
        """
        ...

    def handle(self, partition: int, entries: Sequence[Entry]) -> None:
        """Apply these entries, and commit the position `entries[-1].id` with them, atomically.

        The commit must be refused (raise PositionMovedError) where the stored position is no longer the one
        it starts from: a process that stood still may have lost the partition since it was asked. Raising
        means that nothing happened. UnavailableError, errors of a store's connection and OSError mean
        "later": the same entries come again for as long as it takes.
        """
        ...

    def tick(self, now: datetime) -> None:
        """Called at least every second, entries or not: timers, flushes, heartbeats."""
        ...


@runtime_checkable
class JointHandler(Protocol):
    """A handler that can commit several partitions at once, where that is cheaper."""

    def handle_many(self, batches: Mapping[int, Sequence[Entry]]) -> None:
        """As `handle`, for several partitions: all of it or nothing."""
        ...


@dataclass(slots=True)
class _Partition:
    """A partition that is ours."""

    number: int
    key: bytes
    read: bytes
    done: bytes
    ordinal: int
    parked: set[bytes]
    waiting: list[Entry] = field(default_factory=list)
    passed: list[bytes] = field(default_factory=list)
    """Parked ids that were read and lie behind the last handled one, in order."""
    since: float = 0.0
    tries: int = 0
    suspects: int = 0
    """So many entries at the head hold one that fails."""
    is_single: bool = False
    not_before: float = 0.0
    failing: str = ""
    handled: int = 0
    history: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def is_apart(self) -> bool:
        """Whether it is handed over by itself, because something in it fails."""
        return self.is_single or self.suspects > 0

    def chunk(self, most: int) -> list[Entry]:
        """What is handed over next."""
        if self.suspects > 1:
            most = min(most, self.suspects // 2)
        elif self.suspects == 1:
            most = 1
        return self.waiting[:most]


class Consumer:
    """One process of a consumer.

    Args:
        settings: where the stream is.
        handler: what is done with the events.
        partitions: only these, all of them; None: this process's share of all.
        batch_count: the most entries that are handed over at once.
        batch_seconds: how long entries may be gathered for a larger batch; 0: hand over what was read.
        lease_seconds: how long a partition stays with a process that died.
    """

    def __init__(
        self,
        settings: Settings,
        handler: Handler,
        *,
        partitions: Sequence[int] | None = None,
        batch_count: int = 1_000,
        batch_seconds: float = 0.0,
        lease_seconds: float = 5.0,
    ) -> None:
        wrong = [p for p in partitions or () if not 0 <= p < settings.collector_partitions]
        if wrong:
            raise UsageError(
                f"There is no partition {wrong[0]}.", f"There are 0 to {settings.collector_partitions - 1}."
            )
        self._settings = settings
        self._handler = handler
        self._joint = handler if isinstance(handler, JointHandler) else None
        self._batch_count = batch_count
        self._batch_seconds = batch_seconds
        chosen = range(settings.collector_partitions) if partitions is None else sorted(set(partitions))
        self.leases = Leases(settings, handler.name, chosen, share=partitions is None, seconds=lease_seconds)
        self._cipher = Cipher(settings)
        self._mine: dict[int, _Partition] = {}
        self._stopping = threading.Event()
        self._client: redis.Redis | None = None
        self._ticked = self._settled = self._told = float("-inf")

    # Life

    def stop(self) -> None:
        """Ask for the end; `run` returns when what was read is handled and the partitions are given up."""
        self._stopping.set()

    def run_until_signal(self) -> None:
        """Run as a process: until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        # Entries come and go in large numbers and refer to nothing in a circle: looking for circles at every
        # 700th object costs as much as reading them.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        self.run()

    def run(self) -> None:
        """Read and hand over until `stop`; a store that is away is waited for."""
        from genome.stores import valkey

        valkey.ensure(self._settings, "events")
        self.leases.start()
        pause = _FIRST_PAUSE
        try:
            while not self._stopping.is_set():
                try:
                    self._step()
                    pause = _FIRST_PAUSE
                except Exception as error:
                    if not is_passing(error):
                        raise
                    self._away(error)
                    self._stopping.wait(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
            self._drain()
        finally:
            self._end()

    def _step(self) -> None:
        if self._client is None:
            self._connect()
        now = time.monotonic()
        if now - self._settled >= _EVERY:
            self._settle()
            self._settled = now
        self._forget_lost()
        self._read()
        self._deliver()
        self._tick()
        if time.monotonic() - self._told >= _EVERY:
            self._told = time.monotonic()
            self._tell()

    def _connect(self) -> None:
        from genome.stores import valkey

        self._client = valkey.connect(self._settings, "events", start=False, retry=None, protocol=2)
        # As it comes: dictionaries for each entry would cost more than reading them.
        self._client.set_response_callback("XREAD", lambda answer, **_: answer)

    @property
    def _store(self) -> "redis.Redis":
        if self._client is None:
            raise UnavailableError("The events store is away.", "It is tried again.")
        return self._client

    def _away(self, error: Exception) -> None:
        log.warning("stream_waits", consumer=self._handler.name, error=type(error).__name__)
        if self._client is not None:
            self._client.close()
            self._client = None
        # What was read is read again from the position: whatever was half done when it went away is not kept.
        self._mine.clear()
        self._settled = float("-inf")

    def _drain(self) -> None:
        """Hand over once what was read; what fails now is in the stream and comes again."""
        deadline = time.monotonic() + _DRAIN
        for part in self._mine.values():
            part.not_before = 0.0
        while any(part.waiting and not part.failing for part in self._mine.values()):
            if time.monotonic() > deadline:
                break
            self._forget_lost()
            self._deliver()

    def _end(self) -> None:
        from redis.exceptions import RedisError

        try:
            if self._client is not None:
                self._tell()
            self.leases.end(self._client)
        except (RedisError, OSError) as error:
            log.warning("stream_left_without_a_word", error=type(error).__name__)
            self.leases.end(None)
        finally:
            if self._client is not None:
                self._client.close()
                self._client = None

    # Owning

    def _settle(self) -> None:
        client = self._store
        client.hset(keys.CONSUMERS, self._handler.name, str(store_clock(client)))
        taken, surplus = self.leases.settle(client)
        for number in surplus:
            self._mine.pop(number, None)
            self.leases.release(client, number)
        missing = [number for number in self.leases.held() if number not in self._mine]
        for number in sorted({*taken, *missing}):
            self._take(number)

    def _take(self, number: int) -> None:
        client, name = self._store, self._handler.name
        position = self._handler.position(number)
        trimmed: Any = client.get(keys.of_partition(number, "trimmed"))
        if trimmed and keys.parsed(position) < keys.parsed(trimmed):
            # It was away for longer than the stream waits (docs: the live path): the lake has what is gone.
            log.warning("stream_gap", consumer=name, partition=number)
            position = trimmed
        key = stream.events_key(number).encode()
        self._mine[number] = _Partition(
            number,
            key,
            read=position,
            done=position,
            ordinal=self._ordinal(number, key, position),
            parked=parked.ids(client, name, number),
        )
        log.info("stream_partition_taken", consumer=name, partition=number)

    def _ordinal(self, number: int, key: bytes, position: bytes) -> int:
        """How many entries the stream has had up to a position: what was added minus this is the lag."""
        client, name = self._store, self._handler.name
        info = _stream_info(client, key)
        if info is None:
            return 0
        added, length, first = info
        start, base = keys.BEGINNING, added - length
        known = figures.parsed(name, number, client.hgetall(keys.of_partition(number, "figures", name)))
        told = known.position.encode()
        if keys.parsed(first) <= keys.parsed(told) <= keys.parsed(position):
            start, base = told, known.ordinal
        while True:
            page: Any = client.xrange(key, b"(" + start, position, count=_PAGE)
            base += len(page)
            if len(page) < _PAGE:
                return int(base)
            start = page[-1][0]

    def _forget_lost(self) -> None:
        held = set(self.leases.held())
        for number in [each for each in self._mine if each not in held]:
            log.warning("stream_partition_lost", consumer=self._handler.name, partition=number)
            del self._mine[number]

    # Reading

    def _read(self) -> None:
        """Read what is new, and wait a little where nothing is."""
        room = [part for part in self._mine.values() if len(part.waiting) < self._most]
        if not room:
            self._stopping.wait(self._patience())
            return
        if self._batch_seconds and any(part.waiting for part in room):
            # Gathering: reading each entry as it comes would cost a round trip for each.
            self._stopping.wait(min(_BLOCK, self._batch_seconds / 10))
        count = max(1, self._most - max(len(part.waiting) for part in room))
        words: list[Any] = ["XREAD", "COUNT", count]
        words += ["BLOCK", max(1, int(self._patience() * 1000))]
        words += ["STREAMS", *(part.key for part in room), *(part.read for part in room)]
        answer: Any = self._store.execute_command(*words)
        now = time.monotonic()
        by_key = {part.key: part for part in room}
        for key, found in answer or ():
            self._take_in(by_key[key], found, now)

    def _patience(self) -> float:
        """How long reading may wait for more."""
        now = time.monotonic()
        due = [
            max(part.not_before, part.since + self._batch_seconds) - now
            for part in self._mine.values()
            if part.waiting
        ]
        return max(0.001, min([_BLOCK, *due]))

    def _take_in(self, part: _Partition, found: list[Any], now: float) -> None:
        if not part.waiting:
            part.since = now
        for stream_id, pairs in found:
            part.read = stream_id
            if part.parked and stream_id in part.parked:
                part.passed.append(stream_id)
                continue
            fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
            record = decode(fields)
            if isinstance(record, Damage):
                self._park(part, stream_id, record.raw, f"{parked.DAMAGED}: {record.reason}")
            else:
                part.waiting.append(Entry(stream_id, record, fields[b"r"]))
        self._pass(part)

    # Handing over

    def _deliver(self) -> None:
        now = time.monotonic()
        able = [
            part
            for part in self._mine.values()
            if part.waiting and now >= part.not_before and self.leases.lease(part.number)
        ]
        ripe = [part for part in able if self._is_ripe(part, now)]
        if self._joint is not None and ripe:
            # What is written anyway takes along what waits in the other partitions.
            together = [part for part in able if not part.is_apart]
            if len(together) > 1:
                self._hand_over_many(self._joint, {part.number: part.chunk(self._most) for part in together})
                ripe = [part for part in ripe if part not in together]
        for part in ripe:
            entries = part.chunk(self._most)
            try:
                self._handler.handle(part.number, entries)
            except PositionMovedError as error:
                self._moved(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the message is at fault until shown otherwise
                self._failed(part, entries, error)
            else:
                self._handled(part, len(entries))

    @property
    def _most(self) -> int:
        """The most entries of one partition that are handed over at once; a joint handler's share one batch."""
        if self._joint is None:
            return self._batch_count
        return max(1, self._batch_count // max(1, len(self._mine)))

    def _is_ripe(self, part: _Partition, now: float) -> bool:
        return (
            len(part.waiting) >= self._most
            or now - part.since >= self._batch_seconds
            or part.is_apart
            or self._stopping.is_set()
        )

    def _hand_over_many(self, handler: JointHandler, batches: dict[int, list[Entry]]) -> None:
        parts = [self._mine[number] for number in batches]
        try:
            handler.handle_many(batches)
        except PositionMovedError as error:
            self._moved(error)
        except Exception as error:  # noqa: BLE001 - as above
            for part in parts:
                if is_passing(error):
                    self._failed(part, batches[part.number], error)
                else:
                    part.is_single = True  # which of them it is, each finds out by itself
                    part.failing = type(error).__name__
        else:
            for part in parts:
                self._handled(part, len(batches[part.number]))

    def _moved(self, error: PositionMovedError) -> None:
        """What was read is worthless: take these partitions anew, if they are still ours."""
        log.warning("stream_position_moved", consumer=self._handler.name, partitions=error.partitions)
        for number in error.partitions:
            self._mine.pop(number, None)
        self._settled = float("-inf")

    def _handled(self, part: _Partition, count: int) -> None:
        part.done = part.waiting[count - 1].id
        del part.waiting[:count]
        part.handled += count
        part.ordinal += count
        part.suspects = max(0, part.suspects - count)
        part.tries = 0
        part.is_single = part.suspects > 0
        part.failing = ""
        part.since = time.monotonic()
        self._pass(part)

    def _failed(self, part: _Partition, entries: list[Entry], error: Exception) -> None:
        part.failing = type(error).__name__
        part.tries += 1
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(part.tries, 10))
        log.warning(
            "stream_batch_failed",
            consumer=self._handler.name,
            partition=part.number,
            entries=len(entries),
            tries=part.tries,
            error=part.failing,
            at=_place(error),
        )
        part.not_before = time.monotonic() + pause
        if is_passing(error):
            return
        if len(entries) > 1:
            if part.suspects or part.tries >= _WHOLE_TRIES:
                part.suspects = len(entries)
                part.tries = 0
                part.not_before = 0.0
        elif part.tries >= ALONE_TRIES:
            entry = part.waiting[0]
            self._park(part, entry.id, entry.body, part.failing, record=entry.record, tries=part.tries)
            part.waiting.pop(0)
            part.passed.sort(key=keys.parsed)
            part.suspects = part.tries = 0
            part.not_before = 0.0
            part.failing = ""
            self._pass(part)
        else:
            part.suspects = 1

    def _park(
        self,
        part: _Partition,
        stream_id: bytes,
        raw: bytes,
        reason: str,
        *,
        record: Record | None = None,
        tries: int = 0,
    ) -> None:
        name = self._handler.name
        parked.park(
            self._store, self._cipher, name, part.number, stream_id, raw,
            reason=reason, record=record, tries=tries,
        )  # fmt: skip
        part.parked.add(stream_id)
        part.passed.append(stream_id)
        log.error("stream_message_parked", consumer=name, partition=part.number, reason=reason)

    @staticmethod
    def _pass(part: _Partition) -> None:
        """Parked entries in front of everything that waits are dealt with."""
        head = keys.parsed(part.waiting[0].id) if part.waiting else None
        while part.passed and (head is None or keys.parsed(part.passed[0]) < head):
            stream_id = part.passed.pop(0)
            part.ordinal += 1
            if keys.parsed(stream_id) > keys.parsed(part.done):
                part.done = stream_id

    # Telling

    def _tick(self) -> None:
        if time.monotonic() - self._ticked < _EVERY:
            return
        self._ticked = time.monotonic()
        self._handler.tick(clock.now(self._settings))

    def _tell(self) -> None:
        client = self._store
        now = store_clock(client)
        parts = list(self._mine.values())
        oldest = client.pipeline(transaction=False)
        for part in parts:
            oldest.xrange(part.key, b"(" + part.done, count=1)
        told: list[Figure] = []
        for part, behind in zip(parts, oldest.execute(), strict=True):
            info = _stream_info(client, part.key)
            part.history.append((time.monotonic(), part.handled))
            while part.history[0][0] < time.monotonic() - 10.0:
                part.history.popleft()
            (first, before), (last, count) = part.history[0], part.history[-1]
            told.append(
                Figure(
                    self._handler.name,
                    part.number,
                    position=part.done.decode(),
                    ordinal=part.ordinal,
                    lag=max(0, info[0] - part.ordinal) if info else 0,
                    lag_seconds=round((now - keys.parsed(behind[0][0])[0]) / 1000, 3) if behind else 0.0,
                    handled=part.handled,
                    rate=round((count - before) / (last - first), 1) if last > first else 0.0,
                    parked=len(part.parked),
                    failing=part.failing,
                    owner=self.leases.owner,
                    at=now,
                )
            )
        figures.write(client, told)


def is_passing(error: BaseException) -> bool:
    """Whether an error is about what we depend on and not about a message: it is waited for."""
    from redis.exceptions import (
        BusyLoadingError,
        ConnectionError,
        NoScriptError,
        OutOfMemoryError,
        ReadOnlyError,
        TimeoutError,
    )

    passing = (
        UnavailableError,
        OSError,  # a full disk, a folder that went away, a socket
        MemoryError,
        ConnectionError,
        TimeoutError,
        BusyLoadingError,
        NoScriptError,
        OutOfMemoryError,
        ReadOnlyError,
    )
    return isinstance(error, passing)


def _stream_info(client: "redis.Redis", key: bytes) -> tuple[int, int, bytes] | None:
    """(entries added since it began, entries in it, the first one's id); None where there is no stream."""
    from redis.exceptions import ResponseError

    try:
        info: Any = client.xinfo_stream(key)
    except ResponseError as error:
        if "no such key" in str(error):
            return None
        raise
    first = info["first-entry"]
    if first is None:
        return int(info["entries-added"]), 0, _bytes(info["last-generated-id"])
    return int(info["entries-added"]), int(info["length"]), _bytes(first[0])


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _place(error: BaseException) -> str:
    """File and line of the innermost frame: a message may quote a person, a place cannot."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
