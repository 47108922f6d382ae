"""Group commit: whatever waits while the disk is busy is written by the next call, under one fsync.

A request is acknowledged when every one of its events is on disk: in the stream or the quarantine, or
counted. If anything on the way fails, the whole request gets 503; what was stored of it is recognised when
it comes again.

What is personal goes into the identity vault first: identifiers behind tokens, and what people wrote. An event in the
stream is therefore never without its text, whatever dies in between; a text whose event was not stored waits in the
vault for the sender's next try, which finds it there.

The store's server may die (it does so on a full disk). Then everything that waits gets 503 at once, and a
supervisor brings the embedded server back as soon as it can start; nobody has to come.
"""

import asyncio
import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from genome.collector import stream
from genome.collector.errors import unavailable
from genome.collector.limits import Capacity
from genome.collector.stream import Section
from genome.errors import GenomeError
from genome.identity.texts import Text, Texts
from genome.identity.tokens import Token
from genome.identity.vault import Vault
from genome.settings import Settings
from genome.stores import valkey
from genome.vocabulary import motives

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

log = structlog.get_logger(__name__)

_DISK_LOOK_SECONDS: Final = 0.1
_MEMORY_LOOK_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(slots=True)
class Parcel:
    """The events of one request on their way to the disk.

    Attributes:
        sections: for each partition, what goes there.
        size: bytes that wait with it.
        tokens: identifiers that the vault must hold first.
        on_conflict: makes the quarantine section of accept items whose id is known with another body.
        texts: what people wrote, which the vault must hold first, too.
        done: set when all is on disk, or to the exception why not.
    """

    sections: dict[int, list[Section]]
    size: int
    tokens: list[Token]
    on_conflict: Callable[[Section, Sequence[int]], tuple[int, Section]]
    texts: list[Text] = field(default_factory=list)
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(slots=True)
class Figures:
    """What the committer has done, for the metrics."""

    commits: int = 0
    events: int = 0
    failures: int = 0
    refused: int = 0
    restarts: int = 0
    seconds: float = 0.0


class Committer:
    """Writes parcels to the events store, one group after another."""

    def __init__(self, settings: Settings, vault: Vault, capacity: Capacity) -> None:
        self._settings = settings
        self._vault = vault
        self._texts = Texts(vault)
        self._capacity = capacity
        self._half_window = max(1, settings.collector_dedup_window // settings.collector_partitions // 2)
        self._waiting: deque[Parcel] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._sha = b""
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._attempt = 0
        self._problem: str | None = "starting"
        self._disk_looked = 0.0
        self._disk_problem: str | None = None
        self._memory_looked = 0.0
        self._memory_problem: str | None = None
        self.figures = Figures()

    # For the app

    def start(self) -> None:
        """Begin to write (in the running event loop)."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="collector-commit")

    async def stop(self) -> None:
        """Write what waits, then let go of the store."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self._disconnect()

    @property
    def problem(self) -> str | None:
        """Why nothing can be stored now; None where it can."""
        return self._problem or self._low_disk() or self._memory_problem

    @property
    def waiting_bytes(self) -> int:
        """Bytes of events that wait for the disk."""
        return self._waiting_bytes

    def refuse_if_full(self) -> None:
        """Turn a request away before any work is done for it."""
        problem = self.problem
        if problem is not None:
            self.figures.refused += 1
            raise unavailable("store_unavailable", f"Events cannot be stored now: {problem}.")
        if self._waiting_bytes >= self._capacity.queue_bytes or self._closing:
            self.figures.refused += 1
            raise unavailable("overloaded", "Too many events are waiting.")

    async def store(self, parcel: Parcel) -> None:
        """Return when the parcel is on disk.

        Raises:
            Refusal: 503 where it is not, or too much waits already.
        """
        self.refuse_if_full()
        self._waiting.append(parcel)
        self._waiting_bytes += parcel.size
        self._wake.set()
        await parcel.done

    # The writing

    async def _run(self) -> None:
        while True:
            try:
                if await self._step():
                    return
            except Exception as error:  # noqa: BLE001 - the writer must outlive every fault, or all senders hang
                log.error("collector_writer_fault", error=type(error).__name__)
                await self._failed([], error)
                await asyncio.sleep(_RETRY_SECONDS[-1])

    async def _step(self) -> bool:
        """Connect, or write a group, or wait for one; True when all is written and the collector closes."""
        if self._closing and not self._waiting:
            return True
        if self._connection is None:
            if not await self._connect():
                self._fail_all(self._problem or "the store does not answer")
                await self._pause(_RETRY_SECONDS[min(self._attempt, len(_RETRY_SECONDS) - 1)])
                self._attempt += 1
                return False
            self._attempt = 0
        if not self._waiting:
            await self._pause(_MEMORY_LOOK_SECONDS)
            if not self._waiting and self._connection is not None:
                await self._look_at_memory()
            return False
        group = self._next_group()
        try:
            await self._write(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, the senders must come again
            await self._failed(group, error)
        else:
            for parcel in group:
                if not parcel.done.done():
                    parcel.done.set_result(None)
        return False

    async def _pause(self, seconds: float) -> None:
        """Wait for work, the end, or the time."""
        self._wake.clear()
        if self._waiting or self._closing:
            return
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    def _next_group(self) -> list[Parcel]:
        group: list[Parcel] = []
        size = 0
        while self._waiting and (not group or size + self._waiting[0].size <= self._capacity.group_bytes):
            parcel = self._waiting.popleft()
            size += parcel.size
            self._waiting_bytes -= parcel.size
            if not parcel.done.cancelled():  # its sender has gone away before anything was written
                group.append(parcel)
        return group

    async def _write(self, group: list[Parcel]) -> None:
        began = time.monotonic()
        low = self._low_disk()
        if low is not None:
            raise OSError(low)
        await self._look_at_memory()
        lacking = self._vault.lacks(token for parcel in group for token in parcel.tokens)
        texts = [text for parcel in group for text in parcel.texts]
        if lacking or texts:
            await asyncio.to_thread(self._keep, lacking, texts)
        partitions: dict[int, list[tuple[Parcel, Section]]] = {}
        for parcel in group:
            for partition, sections in parcel.sections.items():
                partitions.setdefault(partition, []).extend((parcel, section) for section in sections)
        answers = await self._call({p: [section for _, section in found] for p, found in partitions.items()})
        conflicts: dict[int, list[Section]] = {}
        for partition, ordinals in answers.items():
            if ordinals:
                self._sort_out(partitions[partition], ordinals, conflicts)
        if conflicts:
            await self._call(conflicts)
        self.figures.commits += 1
        self.figures.events += sum(
            section.count for parcel in group for sections in parcel.sections.values() for section in sections
        )
        self.figures.seconds += time.monotonic() - began

    def _keep(self, tokens: list[Token], texts: list[Text]) -> None:
        """Put into the vault what the stream must not hold; it is on disk when this returns."""
        self._vault.put(tokens)
        self._texts.put(texts, vocabulary=motives().version)

    @staticmethod
    def _sort_out(
        found: list[tuple[Parcel, Section]], ordinals: Sequence[int], conflicts: dict[int, list[Section]]
    ) -> None:
        """Which of whose items are meant by the script's ordinals."""
        first = 0
        for parcel, section in found:
            if section.kind not in (b"a", b"r"):
                continue
            mine = [ordinal - first for ordinal in ordinals if first <= ordinal < first + section.count]
            first += section.count
            if mine and section.kind == b"a":
                partition, made = parcel.on_conflict(section, mine)
                conflicts.setdefault(partition, []).append(made)

    async def _call(self, work: dict[int, list[Section]]) -> dict[int, list[int]]:
        """One script call for each partition, all sent at once; the answers come after their fsync."""
        import hiredis
        from redis.exceptions import NoScriptError

        connection = self._connection
        if connection is None:
            raise ConnectionError("the store is gone")
        order = sorted(work)
        packed = [
            hiredis.pack_command(stream.command(self._sha, partition, self._half_window, work[partition]))  # type: ignore[arg-type]
            for partition in order
        ]
        answers: dict[int, list[int]] = {}
        refused: Exception | None = None
        async with asyncio.timeout(self._capacity.commit_seconds):
            await connection.send_packed_command(packed)
            for partition in order:
                try:
                    answers[partition] = await connection.read_response()
                except NoScriptError as error:  # a failover: the next connection loads it again
                    refused = ConnectionError(str(error))
                except (ConnectionError, OSError):
                    raise
                except Exception as error:  # noqa: BLE001 - one partition's refusal; read the others' answers first
                    refused = error
        if refused is not None:
            raise refused
        return answers

    async def _failed(self, group: list[Parcel], error: Exception) -> None:
        self.figures.failures += 1
        reason = type(error).__name__
        log.warning("collector_commit_failed", error=reason, requests=len(group))
        # After a time-out or a half-read answer the connection may hold somebody else's answers.
        await self._disconnect()
        self._problem = f"the store did not answer ({reason})"
        for parcel in group:
            if not parcel.done.done():
                parcel.done.set_exception(
                    unavailable("store_unavailable", f"Events could not be stored ({reason}).")
                )
        self._fail_all(self._problem)

    def _fail_all(self, problem: str) -> None:
        while self._waiting:
            parcel = self._waiting.popleft()
            if not parcel.done.done():
                parcel.done.set_exception(
                    unavailable("store_unavailable", f"Events cannot be stored now: {problem}.")
                )
        self._waiting_bytes = 0

    # The store

    async def _connect(self) -> bool:
        """Start the embedded server where it is gone, and connect. Never raises: it says why in `problem`."""
        from redis.asyncio import ConnectionPool
        from redis.exceptions import RedisError

        low = self._low_disk()
        if low is not None:
            self._problem = low
            return False
        try:
            was_running = await asyncio.to_thread(_is_running, self._settings)
            await asyncio.to_thread(valkey.ensure, self._settings, "events")
            pool = ConnectionPool.from_url(
                valkey.url(self._settings, "events"), socket_timeout=self._capacity.commit_seconds
            )
            connection = pool.make_connection()
            await connection.connect()
            await connection.send_command("SCRIPT", "LOAD", stream.SCRIPT)
            self._sha = await connection.read_response()
        except (GenomeError, RedisError, OSError, subprocess.SubprocessError, TimeoutError) as error:
            reason = error.what if isinstance(error, GenomeError) else type(error).__name__
            if self._problem != reason:
                log.warning("collector_store_unavailable", error=reason)
            self._problem = reason
            return False
        if not was_running:
            self.figures.restarts += 1
        self._connection = connection
        self._problem = None
        self._memory_looked = 0.0
        return True

    async def _disconnect(self) -> None:
        from redis.exceptions import RedisError

        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.disconnect(nowait=True)
            except (RedisError, OSError) as error:
                log.debug("collector_disconnect_failed", error=type(error).__name__)

    def _low_disk(self) -> str | None:
        """The reserve keeps the server alive: it exits when it cannot write, so writing stops before that."""
        if self._settings.events_url is not None:
            return None
        moment = time.monotonic()
        if moment - self._disk_looked >= _DISK_LOOK_SECONDS:
            self._disk_looked = moment
            folder = self._settings.valkey
            while not folder.exists():
                folder = folder.parent
            disk = os.statvfs(folder)
            free = disk.f_bavail * disk.f_frsize
            reserve = self._settings.collector_disk_reserve_mb * 1024 * 1024
            self._disk_problem = None if free >= reserve else "the disk is full up to its reserve"
        return self._disk_problem

    async def _look_at_memory(self) -> None:
        """The stream lives in the server's memory: stop before it is gone, and go on when it was trimmed."""
        moment = time.monotonic()
        connection = self._connection
        if moment - self._memory_looked < _MEMORY_LOOK_SECONDS or connection is None:
            return
        self._memory_looked = moment
        async with asyncio.timeout(self._capacity.commit_seconds):
            await connection.send_command("INFO", "memory")
            text: Any = await connection.read_response()
        used = next(
            int(line.partition(b":")[2])
            for line in bytes(text).splitlines()
            if line.startswith(b"used_memory:")
        )
        full = used >= self._settings.collector_memory_mb * 1024 * 1024
        self._memory_problem = "the event stream has reached its memory limit" if full else None


def _is_running(settings: Settings) -> bool:
    return valkey.status(settings, "events").is_running
