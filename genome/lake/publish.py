"""Publishing: many tables become visible at once, by swapping one pointer.

    stage ──export──► seal ──gate──► publish ──► lake/<kind>/<table>/v=<epoch>/part-*.parquet
                                        └──────► lake/_published/<group>.json   (the pointer)

A reader asks `current(settings, group)` once and reads what this publication names: all of one epoch. Of a large table
a version may add only what a build has made anew (a *delta*); its pointer then names the files of earlier versions,
too, and the publication puts them together. A gate that fails simply does not call `publish`, so the last good version
stays. Published files are never changed; `prune` removes versions that are `keep` publications old, but for the files
that a later one still names.
"""

import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from genome import clock
from genome.errors import GenomeError
from genome.lake import files, whole
from genome.lake.parts import KEYS, Made, Part, PublishedTable, read_table, table_of
from genome.lake.present import HalfLives
from genome.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SEAL = "staged.json"
_HALF_LIVES_REMEMBERED = 16


def new_epoch() -> str:
    """A name for a new version: it sorts by the time it was made, and two builds never share one.

    It comes from the system's clock and not from `GENOME_NOW`: under a set clock every build would have the
    same name.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}"


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

    def read(self, name: str, columns: Sequence[str] | None = None, filters: Any = None) -> "pa.Table":
        """The whole table in memory, as of this publication: for readers of a few keys or a few columns.

        Args:
            name: the table.
            columns: which columns; None: all.
            filters: which rows, as `pyarrow.parquet.read_table` takes them. Not about what moves with the clock.
        """
        return whole.read(self.lake, self.table(name), self._half_lives, columns, filters)

    def path(self, name: str) -> Path:
        """The folder that holds the table's `part-*.parquet` and nothing else: all of it, as of this publication.

        Where the table has deltas it is written on first use (minutes, at a hundred thousand customers): whoever wants
        a few keys or a few columns takes `read`.
        """
        table = self.table(name)
        return whole.resolve(self.lake, table, self._half_lives) if table.has_deltas else self.place(name)

    def place(self, name: str) -> Path:
        """Where `path` is, or will be once it is used."""
        table = self.table(name)
        return self.lake / (table.present if table.has_deltas else table.path)

    def files(self, name: str) -> list[Path]:
        """The Parquet files of `path`, in order."""
        table = self.table(name)
        if table.has_deltas:
            return sorted(self.path(name).glob("part-*.parquet"))
        return self.written(name)

    def written(self, name: str) -> list[Path]:
        """The Parquet files as builds wrote them: dead rows are in them, and rows of earlier cut-offs."""
        return [self.lake / part.file for part in self.table(name).parts]

    def _half_lives(self, column: str) -> HalfLives:
        return _half_lives(tuple(self.files("dim_genes")), tuple(self.files("loci")), column)

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
        """The folder of this staging area: `<root>/<kind>/<table>/part-*.parquet`, and for a delta `keys.parquet`."""
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

    def keys_file(self, kind: str, table: str) -> Path:
        """Where to export the keys whose rows in earlier parts are dead."""
        return self.folder(kind, table) / KEYS

    def rows(self, table: str) -> int:
        """How many rows the whole table has for its readers, also where only a delta is staged."""
        return int(files.read_json(self.root / _SEAL)["tables"][table]["rows"])

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

    def seal(
        self,
        *,
        fingerprint: str = "",
        provenance: Mapping[str, Any] | None = None,
        made: Mapping[str, Made] | None = None,
    ) -> "StagingArea":
        """Say that the export is complete: `staged` finds it from now on, also in another process.

        Args:
            fingerprint: what the tables were made from; `Publication.fingerprint` carries it on.
            provenance: anything JSON can hold about how they were made.
            made: of tables that may be staged as deltas: what their own files do not say.
        """
        hashes = _hashes(self)
        described = _describe(self, hashes, made or {})
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
                "files": hashes,
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
    if _hashes(staging) != seal.get("files"):
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
        tables={name: read_table(name, told) for name, told in seal["tables"].items()},
        provenance={**seal["provenance"], **(provenance or {})},
    )
    with files.exclusive(_pointer(settings, staging.group).with_suffix(".lock")):
        _check_continued(publication)
        # The record comes first, so that prune finds the files of a publication that was killed half-way.
        files.write_json(_record(settings, staging.group, staging.epoch), publication.document())
        for name in seal["files"]:
            staged_file = staging.root / name
            kind, table, file = PurePosixPath(name).parts
            _link(staged_file, lake / _folder(kind, table, staging.epoch) / file)
        files.write_json(_pointer(settings, staging.group), publication.document())
    staging.discard()
    return publication


def publish_staged(
    settings: Settings, group: str, provenance: Mapping[str, Any] | None = None
) -> Publication:
    """Publish the group's sealed staging area (the gate has passed); none waiting: the current version stays.

    Versions that are old by now go (`prune`).

    Raises:
        GenomeError: when nothing is staged and nothing has ever been published.
    """
    area = staged(settings, group)
    if area is not None:
        published = publish(area, provenance)
        prune(settings, group)
        return published
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
        named = {
            folder for path in records if path not in gone for folder in _folders(_read(settings.lake, path))
        }
        for path in gone:
            publication = _read(settings.lake, path)
            presents = {table.present for table in publication.tables.values()}
            for folder in (_folders(publication) | presents) - named:
                shutil.rmtree(settings.lake / folder, ignore_errors=True)
            path.unlink()
        # A reader that held a version which was pruned meanwhile may have put its tables together since.
        for left in settings.lake.glob("*/*/present/v=*"):
            mine = now_current is not None and left.parent.parent.name in now_current.tables
            if mine and left.name.removeprefix("v=") not in staying:
                shutil.rmtree(left, ignore_errors=True)
    return [path.stem for path in gone]


def _folders(publication: Publication) -> set[str]:
    """The folders in which a publication's files are, its own and those of versions before it."""
    parts = [part for table in publication.tables.values() for part in table.parts]
    return {str(PurePosixPath(part.file).parent) for part in parts}


def _check_continued(publication: Publication) -> None:
    """Deltas are of no use without what they continue."""
    for table in publication.tables.values():
        earlier = [
            part for part in table.parts if PurePosixPath(part.file).parent != PurePosixPath(table.path)
        ]
        for file in (name for part in earlier for name in (part.file, part.keys) if name is not None):
            if not (publication.lake / file).is_file():
                raise GenomeError(
                    f"{table.name} continues {file}, which is gone.",
                    "Nothing was published: `genome build --full` publishes every table whole.",
                )


@lru_cache(_HALF_LIVES_REMEMBERED)
def _half_lives(genes: tuple[Path, ...], loci: tuple[Path, ...], column: str) -> HalfLives:
    import pyarrow.parquet as pq

    return HalfLives.of_loci(
        pq.read_table(list(genes), columns=["gene_hash", "locus_id"], partitioning=None),
        pq.read_table(list(loci), columns=["locus_id", column], partitioning=None),
        column,
    )


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
        tables={name: read_table(name, told) for name, told in document["tables"].items()},
        provenance=document["provenance"],
    )


def _check_name(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise GenomeError(
            f"{what} '{name}' cannot be a file name.", "Use letters, digits, '_', '-' and '.', not first."
        )
    return name


def _folder(kind: str, table: str, epoch: str) -> str:
    return f"{kind}/{table}/v={epoch}"


def _hashes(staging: StagingArea) -> dict[str, str]:
    """Every staged file, `<kind>/<table>/<file>`, and its hash."""
    return {
        path.relative_to(staging.root).as_posix(): files.sha256(path)
        for folder in staging.tables().values()
        for path in sorted([*folder.glob("part-*.parquet"), *folder.glob(KEYS)])
    }


def _describe(
    staging: StagingArea, hashes: Mapping[str, str], made: Mapping[str, Made]
) -> list[PublishedTable]:
    import pyarrow.parquet as pq

    described = []
    for name, folder in staging.tables().items():
        paths = sorted(folder.glob("part-*.parquet"))
        if not paths:
            raise GenomeError(
                f"{folder} holds no part-*.parquet.", "Export the table, with 0 rows if it has none."
            )
        kind, known = folder.parent.name, made.get(name)
        place = _folder(kind, name, staging.epoch)
        keys_hash = hashes.get(f"{kind}/{name}/{KEYS}")
        own = tuple(
            Part(
                file=f"{place}/{path.name}",
                rows=pq.read_metadata(path).num_rows,
                sha256=hashes[f"{kind}/{name}/{path.name}"],
                as_of=known.fading.as_of if known else None,
                keys=f"{place}/{KEYS}" if keys_hash else None,
                keys_sha256=keys_hash,
            )
            for path in paths
        )
        described.append(table_of(name, place, own, known))
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
