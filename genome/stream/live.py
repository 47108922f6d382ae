"""The consumer `live`: what has just happened reaches the online genome within milliseconds.

    entries ──► columns ──► acts (viewed, cart, place) ──────────────┐
                   └──────► evidence × DNA, summed by key and gene ──┴─► one script: append, move the position

Everything written is appended (genome/features/live.py has the names), so nothing is read on the way but where
a refund takes lines back. Deltas belong to an epoch: they are what came after that build. When a new build is
published its deltas are made beside the old ones, from the stream (and from the lake where the stream has let
go), while the old ones go on; a reader takes those of the epoch that its base row is of. So epochs swap whole.

The online store keeps nothing on disk. After it comes back empty the deltas are made anew in the same way.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from genome.collector import stream
from genome.collector.record import Damage, Record, decode
from genome.errors import GenomeError, UnavailableError
from genome.features import joins
from genome.features import live as layout
from genome.features.online import read_catalogue
from genome.identity.rules import kind_of
from genome.lake import publish
from genome.settings import Settings
from genome.stream import keys, landed
from genome.stream.consumer import Consumer, Entry, PositionMovedError
from genome.stream.deltas import CONSUMER
from genome.stream.epoch import Epoch, load
from genome.stream.evidence import LINE, History, changes, group_of, identity_of
from genome.stream.items import Columns, columns

if TYPE_CHECKING:
    import redis

log = structlog.get_logger(__name__)

_encoder = msgspec.msgpack.Encoder()
_pairs = msgspec.msgpack.Decoder(tuple[str, str, str])

_BEGUN: Final = b"begun"
"""Position of an epoch's deltas that hold rows of the lake, but not all yet."""
_PAGE: Final = 2_000
_CHUNK: Final = 500
_CHUNKS: Final = 5
"""A batch is written in so many parts, of at least `_CHUNK` entries: one is prepared while another is written."""
_LARGE: Final = 16_384
"""A log of this size is cut down to its sums when it has doubled."""
_SESSION_DAYS: Final = 30
_REMEMBERED: Final = 200_000

_COMMIT: Final = """
-- KEYS: epochs, then logs. ARGV: fields, then for each: name, expected position ('' none), new position; how many of
-- the logs are sessions (they come first), their life in seconds; then what each log is given.
-- Answer: nil where a position is not the one expected, else number and size of each log that has become large.
local fields = tonumber(ARGV[1])
local at = 2
for _ = 1, fields do
  if (redis.call('HGET', KEYS[1], ARGV[at]) or '') ~= ARGV[at + 1] then return false end
  at = at + 3
end
at = 2
for _ = 1, fields do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 2])
  at = at + 3
end
local sessions, life, large = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
at = at + 1
local found = {}
for number = 2, #KEYS do
  local size = redis.call('APPEND', KEYS[number], ARGV[at + number])
  -- Not each time: it would cost as much as the append itself. A log that is made, and one in eight after that.
  if number <= sessions + 1 and (size == #ARGV[at + number] or size % 8 == 0) then
    redis.call('EXPIRE', KEYS[number], life)
  end
  if size >= large then
    found[#found + 1] = number
    found[#found + 1] = size
  end
end
return found
"""
_REPLACE: Final = """
-- KEYS: epochs, a log. ARGV: field, the position that it must have, the log's new content.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[3], 'KEEPTTL')
return 1
"""


def lines_of(batch: Columns, epoch: Epoch) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """The interactions that are evidence in an epoch: owners, and rows of `LINE`."""
    parameters = epoch.parameters
    kinds, products = parameters.kinds, parameters.dna.products
    kind = np.array([kinds.get(name, -1) for name in batch.name], np.int64)
    lines = np.zeros(len(kind), LINE)
    lines["kind"] = kind
    lines["product"] = [products.get(product, -1) for product in batch.product]
    lines["quantity"] = batch.quantity
    lines["at"] = batch.at
    reversed_kind = np.where(kind >= 0, parameters.reverses[kind], -1)
    named = np.where(reversed_kind >= 0, reversed_kind, kind)
    types = list(kinds)
    for at in np.flatnonzero(np.isin(named, list(parameters.reversible))).tolist():
        item = batch.item[at]
        lines["order"][at] = np.inf if item.number is None else item.number
        lines["identity"][at] = identity_of(item.interaction_id)
        if item.order is not None:
            key = batch.keys[batch.owner[at]]
            lines["group"][at] = group_of(key, item.order, item.product_id, types[named[at]])
    known = kind >= 0
    return np.array(batch.owner, np.int64)[known], lines[known]


class LiveHandler:
    """Applies entries to the online store.

    Args:
        settings: where the stores and the publications are.
        client: of the online store, in place of one made here.
    """

    def __init__(self, settings: Settings, client: "redis.Redis | None" = None) -> None:
        self.name = CONSUMER
        self._settings = settings
        self._client = client
        self._events: redis.Redis | None = None
        self._epochs: dict[str, Epoch] = {}
        self._main: dict[int, bytes] = {}
        self._ready: dict[int, set[str]] = {}
        self._announced: dict[tuple[int, str], set[str]] = {}
        self._joined: dict[tuple[int, str], set[tuple[str, str]]] = {}
        self._refunded: dict[tuple[int, str], npt.NDArray[np.uint64]] = {}
        self._sizes: dict[bytes, int] = {}
        self._recent: dict[int, None] = {}
        self._looked = float("-inf")
        self._preparing: threading.Thread | None = None
        self._names: frozenset[str] = frozenset()
        self._named: frozenset[str] = frozenset()
        self._lock = threading.RLock()
        self._writer = ThreadPoolExecutor(1, "live-writer")

    # What the consumer asks

    def position(self, partition: int) -> bytes:
        """How far the partition is; what the store has lost is made anew first."""
        with self._lock:
            if not self._epochs:
                self._refresh()
            stored = self._stored(partition)
            main = stored.get(layout.MAIN)
            if main is None or landed.end(self._settings, self._stream, partition, main) != main:
                # The store came back empty, or this was away for longer than the stream waits.
                main = self._rebuild(partition, None)
            else:
                self._main[partition] = main
                self._ready[partition] = set()
                for name in stored.keys() - self._epochs.keys() - {layout.MAIN}:
                    self._wipe_epoch(partition, name)
                for epoch in list(self._epochs.values()):
                    self._catch_up(partition, epoch)
            return main

    def handle(self, partition: int, entries: Sequence[Entry]) -> None:
        """Append what the entries mean and move the position, in one script."""
        with self._lock:
            expected = self._main[partition]
            if keys.parsed(entries[0].id) <= keys.parsed(expected):
                # A rebuild has gone further than the consumer knows.
                entries = [entry for entry in entries if keys.parsed(entry.id) > keys.parsed(expected)]
                if not entries:
                    return
            epochs = [self._epochs[name] for name in sorted(self._ready.get(partition, ()))]
            try:
                self._handle(partition, entries, epochs)
            except BaseException:
                # What was prepared and not written is not known any more.
                for epoch in epochs:
                    self._refunded.pop((partition, epoch.name), None)
                raise

    def _handle(self, partition: int, entries: Sequence[Entry], epochs: Sequence[Epoch]) -> None:
        """Some entries after the other: while the store writes the first, the next are prepared."""
        fresh = self._fresh(entries)
        size = max(_CHUNK, -(-len(entries) // _CHUNKS))
        writing: _Writing | None = None
        try:
            for first in range(0, len(entries), size):
                chunk = entries[first : first + size]
                records = {
                    number: each.record
                    for each in chunk
                    if fresh.get(number := _number(each.record)) is each.record
                }
                batch = columns(records.values(), self._names, self._named)
                write = self._prepared(partition, batch, epochs, sessions=True, writing=writing)
                before, writing = writing, None
                if before is not None:
                    self._written(partition, before)
                fields = dict.fromkeys(
                    (layout.MAIN, *(epoch.name for epoch in epochs)), self._main[partition]
                )
                written = self._writer.submit(self._commit, partition, chunk[-1].id, fields, write)
                writing = _Writing(chunk[-1].id, records, write, written)
        finally:
            if writing is not None:
                self._written(partition, writing)

    def _written(self, partition: int, writing: "_Writing") -> None:
        """Wait for a write; refuse to go on where the position was not the expected one."""
        large = writing.written.result()
        if large is None:
            # Another process has moved it, or the store has come back empty: `position` sees to either.
            raise PositionMovedError([partition])
        self._main[partition] = writing.position
        self._remember(writing.records)
        self._cut_down(partition, layout.MAIN, writing.position, writing.write, large)

    def tick(self, now: datetime) -> None:  # noqa: ARG002 - what is new is published, whatever the time
        """Notice a new build, and a store that came back empty."""
        if time.monotonic() - self._looked < 1.0:
            return
        self._looked = time.monotonic()
        with self._lock:
            for partition in list(self._main):
                if not self._stored(partition):
                    self._rebuild(partition, self._main[partition])
        wanted = self._wanted()
        missing = [each for each in wanted if each.epoch not in self._epochs]
        if missing and (self._preparing is None or not self._preparing.is_alive()):
            # Beside the stream: a large catalogue takes seconds to read, and nobody waits for it.
            self._preparing = threading.Thread(target=self._prepare, args=(missing,), name="live-epoch")
            self._preparing.start()
        if not missing and wanted:
            self._retire({each.epoch for each in wanted})

    def close(self) -> None:
        """Wait for what is being prepared, and give the connections back."""
        if self._preparing is not None:
            self._preparing.join()
        self._writer.shutdown()
        for client in (self._client, self._events):
            if client is not None:
                client.close()

    # Stores

    @property
    def _online(self) -> "redis.Redis":
        if self._client is None:
            from genome.stores import valkey

            self._client = valkey.connect(self._settings, "online", start=False)
        return self._client

    @property
    def _stream(self) -> "redis.Redis":
        if self._events is None:
            from genome.stores import valkey

            self._events = valkey.connect(self._settings, "events", start=False)
        return self._events

    def _stored(self, partition: int) -> dict[str, bytes]:
        found = cast("dict[bytes, bytes]", self._online.hgetall(layout.epochs_key(partition)))  # type: ignore[arg-type]
        return {name.decode(): position for name, position in found.items()}

    # Epochs

    def _wanted(self) -> list[publish.Publication]:
        """The build that is served, and the one that is published: mostly the same."""
        current = publish.current(self._settings, "genome")
        if current is None:
            return []
        wanted = [current]
        found = read_catalogue(self._online)
        served = {each.view: each.epoch for each in found[1].loaded} if found else {}
        epoch = served.get(layout.GENOME_VIEW)
        if epoch is not None and epoch != current.epoch:
            older = publish.of_epoch(self._settings, "genome", epoch)
            wanted += [older] if older is not None else []
        return wanted

    def _refresh(self) -> None:
        """Read the epochs that are wanted now, and wait for them."""
        for publication in self._wanted():
            if publication.epoch not in self._epochs:
                self._adopt(publication)

    def _adopt(self, publication: publish.Publication) -> Epoch | None:
        try:
            epoch = load(publication)
        except GenomeError as error:
            log.warning("live_epoch_refused", epoch=publication.epoch, error=error.what)
            return None
        self._announce_epoch(epoch)
        with self._lock:
            self._epochs = {**self._epochs, epoch.name: epoch}
            every = [each.parameters for each in self._epochs.values()]
            self._names = frozenset(name for each in every for name in each.kinds)
            self._named = frozenset(name for each in every for name in each.named)
        log.info("live_epoch_read", epoch=epoch.name)
        return epoch

    def _announce_epoch(self, epoch: Epoch) -> None:
        genes, loci = epoch.genes()
        self._online.hset(
            layout.epoch_key(epoch.name),  # type: ignore[arg-type]
            mapping={
                "as_of": epoch.parameters.as_of,
                "genes": genes.tobytes(),
                "loci": loci.tobytes(),
            },
        )

    def _prepare(self, publications: list[publish.Publication]) -> None:
        from redis.exceptions import RedisError

        try:
            for publication in publications:
                epoch = self._adopt(publication)
                if epoch is not None:
                    for partition in self._ours():
                        self._catch_up(partition, epoch)
        except (RedisError, OSError, UnavailableError) as error:
            with self._lock:
                self._epochs = {
                    name: each
                    for name, each in self._epochs.items()
                    if name not in {publication.epoch for publication in publications}
                }
            log.warning("live_epoch_not_prepared", error=type(error).__name__)

    def _ours(self) -> list[int]:
        """The partitions that nobody has moved since we did: others may have been lost unnoticed."""
        with self._lock:
            return [
                partition
                for partition, main in self._main.items()
                if self._stored(partition).get(layout.MAIN) == main
            ]

    def _retire(self, wanted: set[str]) -> None:
        """Take away the deltas of builds that nobody reads any more."""
        with self._lock:
            for name in [name for name in self._epochs if name not in wanted]:
                for partition, ready in self._ready.items():
                    ready.discard(name)
                    self._wipe_epoch(partition, name)
                self._epochs = {each: epoch for each, epoch in self._epochs.items() if each != name}
                self._online.delete(layout.epoch_key(name))

    # Making anew

    def _rebuild(self, partition: int, until: bytes | None) -> bytes:
        """Make all of a partition's live state from the stream, and from the lake where the stream has let go.

        Args:
            partition: which.
            until: up to this stream id; None: no further than need be, the consumer brings the rest.
        """
        log.info("live_rebuild", partition=partition)
        while True:
            try:
                return self._rebuilt(partition, until)
            except _LetGoError:
                log.info("live_rebuild_again", partition=partition)

    def _rebuilt(self, partition: int, until: bytes | None) -> bytes:
        self._wipe(partition)
        self._ready[partition] = set()
        epochs = sorted(
            self._epochs.values(), key=lambda each: keys.parsed(each.watermark.get(partition, keys.BEGINNING))
        )
        starts = [epoch.watermark.get(partition, keys.BEGINNING) for epoch in epochs]
        gone = landed.end(self._settings, self._stream, partition, starts[0] if starts else keys.BEGINNING)
        until = max([gone, *starts, *([until] if until else [])], key=keys.parsed)
        for epoch, start in zip(epochs, starts, strict=True):
            # What was done in sessions is made with the epoch that reaches back furthest.
            self._replay(partition, epoch, start, until, sessions=epoch is epochs[0])
        fields = {layout.MAIN: b""} | {epoch.name: until for epoch in epochs}
        if self._commit(partition, until, fields, _Write([], [], 0)) is None:
            raise UnavailableError("The online store changed while it was filled.", "It is tried again.")
        self._main[partition] = until
        self._ready[partition] = {epoch.name for epoch in epochs}
        return until

    def _catch_up(self, partition: int, epoch: Epoch) -> None:
        """Bring an epoch's deltas to where the partition is; from then on `handle` takes it along."""
        begin = epoch.watermark.get(partition, keys.BEGINNING)
        if keys.parsed(landed.end(self._settings, self._stream, partition, begin)) > keys.parsed(
            self._main[partition]
        ):
            # The stream has let go of what this partition has not seen: what the lake holds is the way on.
            with self._lock:
                self._rebuild(partition, None)
            return
        while True:
            try:
                if self._caught_up(partition, epoch, begin):
                    return
            except _LetGoError:
                # What was read has been let go of meanwhile: the lake has it now.
                with self._lock:
                    self._wipe_epoch(partition, epoch.name)

    def _caught_up(self, partition: int, epoch: Epoch, begin: bytes) -> bool:
        at = self._stored(partition).get(epoch.name, _BEGUN)
        with self._lock:
            main = self._main[partition]
            if epoch.name not in self._epochs or epoch.name in self._ready[partition]:
                return True
            after = begin if at == _BEGUN else at
            behind = self._stream.xrange(stream.events_key(partition), b"(" + after, main, count=_PAGE)
            if len(cast("list[Any]", behind)) < _PAGE:
                self._replay(partition, epoch, begin, main, sessions=False)
                self._ready[partition].add(epoch.name)
                return True
        # Far behind: beside the stream, which goes on meanwhile.
        self._replay(partition, epoch, begin, main, sessions=False)
        return False

    def _replay(self, partition: int, epoch: Epoch, after: bytes, until: bytes, *, sessions: bool) -> None:
        """Add what lies between two positions to an epoch's deltas, and set its position to the second."""
        at = self._stored(partition).get(epoch.name, b"")
        if at == _BEGUN:
            self._wipe_epoch(partition, epoch.name)
            at = b""
        if not at:
            for batch in landed.unseen(self._settings, partition, epoch, self._names):
                at = self._replayed(partition, epoch, batch, _BEGUN, at, sessions=sessions)
            gone = landed.end(self._settings, self._stream, partition, after)
            for batch in landed.between(self._settings, partition, after, gone, self._names):
                at = self._replayed(partition, epoch, batch, _BEGUN, at, sessions=sessions)
            after = gone
        else:
            after = at
        seen: dict[int, None] = {}
        for records, position in self._pages(partition, after, until):
            fresh = {_number(record): record for record in reversed(records)}
            batch = columns(
                [each for number, each in reversed(fresh.items()) if number not in seen],
                self._names,
                self._named,
            )
            seen.update(dict.fromkeys(fresh))
            at = self._replayed(partition, epoch, batch, position, at, sessions=sessions)
        self._replayed(partition, epoch, Columns(), until, at, sessions=False)

    def _replayed(
        self,
        partition: int,
        epoch: Epoch,
        batch: Columns,
        position: bytes,
        expected: bytes,
        *,
        sessions: bool,
    ) -> bytes:
        if not self._apply(partition, batch, position, [epoch], {epoch.name: expected}, sessions=sessions):
            raise UnavailableError("Somebody else prepares this partition.", "It is tried again.")
        return position

    def _pages(self, partition: int, after: bytes, until: bytes) -> Iterator[tuple[list[Record], bytes]]:
        """The records of the stream between two positions, some at a time."""
        while keys.parsed(after) < keys.parsed(until):
            page = cast(
                "list[tuple[bytes, dict[bytes, bytes]]]",
                self._stream.xrange(stream.events_key(partition), b"(" + after, until, count=_PAGE),
            )
            trimmed = cast("bytes | None", self._stream.get(keys.of_partition(partition, "trimmed")))
            if trimmed is not None and keys.parsed(trimmed) > keys.parsed(after):
                raise _LetGoError
            if not page:
                return
            after = page[-1][0]
            found = [decode(fields) for _, fields in page]
            yield [record for record in found if not isinstance(record, Damage)], after

    def _wipe(self, partition: int) -> None:
        for key in list(self._online.scan_iter(b"live:{%d}:*" % partition, count=1_000)):
            self._online.unlink(key)
        for name in self._epochs:
            self._forget(partition, name)
            self._announce_epoch(self._epochs[name])

    def _wipe_epoch(self, partition: int, name: str) -> None:
        keys_of = layout.of_epoch(partition, name, "keys")
        epoch = self._epochs.get(name)
        for member in list(self._online.sscan_iter(keys_of, count=1_000)):
            source_key = member.decode(errors="surrogatepass")
            self._online.unlink(
                layout.of_epoch(partition, name, "genes", source_key),
                layout.of_epoch(partition, name, "lines", source_key),
            )
            if epoch is not None:
                # The customer's other keys may be of another partition: only this one's go.
                self._online.srem(layout.customer_key(name, epoch.customer(source_key)), member)
        pairs = layout.of_epoch(partition, name, "pairs")
        for member in list(self._online.sscan_iter(pairs, count=1_000)):
            customer, kind, thing = _pairs.decode(member)
            mine, its = joins.pair(customer, kind, thing)
            self._online.srem(joins.joined_key(name, customer), mine)
            self._online.srem(joins.joined_key(name, thing), its)
        self._online.unlink(pairs)
        self._online.unlink(keys_of, layout.of_epoch(partition, name, "refunded"))
        self._online.hdel(layout.epochs_key(partition), name)  # type: ignore[arg-type]
        self._forget(partition, name)

    def _forget(self, partition: int, name: str) -> None:
        self._announced.pop((partition, name), None)
        self._joined.pop((partition, name), None)
        self._refunded.pop((partition, name), None)

    # Applying

    def _fresh(self, entries: Sequence[Entry]) -> dict[int, Record]:
        """The records that were not seen lately: the collector's window is the first to know, this the last."""
        found: dict[int, Record] = {}
        for entry in entries:
            number = _number(entry.record)
            if number not in self._recent:
                found.setdefault(number, entry.record)
        return found

    def _remember(self, fresh: Mapping[int, Record]) -> None:
        self._recent.update(dict.fromkeys(fresh))
        if len(self._recent) > 2 * _REMEMBERED:
            self._recent = dict.fromkeys(list(self._recent)[-_REMEMBERED:])

    def _apply(
        self,
        partition: int,
        batch: Columns,
        position: bytes,
        epochs: Sequence[Epoch],
        expected: Mapping[str, bytes],
        *,
        sessions: bool,
    ) -> bool:
        """Append what a batch means to these epochs, and move the positions; False where they had moved."""
        write = self._prepared(partition, batch, epochs, sessions=sessions)
        large = self._commit(partition, position, expected, write)
        if large is None:
            for epoch in epochs:
                self._refunded.pop((partition, epoch.name), None)
            return False
        self._cut_down(partition, next(iter(expected)), position, write, large)
        return True

    def _prepared(
        self,
        partition: int,
        batch: Columns,
        epochs: Sequence[Epoch],
        *,
        sessions: bool,
        writing: "_Writing | None" = None,
    ) -> "_Write":
        """What a batch appends. Groups that are refunded in it are known from now on.

        Args:
            partition: of the batch.
            batch: what was read.
            epochs: whose deltas it belongs to.
            sessions: whether it belongs to the sessions.
            writing: what is on its way to the store, and is waited for where something is looked up there.
        """
        logs: list[bytes] = []
        blobs: list[bytes] = []
        if sessions:
            logs = [layout.session_key(partition, key) for key in batch.acts]
            blobs = [b"".join(acts) for acts in batch.acts.values()]
        count = len(logs)
        for epoch in epochs:
            owners, lines = lines_of(batch, epoch)
            if not len(lines):
                continue
            refunded = self._groups(partition, epoch)
            history = self._history(partition, epoch, batch.keys, writing)
            owners_of_sums, found = changes(owners, lines, refunded, history, epoch.parameters)
            self._append(partition, epoch, "genes", batch.keys, owners_of_sums, found, logs, blobs)
            named = lines["group"] != 0
            if named.any():
                order = np.argsort(owners[named], kind="stable")
                mine, theirs = owners[named][order], lines[named][order]
                self._append(partition, epoch, "lines", batch.keys, mine, theirs, logs, blobs)
                back = lines["group"][named & (epoch.parameters.reverses[lines["kind"]] >= 0)]
                if len(back):
                    logs.append(layout.of_epoch(partition, epoch.name, "refunded"))
                    blobs.append(back.tobytes())
                    self._refunded[partition, epoch.name] = np.union1d(refunded, back)
        for epoch in epochs:
            self._announce(partition, epoch, [*batch.keys, *(batch.acts if sessions else ())])
            self._join(partition, epoch, batch.pairs)
        return _Write(logs, blobs, count)

    def _append(
        self,
        partition: int,
        epoch: Epoch,
        what: str,
        names: Sequence[str],
        owners: npt.NDArray[np.int64],
        rows: npt.NDArray[Any],
        logs: list[bytes],
        blobs: list[bytes],
    ) -> None:
        """One blob for each owner; rows are in the order of the owners."""
        if not len(rows):
            return
        starts = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]]))
        text, size = rows.tobytes(), rows.dtype.itemsize
        ends = np.append(starts[1:], len(rows)) * size
        for at, begin, end in zip(starts.tolist(), (starts * size).tolist(), ends.tolist(), strict=True):
            logs.append(layout.of_epoch(partition, epoch.name, what, names[owners[at]]))
            blobs.append(text[begin:end])

    def _groups(self, partition: int, epoch: Epoch) -> npt.NDArray[np.uint64]:
        """Groups that have a refund, in the build or since."""
        held = self._refunded.get((partition, epoch.name))
        if held is None:
            since = self._online.get(layout.of_epoch(partition, epoch.name, "refunded")) or b""
            held = np.union1d(epoch.refunded, np.frombuffer(cast("bytes", since), np.uint64))
            self._refunded[partition, epoch.name] = held
        return held

    def _history(
        self, partition: int, epoch: Epoch, names: Sequence[str], writing: "_Writing | None"
    ) -> History:
        def history(
            groups: npt.NDArray[np.uint64], owners: npt.NDArray[np.int64]
        ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
            if writing is not None:
                wait([writing.written])
            asked = [names[at] for at in owners.tolist()]
            place = {name: int(at) for name, at in zip(asked, owners.tolist(), strict=True)}
            logs = cast(
                "list[bytes | None]",
                self._online.mget([layout.of_epoch(partition, epoch.name, "lines", each) for each in asked]),
            )
            live = [np.frombuffer(each or b"", LINE) for each in logs]
            built_keys, built = epoch.lines(asked)
            found = np.concatenate([*live, built])
            whose = np.concatenate(
                [
                    np.repeat(owners, [len(each) for each in live]),
                    np.array([place[key] for key in built_keys], np.int64),
                ]
            )
            mine = np.isin(found["group"], groups)
            return whose[mine].astype(np.int64), found[mine]

        return history

    def _announce(self, partition: int, epoch: Epoch, names: Sequence[str]) -> None:
        """Say which keys have deltas, before they do: what is said in vain does no harm."""
        known = self._announced.setdefault((partition, epoch.name), set())
        new = [name for name in names if name not in known]
        if not new:
            return
        with self._online.pipeline(transaction=False) as pipe:
            pipe.sadd(
                layout.of_epoch(partition, epoch.name, "keys"),
                *(name.encode(errors="surrogatepass") for name in new),
            )
            for name in new:
                customer = epoch.customer(name)
                if customer != name:
                    whose = layout.customer_key(epoch.name, customer)
                    pipe.sadd(whose, name.encode(errors="surrogatepass"))
                    pipe.expire(whose, _SESSION_DAYS * 86_400)
            pipe.execute()
        known.update(new)

    def _join(self, partition: int, epoch: Epoch, pairs: Mapping[tuple[str, str], None]) -> None:
        """Say who has identified on what: said twice, it is the same, and readers weigh it."""
        known = self._joined.setdefault((partition, epoch.name), set())
        new = [each for each in pairs if each not in known]
        if not new:
            return
        with self._online.pipeline(transaction=False) as pipe:
            for person, thing in new:
                customer = epoch.customer(person)
                # What the build has joined or refused already, it has done with more evidence than one event.
                if not epoch.customers.is_alone(thing):
                    continue
                kind = kind_of(person)
                mine, its = joins.pair(customer, kind, thing)
                for name, member in (
                    (joins.joined_key(epoch.name, customer), mine),
                    (joins.joined_key(epoch.name, thing), its),
                ):
                    pipe.sadd(name, member)
                    pipe.expire(name, _SESSION_DAYS * 86_400)
                pipe.sadd(
                    layout.of_epoch(partition, epoch.name, "pairs"), _encoder.encode((customer, kind, thing))
                )
            pipe.execute()
        known.update(new)

    def _commit(
        self,
        partition: int,
        position: bytes,
        expected: Mapping[str, bytes],
        write: "_Write",
    ) -> list[tuple[int, int]] | None:
        """The one write. Places and sizes of logs that are large now; None: nothing happened."""
        fields: list[bytes] = []
        for name, before in expected.items():
            fields += [name.encode(), before, position]
        answer = cast(
            "list[int] | None",
            self._online.execute_command(
                "EVAL",
                _COMMIT,
                1 + len(write.logs),
                layout.epochs_key(partition),
                *write.logs,
                len(expected),
                *fields,
                write.sessions,
                _SESSION_DAYS * 86_400,
                _LARGE,
                *write.blobs,
            ),
        )
        if answer is None:
            return None
        return [(number - 2, size) for number, size in zip(answer[::2], answer[1::2], strict=True)]

    def _cut_down(
        self,
        partition: int,
        field_name: str,
        position: bytes,
        write: "_Write",
        large: Sequence[tuple[int, int]],
    ) -> None:
        """Replace logs that have doubled by the sums, or the acts, that they come to."""
        for at, size in large:
            key = write.logs[at]
            if size < 2 * self._sizes.get(key, 0) or b":lines:" in key or key.endswith(b":refunded"):
                continue
            whole = cast("bytes", self._online.get(key))
            if at < write.sessions:
                short = layout.encode_acts(layout.folded(layout.decode_acts(whole)))
            else:
                short = layout.sums_of([whole]).tobytes()
            self._online.eval(_REPLACE, 2, layout.epochs_key(partition), key, field_name, position, short)
            self._sizes[key] = len(short)


@dataclass(frozen=True, slots=True)
class _Write:
    """What is appended: to which logs, and how many of them, the first ones, are sessions."""

    logs: list[bytes]
    blobs: list[bytes]
    sessions: int


@dataclass(frozen=True, slots=True)
class _Writing:
    """A write on its way to the store."""

    position: bytes
    records: Mapping[int, Record]
    write: _Write
    written: "Future[list[tuple[int, int]] | None]"


class _LetGoError(Exception):
    """The stream has let go of what was being read: what is missing lies in the lake."""


def _number(record: Record) -> int:
    """The same for the same message, within this process."""
    return hash((record.source, record.message_id))


def make(settings: Settings, partitions: Sequence[int] | None = None) -> Consumer:
    """The consumer, for `genome stream live`."""
    return Consumer(settings, LiveHandler(settings), partitions=partitions, batch_count=5_000)
