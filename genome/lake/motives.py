"""What texts say since they were read anew: `lake/motives/`, one file of `interaction_id, motives`, replaced whole.

Interactions are never changed. Where a later vocabulary hears something else in a text than the one that was in force
when it came in, a row here stands in for the `_motives` of its interaction (null: nothing), and for nothing else of it.
The file can be made anew from the identity vault at any time. It is committed by one manifest entry, whose `contract`
is the vocabulary's version; a build reads the file that the entry names when it begins.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from genome.lake import files, layout, manifest
from genome.lake.manifest import Counts, DataFile, Entry, Source
from genome.settings import Settings

_NAME: Final = "motives"
"""Of the entry: there is one."""


def current(settings: Settings) -> DataFile | None:
    """The file in force; None where every text says what it said when it came in."""
    entry = manifest.committed(settings, layout.MOTIVES, _NAME)
    return entry.files[0] if entry is not None and entry.files else None


def replace(
    settings: Settings,
    pages: Iterable[Sequence[tuple[str, str | None]]],
    *,
    vocabulary: str,
    now: datetime,
    is_final: bool = False,
) -> bool:
    """Put other rows in the place of those in force; False where they are the same ones.

    The caller holds a lock: there is one writer.

    Args:
        settings: where the lake is.
        pages: (interaction_id, motives), by their ids, each once.
        vocabulary: the version that read them.
        now: our clock.
        is_final: the former file is removed at once. Else it stays until the next time, for a build that reads it.
    """
    before = current(settings)
    folder = settings.lake / layout.MOTIVES
    files.make_folder(folder)
    files.sweep(folder)
    part = files.temporary(folder / f"{_NAME}.parquet")
    rows = _write(part, pages)
    digest = files.sha256(part)
    is_same = rows == 0 if before is None else before.sha256 == digest
    written = _put(settings, part, rows, digest) if rows and not is_same else ()
    part.unlink(missing_ok=True)
    if not is_same:
        manifest.commit(
            settings,
            Entry(
                batch_id=_NAME,
                dataset=layout.MOTIVES,
                channel=_NAME,
                files=written,
                source=Source("genome texts read", digest, 0),
                counts=Counts(received=rows, accepted=rows),
                ingested_at=now.isoformat(),
                contract=vocabulary,
            ),
        )
    if is_final or not is_same:
        _remove_but(settings, current(settings), None if is_final else before)
    return not is_same


def _put(settings: Settings, part: Path, rows: int, digest: str) -> tuple[DataFile, ...]:
    relative = layout.motives_file(digest)
    final = settings.lake / relative
    files.commit(part, final)
    return (DataFile(relative, rows, final.stat().st_size, digest),)


def _write(part: Path, pages: Iterable[Sequence[tuple[str, str | None]]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("interaction_id", pa.string()), ("motives", pa.string())])
    rows = 0
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for page in pages:
            ids, motives = zip(*page, strict=True)
            writer.write_table(
                pa.table([pa.array(ids, pa.string()), pa.array(motives, pa.string())], schema=schema)
            )
            rows += len(page)
    return rows


def _remove_but(settings: Settings, *stay: DataFile | None) -> None:
    paths = {settings.lake / each.path for each in stay if each is not None}
    for path in (settings.lake / layout.MOTIVES).glob("*.parquet"):
        if path not in paths:
            path.unlink(missing_ok=True)
