"""What could not be let in: rows with the reason and their encrypted text, and whole files that were refused.

Rows lie in `lake/quarantine/<channel>/<batch_id>.parquet`, committed by the same manifest entry as the rows
of their file that landed. A refused file has a record in `lake/_manifest/refused/` and its encrypted bytes
beside the rows. Nothing readable is kept: reasons name columns and rules, never values.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genome.errors import UsageError
from genome.lake import files, layout
from genome.lake.manifest import DataFile, Entry, Manifest, Source, committed
from genome.lake.vault import KEY_VERSION, Vault
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_BATCH_ROWS = 20_000


@dataclass(frozen=True)
class Item:
    """Something in quarantine: a row (`pos-1a2b…:17`), or a whole file (`pos-1a2b…`).

    Attributes:
        offset: the record's number within its file, from 1; None for a whole file.
        raw_kind: `json` (the row as a JSON object), `csv` (header and record), `line`, or `file`.
    """

    id: str
    channel: str
    reason: str
    source: str
    offset: int | None
    raw_kind: str
    set_aside_at: str
    batch_id: str


@dataclass(frozen=True)
class Refusal:
    """A file that was refused as a whole."""

    batch_id: str
    channel: str
    source: Source
    what: str
    remedy: str
    contract: str
    refused_at: str
    file: str | None

    def item(self) -> Item:
        """As the list shows it."""
        return Item(
            self.batch_id,
            self.channel,
            self.what,
            self.source.name,
            None,
            "file",
            self.refused_at,
            self.batch_id,
        )


def write(settings: Settings, con: "duckdb.DuckDBPyConnection", query: str, entry: Entry) -> DataFile | None:
    """Write the rows of `query` (`_row, reason, raw_kind, raw`) as the batch's quarantine file, if any."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    vault = Vault(settings)
    relative = layout.quarantine_file(entry.channel, entry.batch_id)
    final = settings.lake / relative
    files.make_folder(final.parent)
    part = files.temporary(final)
    schema = _schema()
    rows = 0
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for batch in con.execute(query).to_arrow_reader(_BATCH_ROWS):
            if batch.num_rows == 0:
                continue
            numbers = batch.column("_row").to_pylist()
            ids = [f"{entry.batch_id}:{number}" for number in numbers]
            raw = batch.column("raw").to_pylist()
            count = batch.num_rows
            columns: dict[str, Any] = {
                "quarantine_id": ids,
                "channel": [entry.channel] * count,
                "reason": batch.column("reason").cast(pa.string()),
                "source": [entry.source.name] * count,
                "source_sha256": [entry.source.sha256] * count,
                "offset": numbers,
                "raw_kind": batch.column("raw_kind").cast(pa.string()),
                # The key is ours and not DuckDB's, so bad rows (and they alone) pass through Python.
                "raw": [vault.seal(text, each) for text, each in zip(raw, ids, strict=True)],
                "_key_version": [KEY_VERSION] * count,
                "_batch_id": [entry.batch_id] * count,
                "_ingested_at": [datetime.fromisoformat(entry.ingested_at)] * count,
            }
            writer.write_table(pa.table(columns, schema=schema))
            rows += count
    if not rows:
        part.unlink()
        return None
    files.commit(part, final)
    return DataFile(relative, rows, final.stat().st_size, files.sha256(final))


def refuse(
    settings: Settings,
    channel: str,
    source: Source,
    *,
    what: str,
    remedy: str,
    contract: str,
    now: datetime,
    content: Path | None,
) -> Refusal:
    """Keep a refused file: its encrypted bytes (where they are ours to keep), then the record of why."""
    batch = layout.batch_id(channel, source.sha256)
    relative = None
    if content is not None:
        relative = layout.refused_file(channel, batch)
        final = settings.lake / relative
        files.make_folder(final.parent)
        part = files.temporary(final)
        with content.open("rb") as plain, part.open("wb") as sealed:
            Vault(settings).seal_file(plain, sealed, batch)
        files.commit(part, final)
    refusal = Refusal(batch, channel, source, what, remedy, contract, now.isoformat(), relative)
    files.write_json(layout.refusals_folder(settings) / f"{batch}.json", asdict(refusal))
    return refusal


def refusal(settings: Settings, batch_id: str) -> Refusal | None:
    """The record of a refused file that has not landed since."""
    path = layout.refusals_folder(settings) / f"{batch_id}.json"
    if not path.is_file():
        return None
    found = _refusal(path)
    landed = any(committed(settings, each, batch_id) for each in (layout.INTERACTIONS, layout.CATALOG))
    return None if landed else found


def release(settings: Settings, batch_id: str) -> None:
    """Forget a refusal whose file has landed."""
    path = layout.refusals_folder(settings) / f"{batch_id}.json"
    if path.is_file():
        found = _refusal(path)
        path.unlink()
        if found.file is not None:
            (settings.lake / found.file).unlink(missing_ok=True)


def open_items(settings: Settings, channel: str | None = None) -> list[Item]:
    """Everything in quarantine that has not landed since: refused files first, then rows in order."""
    import pyarrow.parquet as pq

    folder = layout.refusals_folder(settings)
    refusals = [_refusal(path) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
    items = [
        each.item()
        for each in refusals
        if channel in (None, each.channel) and refusal(settings, each.batch_id) is not None
    ]
    resolved, entries = _batches(settings)
    for entry in entries:
        if entry.quarantine is None or channel not in (None, entry.channel):
            continue
        # Read by its handle: a folder named like `x=y` on the way would add a column.
        with (settings.lake / entry.quarantine.path).open("rb") as file:
            table = pq.read_table(file, columns=["quarantine_id", "reason", "offset", "raw_kind"])
        items += [
            Item(
                row["quarantine_id"],
                entry.channel,
                row["reason"],
                entry.source.name,
                row["offset"],
                row["raw_kind"],
                entry.ingested_at,
                entry.batch_id,
            )
            for row in table.to_pylist()
            if row["quarantine_id"] not in resolved
        ]
    return items


def find(settings: Settings, item_id: str) -> tuple[Item, bool]:
    """One item, and whether it is still open (False: it has landed since).

    Raises:
        UsageError: when nothing of that name was ever set aside.
    """
    batch, _, number = item_id.partition(":")
    if not number:
        found = refusal(settings, batch)
        if found is not None:
            return found.item(), True
    resolved, entries = _batches(settings)
    for entry in entries:
        if entry.batch_id == batch and entry.quarantine is not None:
            for item, _ in rows(settings, entry, {item_id}):
                return item, item_id not in resolved
        if entry.batch_id == batch and not number:
            return Item(
                batch,
                entry.channel,
                "it has landed",
                entry.source.name,
                None,
                "file",
                entry.ingested_at,
                batch,
            ), False
    raise UsageError(
        f"Nothing in quarantine is called '{item_id}'.", "`genome quarantine list` shows what is there."
    )


def rows(settings: Settings, entry: Entry, ids: set[str]) -> Iterator[tuple[Item, bytes]]:
    """Some rows of a batch with their text, decrypted."""
    import pyarrow.parquet as pq

    if entry.quarantine is None:
        return
    vault = Vault(settings)
    with (settings.lake / entry.quarantine.path).open("rb") as file:
        table = pq.read_table(file, columns=["quarantine_id", "reason", "offset", "raw_kind", "raw"])
    for row in table.to_pylist():
        if row["quarantine_id"] in ids:
            item = Item(
                row["quarantine_id"],
                entry.channel,
                row["reason"],
                entry.source.name,
                row["offset"],
                row["raw_kind"],
                entry.ingested_at,
                entry.batch_id,
            )
            yield item, vault.open(row["raw"], item.id)


def raw(settings: Settings, item: Item) -> bytes:
    """The decrypted text of a row, or of a whole file (empty where its bytes were not ours to keep)."""
    import io

    if item.raw_kind == "file":
        found = refusal(settings, item.batch_id)
        if found is None or found.file is None:
            return b""
        opened = io.BytesIO()
        with (settings.lake / found.file).open("rb") as sealed:
            Vault(settings).open_file(sealed, opened, item.batch_id)
        return opened.getvalue()
    _, entries = _batches(settings)
    entry = next(each for each in entries if each.batch_id == item.batch_id)
    return next(content for _, content in rows(settings, entry, {item.id}))


def entry_of(settings: Settings, batch_id: str) -> Entry:
    """The committed batch whose rows these are."""
    _, entries = _batches(settings)
    return next(each for each in entries if each.batch_id == batch_id)


def _batches(settings: Settings) -> tuple[set[str], list[Entry]]:
    """The rows that have landed since, and every batch."""
    entries: list[Entry] = []
    for dataset in (layout.INTERACTIONS, layout.CATALOG):
        entries += Manifest.read(settings, dataset).entries
    return _resolved(entries), entries


def _resolved(entries: Iterable[Entry]) -> set[str]:
    return {item for entry in entries for item in entry.resolves}


def _refusal(path: Path) -> Refusal:
    document = files.read_json(path)
    return Refusal(**(document | {"source": Source(**document["source"])}))


def _schema() -> "pa.Schema":
    import pyarrow as pa

    types = {
        "VARCHAR": pa.string(),
        "BIGINT": pa.int64(),
        "INTEGER": pa.int32(),
        "BLOB": pa.binary(),
        "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    }
    return pa.schema([(column, types[kind]) for column, kind in layout.QUARANTINE_COLUMNS.items()])
