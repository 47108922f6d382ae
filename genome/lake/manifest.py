"""Which batches are in the lake. A reader reads the files that the manifest names, and no others.

Each committed batch is one JSON file, `lake/_manifest/<dataset>/<batch_id>.json`, written after its data
files are whole and on disk. So a batch is in the lake or it is not, whatever was killed when; files without
an entry are leftovers that the next run of their batch replaces.

Two more kinds of documents lie beside the batches of files:

    stream-….json      what was landed from the event stream: an entry for each channel, and the range of
                       stream ids of each partition. The position of `land` is the end of the last range.
    compacted-….json   files that stand in for others (`maintain_lake`): from the moment it is there, readers
                       read them instead; those that looked before go on with the old ones, which stay a while.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from genome.lake import files, layout
from genome.settings import Settings


@dataclass(frozen=True)
class Counts:
    """The ledger of rows: `received = accepted + quarantined + duplicate`, exactly."""

    received: int = 0
    accepted: int = 0
    quarantined: int = 0
    duplicate: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.received + other.received,
            self.accepted + other.accepted,
            self.quarantined + other.quarantined,
            self.duplicate + other.duplicate,
        )

    @property
    def balanced(self) -> bool:
        """Whether every row that came in is accounted for."""
        return self.received == self.accepted + self.quarantined + self.duplicate


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a batch; `path` is relative to the lake."""

    path: str
    rows: int
    bytes: int
    sha256: str
    min_occurred_at: str | None = None
    max_occurred_at: str | None = None
    max_received_at: str | None = None


@dataclass(frozen=True)
class Source:
    """The file that a batch came from."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Entry:
    """One committed batch.

    Attributes:
        quarantine: the file of the rows that were set aside, if any were.
        resolves: quarantined rows that this batch landed (or found landed): it is a replay, whose rows were
            received by an earlier batch.
        contract: fingerprint of the connector that read it.
        identifiers: the files of further identifiers of the batch's interactions.
    """

    batch_id: str
    dataset: str
    channel: str
    files: tuple[DataFile, ...]
    source: Source
    counts: Counts
    ingested_at: str
    contract: str
    quarantine: DataFile | None = None
    resolves: tuple[str, ...] = ()
    identifiers: tuple[DataFile, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @staticmethod
    def of(document: Mapping[str, Any]) -> "Entry":
        """From what JSON holds."""
        return Entry(
            batch_id=document["batch_id"],
            dataset=document["dataset"],
            channel=document["channel"],
            files=tuple(DataFile(**each) for each in document["files"]),
            source=Source(**document["source"]),
            counts=Counts(**document["counts"]),
            ingested_at=document["ingested_at"],
            contract=document["contract"],
            quarantine=DataFile(**document["quarantine"]) if document["quarantine"] else None,
            resolves=tuple(document["resolves"]),
            # Batches that were committed before there were any do not say so.
            identifiers=tuple(DataFile(**each) for each in document.get("identifiers", ())),
        )


@dataclass(frozen=True)
class Range:
    """Entries of one partition of the event stream: the first and the last id, and how many they are."""

    first: str
    last: str
    count: int


@dataclass(frozen=True)
class StreamBatch:
    """What was landed from the event stream at once: all of it counts from this one document on.

    Attributes:
        batch_id: `stream-…`.
        ranges: partition → which of its entries. Parked ones lie inside a range and are not counted.
        sources: `<source>|<channel>` → (events, rows).
        entries: one for each channel.
        replays: parked messages that it landed; they belong to no range.
        supersedes: documents that it stands for; they may still be there.
    """

    batch_id: str
    ranges: Mapping[int, Range]
    sources: Mapping[str, tuple[int, int]]
    entries: tuple[Entry, ...]
    landed_at: str
    replays: tuple[str, ...] = ()
    supersedes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"kind": STREAM, **asdict(self)}

    @staticmethod
    def of(document: Mapping[str, Any]) -> "StreamBatch":
        """From what JSON holds."""
        return StreamBatch(
            batch_id=document["batch_id"],
            ranges={int(number): Range(**each) for number, each in document["ranges"].items()},
            sources={name: (int(each[0]), int(each[1])) for name, each in document["sources"].items()},
            entries=tuple(Entry.of(each) for each in document["entries"]),
            landed_at=document["landed_at"],
            replays=tuple(document["replays"]),
            supersedes=tuple(document["supersedes"]),
        )


@dataclass(frozen=True)
class Compaction:
    """Files of one channel and month that stand in for others, with the same rows; none where they were retired.

    Attributes:
        compaction_id: `compacted-…`, or `retired-…` where rows were too old to be kept.
        kind_of: `interactions` or `identifiers`: which of a batch's files.
        replaces: path of each file that it stands for → since when, by the system's clock. The old files stay
            for a while after it, for those who have begun to read them.
        supersedes: earlier documents of this kind whose part it takes over.
    """

    compaction_id: str
    channel: str
    kind_of: str
    files: tuple[DataFile, ...]
    replaces: Mapping[str, str]
    supersedes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"kind": COMPACTION, **asdict(self)}

    @staticmethod
    def of(document: Mapping[str, Any]) -> "Compaction":
        """From what JSON holds."""
        return Compaction(
            compaction_id=document["compaction_id"],
            channel=document["channel"],
            kind_of=document["kind_of"],
            files=tuple(DataFile(**each) for each in document["files"]),
            replaces=document["replaces"],
            supersedes=tuple(document["supersedes"]),
        )


STREAM = "stream"
COMPACTION = "compaction"


@dataclass(frozen=True)
class Manifest:
    """The committed batches of one dataset, as they were when `read` looked."""

    lake: Path
    dataset: str
    entries: tuple[Entry, ...]
    stream: tuple[StreamBatch, ...] = ()
    compactions: tuple[Compaction, ...] = ()

    @staticmethod
    def read(settings: Settings, dataset: str) -> "Manifest":
        """Read the manifest of `interactions` or `catalog`; a lake without a batch gives an empty one."""
        folder = layout.manifest_folder(settings, dataset)
        while True:
            paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
            try:
                documents = {path.stem: files.read_json(path) for path in paths}
            except FileNotFoundError:
                continue  # a document was folded into another one meanwhile: look again
            return Manifest._of(settings.lake, dataset, documents)

    @staticmethod
    def _of(lake: Path, dataset: str, documents: Mapping[str, Any]) -> "Manifest":
        gone = {name for each in documents.values() for name in each.get("supersedes", ())}
        left = {name: each for name, each in documents.items() if name not in gone}
        of_kind: dict[str | None, list[Any]] = {None: [], STREAM: [], COMPACTION: []}
        for each in left.values():
            of_kind[each.get("kind")].append(each)
        batches = tuple(StreamBatch.of(each) for each in of_kind[STREAM])
        landed = tuple(entry for batch in batches for entry in batch.entries)
        return Manifest(
            lake,
            dataset,
            tuple(Entry.of(each) for each in of_kind[None]) + landed,
            batches,
            tuple(Compaction.of(each) for each in of_kind[COMPACTION]),
        )

    def of(self, channel: str | None) -> tuple[Entry, ...]:
        """The batches of one channel (or feed), or all of them."""
        return tuple(entry for entry in self.entries if channel in (None, entry.channel))

    def data_files(
        self, channel: str | None = None, kind_of: str = layout.INTERACTIONS
    ) -> dict[str, DataFile]:
        """The files that hold the rows now, by their paths.

        Args:
            channel: only this channel's (or feed's).
            kind_of: `identifiers` for the further identifiers; else the rows of the dataset itself.
        """
        further = kind_of == layout.IDENTIFIERS
        stand_ins = [
            each
            for each in self.compactions
            if channel in (None, each.channel) and (each.kind_of == layout.IDENTIFIERS) == further
        ]
        replaced = {path for each in stand_ins for path in each.replaces}
        found = [
            each for entry in self.of(channel) for each in (entry.identifiers if further else entry.files)
        ]
        found += [each for compaction in stand_ins for each in compaction.files]
        return {each.path: each for each in found if each.path not in replaced}

    def files(self, channel: str | None = None) -> list[Path]:
        """Every Parquet file to be read, in a fixed order. For `catalog` the channel is the feed's name."""
        return sorted(self.lake / path for path in self.data_files(channel))

    def identifiers(self, channel: str | None = None) -> list[Path]:
        """Every file of further identifiers, in a fixed order (they lie in `lake/identifiers/`)."""
        return sorted(self.lake / path for path in self.data_files(channel, layout.IDENTIFIERS))

    def channels(self) -> list[str]:
        """The channels (or feeds) that have a batch."""
        return sorted({entry.channel for entry in self.entries})

    def fingerprint(self, channel: str | None = None) -> str:
        """A hash that changes exactly when rows come or go: folding and compacting leave it as it is."""
        live = {entry.batch_id for batch in self.stream for entry in batch.entries}
        names = sorted(entry.batch_id for entry in self.of(channel) if entry.batch_id not in live)
        landed: dict[str, int] = {}
        for batch in self.stream:
            for entry in batch.entries:
                if channel in (None, entry.channel):
                    landed[entry.channel] = landed.get(entry.channel, 0) + entry.counts.accepted
        retired = sorted(each.compaction_id for each in self.compactions if not each.files)
        told = (f"stream {name} {rows}" for name, rows in sorted(landed.items()))
        lines = "\n".join([*names, *told, *retired])
        return hashlib.sha256(f"{self.dataset}\n{lines}".encode()).hexdigest()

    def positions(self) -> dict[int, str]:
        """Partition of the event stream → the last id that has landed."""
        found: dict[int, str] = {}
        for batch in self.stream:
            for number, each in batch.ranges.items():
                if order(each.last) > order(found.get(number, "0-0")):
                    found[number] = each.last
        return found

    def landed(self) -> dict[str, tuple[int, int]]:
        """`<source>|<channel>` → (events, rows) that came from the event stream."""
        found: dict[str, tuple[int, int]] = {}
        for batch in self.stream:
            for name, (events, rows) in batch.sources.items():
                before = found.get(name, (0, 0))
                found[name] = (before[0] + events, before[1] + rows)
        return found

    def counts(self, channel: str | None = None) -> Counts:
        """The ledger. A replayed row is counted where it ended, and received once: it still balances."""
        return _total(self.of(channel))

    def counts_by_channel(self) -> dict[str, Counts]:
        """The ledger of each channel (or feed) that has a batch."""
        return {name: self.counts(name) for name in self.channels()}

    def batch(self, batch_id: str) -> Entry | None:
        """One committed batch by its name."""
        return next((entry for entry in self.entries if entry.batch_id == batch_id), None)

    def rows_by_channel(self) -> dict[str, int]:
        """How many rows a reader finds in each channel (or feed)."""
        return {name: sum(each.rows for each in self.data_files(name).values()) for name in self.channels()}

    def max_received_at(self, channel: str | None = None) -> datetime | None:
        """The watermark: the newest known time of any committed row."""
        times = [each.max_received_at for each in self.data_files(channel).values()]
        known = [datetime.fromisoformat(time) for time in times if time]
        return max(known, default=None)


def committed(settings: Settings, dataset: str, batch_id: str) -> Entry | None:
    """One committed batch, without reading the others."""
    path = layout.manifest_folder(settings, dataset) / f"{batch_id}.json"
    return Entry.of(files.read_json(path)) if path.is_file() else None


def commit_stream(settings: Settings, batch: StreamBatch) -> None:
    """Put what was landed from the stream into the lake, all channels and positions at once."""
    for entry in batch.entries:
        if not entry.counts.balanced:
            raise AssertionError(f"batch {entry.batch_id} does not balance: {entry.counts}")
    folder = layout.manifest_folder(settings, layout.INTERACTIONS)
    files.write_json(folder / f"{batch.batch_id}.json", batch.document())


def commit_compaction(settings: Settings, dataset: str, compaction: Compaction) -> None:
    """Let files stand in for others; they are whole and on disk."""
    folder = layout.manifest_folder(settings, dataset)
    files.write_json(folder / f"{compaction.compaction_id}.json", compaction.document())


def forget(settings: Settings, dataset: str, names: Iterable[str]) -> None:
    """Remove documents that another one supersedes."""
    folder = layout.manifest_folder(settings, dataset)
    for name in names:
        (folder / f"{name}.json").unlink(missing_ok=True)


def order(stream_id: str) -> tuple[int, int]:
    """A stream id as it sorts."""
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)


def commit(settings: Settings, entry: Entry) -> None:
    """Put a batch into the lake: its files are whole and on disk, and from this moment they count."""
    if not entry.counts.balanced:
        raise AssertionError(f"batch {entry.batch_id} does not balance: {entry.counts}")
    files.write_json(
        layout.manifest_folder(settings, entry.dataset) / f"{entry.batch_id}.json", entry.document()
    )


def _total(entries: Iterable[Entry]) -> Counts:
    total = Counts()
    for entry in entries:
        if entry.resolves:
            landed, moved = entry.counts, len(entry.resolves)
            total += Counts(accepted=landed.accepted, duplicate=landed.duplicate, quarantined=-moved)
        else:
            total += entry.counts
    return total
