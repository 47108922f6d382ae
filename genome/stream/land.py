"""The consumer `land`: from the event stream into the lake, exactly once.

A batch takes along what waits in all partitions that this process owns. Its rows become Parquet by channel
and month (`genome/lake/live.py`); then one document of the manifest names the files and, for each partition,
the range of stream ids they came from. That document is the commit: a kill before it leaves files that
nobody reads, a kill after it has landed everything, and the position is read from it either way.
"""

import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import structlog

from genome import clock
from genome.errors import GenomeError, UnavailableError, UsageError
from genome.lake import files, layout, live, manifest
from genome.lake.manifest import Manifest, Range, StreamBatch
from genome.settings import Settings
from genome.stream import keys, parked
from genome.stream.consumer import Consumer, Entry, PositionMovedError
from genome.stream.trim import trim

if TYPE_CHECKING:
    import redis

log = structlog.get_logger(__name__)

NAME: Final = "land"
_TRIM_SECONDS: Final = 10.0


class Land:
    """Lands batches of entries; what it knows of the lake is what the manifest says."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._positions: dict[int, bytes] = {}
        self._seen: set[str] = set()
        self._client: redis.Redis | None = None
        self._trimmed_at: datetime | None = None
        self._mine: set[int] = set()

    def position(self, partition: int) -> bytes:
        """The end of the last range that the manifest holds."""
        self._look()
        return self._positions.get(partition, keys.BEGINNING)

    def handle(self, partition: int, entries: Sequence[Entry]) -> None:
        """Land the entries of one partition."""
        self.handle_many({partition: entries})

    def handle_many(self, batches: Mapping[int, Sequence[Entry]]) -> None:
        """Land the entries of several partitions at once: one set of files, one commit."""
        settings = self._settings
        before = {number: self._positions.get(number, keys.BEGINNING) for number in batches}
        ranges = {
            number: Range(entries[0].id.decode(), entries[-1].id.decode(), len(entries))
            for number, entries in sorted(batches.items())
        }
        name = _name(ranges)
        bodies = [entry.body for number in ranges for entry in batches[number]]
        landed = self._write(bodies, name)
        with files.exclusive(layout.lock_file(settings, "stream")):
            self._look()
            moved = [number for number, at in before.items() if self._positions.get(number, at) != at]
            if moved:
                raise PositionMovedError(moved)
            now = clock.now(settings).isoformat()
            manifest.commit_stream(
                settings, StreamBatch(name, ranges, landed.sources, landed.entries, landed_at=now)
            )
            for number, entries in batches.items():
                self._positions[number] = entries[-1].id
        self._mine |= set(batches)

    def tick(self, now: datetime) -> None:
        """Let go of what has landed, every few seconds."""
        if self._trimmed_at is not None and (now - self._trimmed_at).total_seconds() < _TRIM_SECONDS:
            return
        self._trimmed_at = now
        if self._client is None:
            from genome.stores import valkey

            self._client = valkey.connect(self._settings, "events", start=False)
        landed = {number: self._positions[number].decode() for number in self._mine}
        trim(self._settings, self._client, landed, land=self.name)

    def replay(self, ids: Sequence[str] = ()) -> tuple[int, dict[str, str]]:
        """Land parked messages after a fix: each once, however often this runs.

        Args:
            ids: only these; none: all that `land` has parked.

        Returns:
            How many left the parked ones, and why the others stay.
        """
        from genome.stores import valkey

        settings = self._settings
        waiting = {each.parked_id: each for each in parked.listed(settings, self.name)}
        unknown = [each for each in ids if each not in waiting]
        if unknown:
            raise UsageError(f"'{unknown[0]}' is not parked.", "`genome stream parked land` lists what is.")
        chosen = {name: waiting[name] for name in ids or waiting}
        still: dict[str, str] = {}
        with (
            files.exclusive(layout.lock_file(settings, "stream-replay")),
            valkey.connect(settings, "events") as client,
        ):
            before = {name for each in self._batches() for name in each.replays}
            for name, each in chosen.items():
                if name not in before:
                    try:
                        raw = parked.open_one(settings, client, each)
                        parked.record_of(raw)
                        self._land_alone(name, raw)
                    except Exception as error:  # noqa: BLE001 - it was parked because something fails on it
                        still[name] = str(error) if isinstance(error, GenomeError) else type(error).__name__
                        continue
                # Landed first, removed after: killed in between, the next replay finds it landed.
                parked.remove(client, each)
        return len(chosen) - len(still), still

    def _land_alone(self, name: str, raw: bytes) -> None:
        batch = f"stream-replay-{hashlib.sha256(name.encode()).hexdigest()[:20]}"
        landed = self._write([raw], batch)
        now = clock.now(self._settings).isoformat()
        manifest.commit_stream(
            self._settings,
            StreamBatch(batch, {}, landed.sources, landed.entries, landed_at=now, replays=(name,)),
        )

    def _write(self, bodies: Sequence[bytes], name: str) -> live.Landed:
        settings = self._settings
        # Beside the channels' own work folders: their runs sweep what looks left over in theirs.
        work = layout.work_folder(settings, "stream") / f"{os.getpid()}-{secrets.token_hex(4)}"
        import duckdb

        try:
            return live.land(settings, bodies, name, work=work, now=clock.now(settings))
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            # A full disk, or no memory: no message is at fault, so all of them wait.
            raise UnavailableError(
                f"The lake cannot be written ({type(error).__name__}).", "Free disk space or memory."
            ) from error

    def _look(self) -> None:
        """Read the documents that were not there at the last look."""
        folder = layout.manifest_folder(self._settings, layout.INTERACTIONS)
        names = {each.name for each in folder.glob("stream-*.json")} if folder.is_dir() else set()
        for name in names - self._seen:
            try:
                batch = StreamBatch.of(files.read_json(folder / name))
            except FileNotFoundError:
                continue  # folded into another one, which is read at the next look at the latest
            for number, each in batch.ranges.items():
                last = each.last.encode()
                if keys.parsed(last) > keys.parsed(self._positions.get(number, keys.BEGINNING)):
                    self._positions[number] = last
        self._seen = names

    def _batches(self) -> tuple[StreamBatch, ...]:
        return Manifest.read(self._settings, layout.INTERACTIONS).stream


def _name(ranges: Mapping[int, Range]) -> str:
    """A batch's name: the same ranges give the same one; names sort by time."""
    told = ",".join(f"{number}:{each.first}:{each.last}" for number, each in sorted(ranges.items()))
    first = min(int(each.first.partition("-")[0]) for each in ranges.values())
    return f"stream-{first:014d}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def make(settings: Settings, partitions: Sequence[int] | None = None) -> Consumer:
    """The consumer of this process."""
    return Consumer(
        settings,
        Land(settings),
        partitions=partitions,
        batch_count=settings.stream_land_count,
        batch_seconds=settings.stream_land_seconds,
    )
