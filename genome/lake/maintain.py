"""What keeps the lake in order while everybody reads and writes it.

Small files of a channel and month are put together; documents of landed batches are folded into one; rows
past their retention leave; the stream is trimmed; what killed processes left is cleared. Every step is a
document that appears whole (`manifest.py`), and a file that was replaced stays for `lake_grace_hours`: a
reader that looked before goes on with the old files, one that looks after finds the new ones, and each finds
every row once. A run that is killed at any point is finished by the next.
"""

import hashlib
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from genome import clock
from genome.errors import GenomeError
from genome.identity.texts import Texts
from genome.identity.vault import Vault
from genome.lake import files, layout, manifest
from genome.lake.compiler import text
from genome.lake.manifest import Compaction, Counts, DataFile, Entry, Manifest, Range, Source, StreamBatch
from genome.settings import Settings

_PLACE: Final = re.compile(r"^(?:interactions|identifiers)/channel=([a-z0-9_]+)/month=(\d{4,}-\d{2})/")
_KINDS: Final = (layout.INTERACTIONS, layout.IDENTIFIERS)


@dataclass(frozen=True)
class MaintainReport:
    """What one run did.

    Attributes:
        compacted: small files that were put together.
        made: files they became.
        rows: rows in them.
        retired: rows of interactions that left because they were too old.
        folded: documents of landed batches that became one.
        removed: files that nobody reads any more and that are gone now, leftovers of killed runs included.
        trimmed: entries that left the event stream.
    """

    compacted: int = 0
    made: int = 0
    rows: int = 0
    retired: int = 0
    folded: int = 0
    removed: int = 0
    trimmed: int = 0

    def summary(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def maintain(settings: Settings) -> MaintainReport:
    """Do all of it, one run at a time."""
    with files.exclusive(layout.lock_file(settings, "maintain")):
        shutil.rmtree(_work(settings), ignore_errors=True)
        _forget_superseded(settings)
        retired = _retire(settings)
        compacted, made, rows = _compact(settings)
        folded = _fold(settings)
        return MaintainReport(
            compacted, made, rows, retired, folded, removed=_remove(settings), trimmed=_trim(settings)
        )


# Putting together


def _compact(settings: Settings) -> tuple[int, int, int]:
    found = Manifest.read(settings, layout.INTERACTIONS)
    compacted = made = rows = 0
    for kind in _KINDS:
        for channel, month, small in _small(settings, found, kind):
            compaction = _put_together(settings, found, kind, channel, month, small)
            manifest.commit_compaction(settings, layout.INTERACTIONS, compaction)
            manifest.forget(settings, layout.INTERACTIONS, compaction.supersedes)
            compacted += len(small)
            made += len(compaction.files)
            rows += sum(each.rows for each in compaction.files)
            found = Manifest.read(settings, layout.INTERACTIONS)
    return compacted, made, rows


def _small(settings: Settings, found: Manifest, kind: str) -> list[tuple[str, str, list[DataFile]]]:
    """Channels and months with enough small files, and those files."""
    limit = settings.lake_compact_mb * 1_000_000
    groups: dict[tuple[str, str], list[DataFile]] = defaultdict(list)
    for path, each in sorted(found.data_files(kind_of=kind).items()):
        place = _PLACE.match(path)
        if place is not None and each.bytes < limit:
            groups[(place[1], place[2])].append(each)
    chosen = []
    for (channel, month), group in sorted(groups.items()):
        size, together = 0, []
        # The smallest first: what is put together stays below the limit, so the next run can add to it.
        for each in sorted(group, key=lambda one: (one.bytes, one.path)):
            if size + each.bytes <= limit:
                size += each.bytes
                together.append(each)
        if len(together) >= settings.lake_compact_files:
            chosen.append((channel, month, together))
    return chosen


def _put_together(
    settings: Settings, found: Manifest, kind: str, channel: str, month: str, small: list[DataFile]
) -> Compaction:
    import duckdb

    paths = sorted(each.path for each in small)
    name = "compacted-" + hashlib.sha256("\n".join(paths).encode()).hexdigest()[:20]
    place = layout.interactions_file if kind == layout.INTERACTIONS else layout.identifiers_file
    relative = place(channel, month, name)
    work = _work(settings)
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = work / f"{name}.parquet"
    listed = ", ".join(text(str(settings.lake / path)) for path in paths)
    read = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    further = ", identifier_type, identifier" if kind == layout.IDENTIFIERS else ""
    with duckdb.connect(":memory:") as con:
        con.execute(f"SET temp_directory = {text(str(work / 'spill'))}")
        con.execute(f"SET memory_limit = {text(settings.memory_limit)}")
        con.execute(f"SET threads = {settings.threads}")
        con.execute("SET TimeZone = 'UTC'")
        con.execute(
            # Sorted as a batch is, so that a reader of few customers skips the rest.
            f"COPY (FROM {read} ORDER BY customer_key, occurred_at, interaction_id{further}, _batch_id) "
            f"TO {text(str(part))} (FORMAT parquet, COMPRESSION zstd)"
        )
        whole = f"read_parquet({text(str(part))}, hive_partitioning = false)"
        [(rows,)] = con.execute(f"SELECT count(*) FROM {whole}").fetchall()
    if rows != sum(each.rows for each in small):
        raise GenomeError(
            f"{len(small)} files of {channel} {month} hold {rows} rows together, not "
            f"{sum(each.rows for each in small)} as the manifest says.",
            "Something else changed them: restore the lake from a backup.",
        )
    final = settings.lake / relative
    digest, size = files.sha256(part), part.stat().st_size
    files.make_folder(final.parent)
    files.commit(part, final)
    return _standing_for(
        found,
        name,
        channel,
        kind,
        (
            DataFile(
                relative,
                rows,
                size,
                digest,
                _least(each.min_occurred_at for each in small),
                _most(each.max_occurred_at for each in small),
                _most(each.max_received_at for each in small),
            ),
        ),
        paths,
    )


def _standing_for(
    found: Manifest, name: str, channel: str, kind: str, made: tuple[DataFile, ...], paths: list[str]
) -> Compaction:
    """The document by which files stand in for others, and take over the part of earlier stand-ins."""
    now = datetime.now(UTC).isoformat()
    replaces = dict.fromkeys(paths, now)
    former = [
        each
        for each in found.compactions
        if each.kind_of == kind
        and each.channel == channel
        and each.files
        and {one.path for one in each.files} <= set(paths)
    ]
    listed = {one.path for entry in found.entries for one in (*entry.files, *entry.identifiers)}
    for each in former:
        # Since when each was replaced stays: with the time of now, no file would ever be old enough to go.
        replaces |= {
            path: since
            for path, since in each.replaces.items()
            if path in listed or (found.lake / path).exists()
        }
    return Compaction(
        name, channel, kind, made, replaces, tuple(sorted(each.compaction_id for each in former))
    )


def _least(times: Any) -> str | None:
    return min((each for each in times if each), key=datetime.fromisoformat, default=None)


def _most(times: Any) -> str | None:
    return max((each for each in times if each), key=datetime.fromisoformat, default=None)


# Letting go


def _retire(settings: Settings) -> int:
    """Months that ended longer ago than the retention leave the lake, by channel; their texts leave the vault."""
    if settings.lake_retention_days is None:
        return 0
    limit = clock.now(settings) - timedelta(days=settings.lake_retention_days)
    found = Manifest.read(settings, layout.INTERACTIONS)
    rows = 0
    for kind in _KINDS:
        old: dict[str, list[DataFile]] = defaultdict(list)
        for path, each in sorted(found.data_files(kind_of=kind).items()):
            place = _PLACE.match(path)
            if place is not None and place[2] < f"{limit:%Y-%m}":
                old[place[1]].append(each)
        for channel, group in sorted(old.items()):
            paths = [each.path for each in group]
            name = "retired-" + hashlib.sha256("\n".join([kind, *paths]).encode()).hexdigest()[:20]
            compaction = _standing_for(found, name, channel, kind, (), paths)
            manifest.commit_compaction(settings, layout.INTERACTIONS, compaction)
            manifest.forget(settings, layout.INTERACTIONS, compaction.supersedes)
            rows += sum(each.rows for each in group) if kind == layout.INTERACTIONS else 0
    if settings.identity_vault.is_file():
        vault = Vault(settings)
        Texts(vault).forget_before(limit.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
        vault.close()
    return rows


def _fold(settings: Settings) -> int:
    """Documents of landed batches whose rows lie in compacted files become one: what they counted stays."""
    found = Manifest.read(settings, layout.INTERACTIONS)
    replaced = {path for each in found.compactions for path in each.replaces}
    done = [
        batch
        for batch in found.stream
        if all(one.path in replaced for entry in batch.entries for one in (*entry.files, *entry.identifiers))
    ]
    if len(done) < 2:
        return 0
    names = sorted(batch.batch_id for batch in done)
    name = layout.STREAM_BATCH + "folded-" + hashlib.sha256("\n".join(names).encode()).hexdigest()[:20]
    folded = StreamBatch(
        name,
        _ranges(done),
        _sources(done),
        _entries(done, name),
        landed_at=max(batch.landed_at for batch in done),
        replays=tuple(sorted(each for batch in done for each in batch.replays)),
        supersedes=_names(done),
    )
    manifest.commit_stream(settings, folded)
    manifest.forget(settings, layout.INTERACTIONS, names)
    return len(names)


_NAMES_STAY: Final = timedelta(days=7)


def _names(batches: list[StreamBatch]) -> tuple[str, ...]:
    """What a folded batch stands for, and the names that its latest rows have as `_batch_id`.

    Who has to know which rows came after a build (genome/stream/landed.py) tells them by those. A batch's name
    begins with the time of its first entry.
    """
    inherited = {name for batch in batches for name in batch.supersedes}
    ends = (int(each.last.partition("-")[0]) for batch in batches for each in batch.ranges.values())
    newest = max(ends, default=0)
    since = newest - _NAMES_STAY // timedelta(milliseconds=1)
    return tuple(
        sorted(
            {batch.batch_id for batch in batches}
            | {
                name
                for name in inherited
                if (name.split("-")[1:2] or [""])[0].isdigit() and int(name.split("-")[1]) >= since
            }
        )
    )


def _ranges(batches: list[StreamBatch]) -> Mapping[int, Range]:
    ranges: dict[int, Range] = {}
    for batch in batches:
        for number, each in batch.ranges.items():
            known = ranges.get(number, Range(each.first, each.last, 0))
            ranges[number] = Range(
                min(known.first, each.first, key=manifest.order),
                max(known.last, each.last, key=manifest.order),
                known.count + each.count,
            )
    return ranges


def _sources(batches: list[StreamBatch]) -> Mapping[str, tuple[int, int]]:
    sources: dict[str, tuple[int, int]] = {}
    for batch in batches:
        for name, (events, rows) in batch.sources.items():
            known = sources.get(name, (0, 0))
            sources[name] = (known[0] + events, known[1] + rows)
    return sources


def _entries(batches: list[StreamBatch], name: str) -> tuple[Entry, ...]:
    by_channel: dict[str, list[Entry]] = defaultdict(list)
    for batch in batches:
        for entry in batch.entries:
            by_channel[entry.channel].append(entry)
    return tuple(
        Entry(
            batch_id=f"{name}-{channel}",
            dataset=layout.INTERACTIONS,
            channel=channel,
            files=(),
            source=Source("stream", "", 0),
            counts=sum((entry.counts for entry in entries), Counts()),
            ingested_at=max(entry.ingested_at for entry in entries),
            contract=entries[-1].contract,
        )
        for channel, entries in sorted(by_channel.items())
    )


def _remove(settings: Settings) -> int:
    """Files that nobody reads: replaced long enough ago, or left by a killed run and as old."""
    found = Manifest.read(settings, layout.INTERACTIONS)
    read = {path for kind in _KINDS for path in found.data_files(kind_of=kind)}
    since = {path: at for each in found.compactions for path, at in each.replaces.items()}
    now = time.time()
    grace = settings.lake_grace_hours * 3600
    removed = 0
    for kind in _KINDS:
        folder = settings.lake / kind
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            relative = str(path.relative_to(settings.lake))
            if not path.is_file() or relative in read:
                continue
            known = since.get(relative)
            # A file without a document may be a batch that is being written now: its age tells them apart.
            at = datetime.fromisoformat(known).timestamp() if known else path.stat().st_mtime
            patience = grace if known else max(grace, _WRITING_SECONDS)
            if now - at > patience:
                path.unlink(missing_ok=True)
                removed += 1
    return removed + _remove_work(settings, now)


_WRITING_SECONDS: Final = 3600.0
"""No batch takes so long from its first file to its document."""


def _remove_work(settings: Settings, now: float) -> int:
    folder = layout.work_folder(settings, "stream")
    left = [
        each
        for each in (folder.iterdir() if folder.is_dir() else ())
        if now - each.stat().st_mtime > _WRITING_SECONDS
    ]
    for each in left:
        shutil.rmtree(each, ignore_errors=True)
    return len(left)


def _forget_superseded(settings: Settings) -> None:
    """A run that died after its document and before it tidied up left the documents that it stands for."""
    folder = layout.manifest_folder(settings, layout.INTERACTIONS)
    paths = {path.stem: path for path in folder.glob("*.json")} if folder.is_dir() else {}
    gone: set[str] = set()
    for path in paths.values():
        gone |= paths.keys() & set(files.read_json(path).get("supersedes", ()))
    manifest.forget(settings, layout.INTERACTIONS, sorted(gone))


def _trim(settings: Settings) -> int:
    from redis.exceptions import RedisError

    from genome.stores import valkey
    from genome.stream.land import NAME
    from genome.stream.trim import trim

    if settings.events_url is None and not (settings.valkey / "events").exists():
        return 0  # no event ever came live
    landed = Manifest.read(settings, layout.INTERACTIONS).positions()
    try:
        with valkey.connect(settings, "events", start=False) as client:
            return trim(settings, client, landed, land=NAME)
    except (RedisError, OSError):
        return 0  # it is down: `land` trims when it is back


def _work(settings: Settings) -> Path:
    return layout.work_folder(settings, "maintain")
