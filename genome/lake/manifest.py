"""Which batches are in the lake. A reader reads the files that the manifest names, and no others.

Each committed batch is one JSON file, `lake/_manifest/<dataset>/<batch_id>.json`, written after its data
files are whole and on disk. So a batch is in the lake or it is not, whatever was killed when; files without
an entry are leftovers that the next run of their batch replaces.
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
class Manifest:
    """The committed batches of one dataset, as they were when `read` looked."""

    lake: Path
    dataset: str
    entries: tuple[Entry, ...]

    @staticmethod
    def read(settings: Settings, dataset: str) -> "Manifest":
        """Read the manifest of `interactions` or `catalog`; a lake without a batch gives an empty one."""
        folder = layout.manifest_folder(settings, dataset)
        paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
        return Manifest(settings.lake, dataset, tuple(Entry.of(files.read_json(path)) for path in paths))

    def of(self, channel: str | None) -> tuple[Entry, ...]:
        """The batches of one channel (or feed), or all of them."""
        return tuple(entry for entry in self.entries if channel in (None, entry.channel))

    def files(self, channel: str | None = None) -> list[Path]:
        """Every committed Parquet file, in a fixed order. For `catalog` the channel is the feed's name."""
        return sorted(self.lake / each.path for entry in self.of(channel) for each in entry.files)

    def identifiers(self, channel: str | None = None) -> list[Path]:
        """Every committed file of further identifiers, in a fixed order (they lie in `lake/identifiers/`)."""
        return sorted(self.lake / each.path for entry in self.of(channel) for each in entry.identifiers)

    def fingerprint(self, channel: str | None = None) -> str:
        """A hash that changes exactly when a batch is added."""
        names = "\n".join(sorted(entry.batch_id for entry in self.of(channel)))
        return hashlib.sha256(f"{self.dataset}\n{names}".encode()).hexdigest()

    def counts(self, channel: str | None = None) -> Counts:
        """The ledger. A replayed row is counted where it ended, and received once: it still balances."""
        return _total(self.of(channel))

    def counts_by_channel(self) -> dict[str, Counts]:
        """The ledger of each channel (or feed) that has a batch."""
        return {name: self.counts(name) for name in sorted({entry.channel for entry in self.entries})}

    def batch(self, batch_id: str) -> Entry | None:
        """One committed batch by its name."""
        return next((entry for entry in self.entries if entry.batch_id == batch_id), None)

    def max_received_at(self, channel: str | None = None) -> datetime | None:
        """The watermark: the newest known time of any committed row."""
        times = [each.max_received_at for entry in self.of(channel) for each in entry.files]
        known = [datetime.fromisoformat(time) for time in times if time]
        return max(known, default=None)


def committed(settings: Settings, dataset: str, batch_id: str) -> Entry | None:
    """One committed batch, without reading the others."""
    path = layout.manifest_folder(settings, dataset) / f"{batch_id}.json"
    return Entry.of(files.read_json(path)) if path.is_file() else None


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
