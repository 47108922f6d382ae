"""Publishing: many tables become visible at once, by swapping one pointer.

    stage ──export──► seal ──gate──► publish ──► lake/<kind>/<table>/v=<epoch>/part-*.parquet
                                        └──────► lake/_published/<group>.json   (the pointer)

A reader asks `current(settings, group)` once and reads the files that this publication names: all of one
epoch. A gate that fails simply does not call `publish`, so the last good version stays. Published files are
never changed; `prune` removes versions that are `keep` publications old.
"""

import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from genome import clock
from genome.errors import GenomeError
from genome.lake import files
from genome.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SEAL = "staged.json"


def new_epoch() -> str:
    """A name for a new version: it sorts by the time it was made, and two builds never share one.

    It comes from the system's clock and not from `GENOME_NOW`: under a set clock every build would have the
    same name.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class PublishedTable:
    """One table of a publication: `path` is its folder, relative to the lake."""

    name: str
    path: str
    rows: int
    sha256: str
    parts: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As the pointer holds it."""
        return {"path": self.path, "rows": self.rows, "sha256": self.sha256, "parts": list(self.parts)}


@dataclass(frozen=True)
class Publication:
    """What a pointer names: the tables of one epoch, and where they came from."""

    lake: Path
    group: str
    epoch: str
    published_at: datetime
    fingerprint: str
    tables: Mapping[str, PublishedTable]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> PublishedTable:
        """The entry of one table; an error names the tables that there are."""
        try:
            return self.tables[name]
        except KeyError:
            raise GenomeError(
                f"Publication {self.epoch} of '{self.group}' has no table '{name}' "
                f"(it has {', '.join(sorted(self.tables)) or 'none'}).",
                "Run `genome build`, which publishes every table anew.",
            ) from None

    def path(self, name: str) -> Path:
        """The folder that holds the table's `part-*.parquet` and nothing else."""
        return self.lake / self.table(name).path

    def files(self, name: str) -> list[Path]:
        """The table's Parquet files, in order."""
        table = self.table(name)
        return [self.lake / table.path / part for part in table.parts]

    def age(self, now: datetime) -> timedelta:
        """How long ago this was published, at `now`."""
        return now - self.published_at

    def document(self) -> dict[str, Any]:
        """As the pointer holds it."""
        return {
            "group": self.group,
            "epoch": self.epoch,
            "published_at": self.published_at.isoformat(),
            "fingerprint": self.fingerprint,
            "tables": {name: table.document() for name, table in sorted(self.tables.items())},
            "provenance": dict(self.provenance),
        }

    def summary(self) -> dict[str, Any]:
        """What a task returns: names and row counts."""
        return {
            "group": self.group,
            "epoch": self.epoch,
            "published_at": self.published_at.isoformat(),
            "rows": {name: table.rows for name, table in sorted(self.tables.items())},
        }


@dataclass(frozen=True)
class StagingArea:
    """Where the candidates of one epoch wait for the gate; no reader looks here."""

    settings: Settings
    group: str
    epoch: str

    @property
    def root(self) -> Path:
        """The folder of this staging area: `<root>/<kind>/<table>/part-*.parquet`."""
        return self.settings.lake / "_staging" / self.group / self.epoch

    def folder(self, kind: str, table: str) -> Path:
        """The folder for one table's parts; it is made when asked for."""
        _check_name("kind", kind)
        _check_name("table", table)
        folder = self.root / kind / table
        files.make_folder(folder)
        return folder

    def file(self, kind: str, table: str, part: int = 0) -> Path:
        """Where to export one part of a table to."""
        return self.folder(kind, table) / f"part-{part:05d}.parquet"

    def tables(self) -> dict[str, Path]:
        """Each staged table's folder by the table's name."""
        found: dict[str, Path] = {}
        for path in sorted(self.root.glob("*/*")):
            if path.is_dir() and found.setdefault(path.name, path) != path:
                raise GenomeError(
                    f"Table '{path.name}' is staged as {found[path.name].parent.name}/ and "
                    f"{path.parent.name}/.",
                    "A table's name is unique within its group: export it once.",
                )
        return found

    def seal(self, *, fingerprint: str = "", provenance: Mapping[str, Any] | None = None) -> "StagingArea":
        """Say that the export is complete: `staged` finds it from now on, also in another process.

        Args:
            fingerprint: what the tables were made from; `Publication.fingerprint` carries it on.
            provenance: anything JSON can hold about how they were made.
        """
        described = _describe(self)
        if not described:
            raise GenomeError(
                f"{self.root} holds no table.", "Export the tables before sealing the staging area."
            )
        files.write_json(
            self.root / _SEAL,
            {
                "group": self.group,
                "epoch": self.epoch,
                "fingerprint": fingerprint,
                "provenance": dict(provenance or {}),
                "tables": {table.name: table.document() for table in described},
            },
        )
        return self

    @property
    def sealed(self) -> bool:
        """Whether the export is complete."""
        return (self.root / _SEAL).is_file()

    def discard(self) -> None:
        """Remove the candidates (the published versions stay)."""
        shutil.rmtree(self.root, ignore_errors=True)


def stage(settings: Settings, group: str, epoch: str | None = None) -> StagingArea:
    """Make an empty staging area for a new version of a group; leftovers of earlier, unpublished ones go.

    Args:
        settings: where the lake is.
        group: tables that become visible together: `genome`, `scores`.
        epoch: the version's name; leave it out for a new one.
    """
    _check_name("group", group)
    area = StagingArea(settings, group, _check_name("epoch", epoch or new_epoch()))
    shutil.rmtree(area.root.parent, ignore_errors=True)
    files.make_folder(area.root)
    return area


def staged(settings: Settings, group: str) -> StagingArea | None:
    """The sealed staging area that waits for its gate, if there is one."""
    root = settings.lake / "_staging" / group
    sealed = sorted(path.parent.name for path in root.glob(f"*/{_SEAL}"))
    return StagingArea(settings, group, sealed[-1]) if sealed else None


def publish(
    staging: StagingArea, provenance: Mapping[str, Any] | None = None, *, fingerprint: str | None = None
) -> Publication:
    """Make the staged tables the current version, all at once.

    Killed at any point, it leaves the old version or the new one current; calling it again finishes the work.

    Args:
        staging: the candidates; sealed here if they are not yet.
        provenance: added to what the seal holds.
        fingerprint: in place of the one in the seal.

    Raises:
        GenomeError: when the candidates are not the bytes that were sealed (so not what the gate looked at),
            or when this epoch has been published with other bytes.
    """
    settings, lake = staging.settings, staging.settings.lake
    if not staging.sealed:
        staging.seal()
    seal = files.read_json(staging.root / _SEAL)
    described = _describe(staging)
    if {table.name: table.document() for table in described} != seal["tables"]:
        raise GenomeError(
            f"The tables in {staging.root} have changed since they were sealed.",
            "Nothing was published: stage them again and let the gate see them.",
        )
    publication = Publication(
        lake=lake,
        group=staging.group,
        epoch=staging.epoch,
        published_at=clock.now(settings),
        fingerprint=seal["fingerprint"] if fingerprint is None else fingerprint,
        tables={table.name: table for table in described},
        provenance={**seal["provenance"], **(provenance or {})},
    )
    with files.exclusive(_pointer(settings, staging.group).with_suffix(".lock")):
        # The record comes first, so that prune finds the files of a publication that was killed half-way.
        files.write_json(_record(settings, staging.group, staging.epoch), publication.document())
        for table in described:
            for part in table.parts:
                _link(staging.root / Path(table.path).parent / part, lake / table.path / part)
        files.write_json(_pointer(settings, staging.group), publication.document())
    staging.discard()
    return publication


def publish_staged(
    settings: Settings, group: str, provenance: Mapping[str, Any] | None = None
) -> Publication:
    """Publish the group's sealed staging area (the gate has passed); none waiting: the current version stays.

    Raises:
        GenomeError: when nothing is staged and nothing has ever been published.
    """
    area = staged(settings, group)
    if area is not None:
        return publish(area, provenance)
    publication = current(settings, group)
    if publication is None:
        raise GenomeError(
            f"Nothing of '{group}' is staged and nothing is published.", "Run `genome build` from the start."
        )
    return publication


def current(settings: Settings, group: str) -> Publication | None:
    """The version that readers read now, or None before the first one."""
    pointer = _pointer(settings, group)
    if not pointer.is_file():
        return None
    return _read(settings.lake, pointer)


def of_epoch(settings: Settings, group: str, epoch: str) -> Publication | None:
    """A version by its name, where it has not been pruned."""
    record = _record(settings, group, _check_name("epoch", epoch))
    return _read(settings.lake, record) if record.is_file() else None


def prune(settings: Settings, group: str, keep: int = 3) -> list[str]:
    """Remove old versions and return their epochs; the newest `keep` and the current one stay."""
    if keep < 1:
        raise GenomeError(f"keep={keep} would remove the current version.", "Keep at least 1.")
    with files.exclusive(_pointer(settings, group).with_suffix(".lock")):
        now_current = current(settings, group)
        records = sorted((settings.lake / "_published" / group).glob("*.json"))
        staying = {path.stem for path in records[-keep:]} | ({now_current.epoch} if now_current else set())
        gone = [path for path in records if path.stem not in staying]
        for path in gone:
            for table in _read(settings.lake, path).tables.values():
                shutil.rmtree(settings.lake / table.path, ignore_errors=True)
            path.unlink()
    return [path.stem for path in gone]


def _pointer(settings: Settings, group: str) -> Path:
    return settings.lake / "_published" / f"{_check_name('group', group)}.json"


def _record(settings: Settings, group: str, epoch: str) -> Path:
    return settings.lake / "_published" / group / f"{epoch}.json"


def _read(lake: Path, path: Path) -> Publication:
    document = files.read_json(path)
    return Publication(
        lake=lake,
        group=document["group"],
        epoch=document["epoch"],
        published_at=datetime.fromisoformat(document["published_at"]),
        fingerprint=document["fingerprint"],
        tables={
            name: PublishedTable(name, table["path"], table["rows"], table["sha256"], tuple(table["parts"]))
            for name, table in document["tables"].items()
        },
        provenance=document["provenance"],
    )


def _check_name(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise GenomeError(
            f"{what} '{name}' cannot be a file name.", "Use letters, digits, '_', '-' and '.', not first."
        )
    return name


def _describe(staging: StagingArea) -> list[PublishedTable]:
    import hashlib

    import pyarrow.parquet as pq

    described = []
    for name, folder in staging.tables().items():
        parts = sorted(folder.glob("part-*.parquet"))
        if not parts:
            raise GenomeError(
                f"{folder} holds no part-*.parquet.", "Export the table, with 0 rows if it has none."
            )
        each = "".join(files.sha256(part) for part in parts)
        described.append(
            PublishedTable(
                name=name,
                path=f"{folder.parent.name}/{name}/v={staging.epoch}",
                rows=sum(pq.read_metadata(part).num_rows for part in parts),
                # One part: the file's own hash. Several: the hash of their hashes.
                sha256=each if len(parts) == 1 else hashlib.sha256(each.encode()).hexdigest(),
                parts=tuple(part.name for part in parts),
            )
        )
    return described


def _link(source: Path, final: Path) -> None:
    """Give a staged file its published name; a second name for the same bytes, or a copy where links fail."""
    if final.exists():
        if files.sha256(final) != files.sha256(source):
            raise GenomeError(
                f"{final} has been published with other bytes.",
                "A published version never changes: stage the tables under a new epoch.",
            )
        return
    files.make_folder(final.parent)
    part = files.temporary(final)
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)
    files.commit(part, final)
