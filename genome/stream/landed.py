"""What of the stream lies in the lake: for the live path, where the stream has let go of it.

A build has seen what had landed when it began: its publication says up to which stream id, for each partition.
What came later is in the stream, in the lake, or in both.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from genome.collector.stream import partition_of
from genome.features import live as layout
from genome.features.joins import THINGS
from genome.lake.layout import INTERACTIONS
from genome.lake.manifest import Manifest, StreamBatch
from genome.settings import Settings
from genome.stream import keys
from genome.stream.epoch import Epoch, microseconds
from genome.stream.evidence import MOTIVE
from genome.stream.items import (
    ACTS,
    LINE_CHANNELS,
    Columns,
    Item,
    add,
    add_motives,
    add_pairs,
    place_act,
)
from genome.vocabulary import CHANNELS, PROPERTY

if TYPE_CHECKING:
    import redis

_COLUMNS: Final = (
    "interaction_id",
    "channel",
    "interaction_type",
    "occurred_at",
    "received_at",
    "session_id",
    "customer_key_type",
    "customer_key",
    "product_id",
    "store_id",
    "quantity",
    "properties",
    "_batch_id",
)
_ROWS: Final = 5_000


def end(settings: Settings, client: "redis.Redis", partition: int, after: bytes) -> bytes:
    """Up to which stream id the lake has to be read: `after`, where the stream holds all that follows it."""
    trimmed: Any = client.get(keys.of_partition(partition, "trimmed"))
    if not trimmed or keys.parsed(trimmed) <= keys.parsed(after):
        return after
    landed = Manifest.read(settings, INTERACTIONS).positions().get(partition, "0-0").encode()
    return max(bytes(trimmed), landed, key=keys.parsed)


def between(
    settings: Settings, partition: int, after: bytes, until: bytes, names: frozenset[str]
) -> Iterator[Columns]:
    """The rows of the lake that came by the stream behind one id, up to another.

    Args:
        settings: where the lake is.
        partition: which.
        after: a build's watermark: the end of a batch.
        until: as `end` says: the end of a batch.
        names: the interaction types that are evidence.
    """
    if keys.parsed(after) >= keys.parsed(until):
        return
    manifest = Manifest.read(settings, INTERACTIONS)
    wanted: set[str] = set()
    for batch in _of_partition(manifest, partition):
        last = keys.parsed(batch.ranges[partition].last.encode())
        if keys.parsed(after) < last <= keys.parsed(until):
            wanted |= {name for name in _names(batch) if _is_after(name, batch, partition, after)}
    yield from _read(settings, manifest, partition, wanted, names, since=None)


def unseen(settings: Settings, partition: int, epoch: Epoch, names: frozenset[str]) -> Iterator[Columns]:
    """Rows that had landed when a build began and that it did not count: their time lay in its future."""
    manifest = Manifest.read(settings, INTERACTIONS)
    watermark = epoch.watermark.get(partition, keys.BEGINNING)
    wanted: set[str] = set()
    for batch in _of_partition(manifest, partition):
        wanted |= {name for name in _names(batch) if not _is_after(name, batch, partition, watermark)}
    yield from _read(settings, manifest, partition, wanted, names, since=epoch.parameters.as_of)


def _of_partition(manifest: Manifest, partition: int) -> list[StreamBatch]:
    return [batch for batch in manifest.stream if partition in batch.ranges]


def _names(batch: StreamBatch) -> set[str]:
    """What rows of a batch call it: batches that were folded into one keep their rows' own names."""
    return {batch.batch_id, *batch.supersedes}


def _is_after(name: str, batch: StreamBatch, partition: int, position: bytes) -> bool:
    """Whether the rows of a name came behind a position, which is the end of a batch."""
    told = batch.ranges[partition]
    if keys.parsed(told.first.encode()) > keys.parsed(position):
        return True
    if keys.parsed(told.last.encode()) <= keys.parsed(position):
        return False
    # Folded across the position: the name says when its first entry came.
    return int(name.split("-")[1]) > keys.parsed(position)[0]


def _read(
    settings: Settings,
    manifest: Manifest,
    partition: int,
    wanted: set[str],
    names: frozenset[str],
    *,
    since: int | None,
) -> Iterator[Columns]:
    """The rows of some batches; with `since` only those that were not available before that instant."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    if not wanted:
        return
    paths = [
        str(settings.lake / path)
        for path, file in manifest.data_files().items()
        if "stream-" in path or "compacted-" in path
        if since is None or _reaches(file.max_occurred_at, file.max_received_at, since)
    ]
    if not paths:
        return
    yield _pairs(settings, manifest, partition, wanted, since)
    interesting = sorted({each.partition(MOTIVE)[0] for each in names} | set(ACTS))
    chosen = pc.field("_batch_id").isin(sorted(wanted)) & pc.field("interaction_type").isin(interesting)
    table = ds.dataset(paths, format="parquet").to_table(columns=list(_COLUMNS), filter=chosen)
    seen: set[str] = set()
    for begin in range(0, len(table), _ROWS):
        rows = table.slice(begin, _ROWS).to_pylist()
        yield _columns(rows, partition, settings.collector_partitions, names, since, seen)


def _pairs(
    settings: Settings, manifest: Manifest, partition: int, wanted: set[str], since: int | None
) -> Columns:
    """On which things people have identified, in some batches."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    made = Columns()
    paths = [str(path) for path in manifest.identifiers() if path.name.startswith(("stream-", "compacted-"))]
    if not paths:
        return made
    columns = ["customer_key_type", "customer_key", "identifier_type", "identifier"]
    things = sorted(THINGS)
    chosen = pc.field("_batch_id").isin(sorted(wanted))
    chosen &= pc.field("identifier_type").isin(things) | pc.field("customer_key_type").isin(things)
    if since is not None:
        instant = datetime.fromtimestamp(since / 1e6, UTC)
        chosen &= (pc.field("occurred_at") >= instant) | (pc.field("received_at") >= instant)
    table = ds.dataset(paths, format="parquet").to_table(columns=columns, filter=chosen)
    for row in table.group_by(columns).aggregate([]).to_pylist():
        kind, key = row["customer_key_type"], row["customer_key"]
        if partition_of(f"{kind}:{key}", settings.collector_partitions) == partition:
            add_pairs(made, kind, key, [(row["identifier_type"], row["identifier"])])
    return made


def _reaches(occurred: str | None, received: str | None, since: int) -> bool:
    times = [datetime.fromisoformat(each) for each in (occurred, received) if each]
    return not times or microseconds(max(times)) >= since


def _columns(
    rows: list[dict[str, Any]],
    partition: int,
    partitions: int,
    names: frozenset[str],
    since: int | None,
    seen: set[str],
) -> Columns:
    made = Columns()
    for row in rows:
        key = f"{row['customer_key_type']}:{row['customer_key']}"
        if partition_of(key, partitions) != partition or row["interaction_id"] in seen:
            continue
        seen.add(row["interaction_id"])
        occurred, received = microseconds(row["occurred_at"]), microseconds(row["received_at"])
        if since is not None and max(occurred, received) < since:
            continue
        said = json.loads(row["properties"] or "{}")
        if PROPERTY in said and row["channel"] in CHANNELS:
            add_motives(made, key, row["interaction_type"], min(occurred, received), said[PROPERTY], names)
        what = ACTS.get(row["interaction_type"])
        at = min(occurred, received)
        if what in ("i", "x"):
            made.acts.setdefault(key, []).append(
                layout.encode_act(
                    place_act(row["interaction_type"], at, row["store_id"], said.get("place_id"))
                )
            )
        elif row["product_id"] is not None:
            has_lines = row["channel"] in LINE_CHANNELS
            order = (said.get("order_id") if has_lines else None) or row["session_id"]
            number = said.get("line_number") if has_lines else None
            item = Item(
                row["interaction_id"],
                row["product_id"],
                None if order is None else str(order),
                int(number) if isinstance(number, int | float) else None,
                row["quantity"] if has_lines else None,
            )
            add(made, key, row["interaction_type"], at, item, names)
    return made
