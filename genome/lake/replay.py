"""Quarantine's way back: after a fix, rows and files go through the contract again, and land once.

A row that lands is named by the `resolves` of the batch that landed it, so a second replay finds nothing left
to do; and its id comes from its natural key, so even a replay that was killed half-way cannot land it twice.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from genome import clock
from genome.channels import connector as find_connector
from genome.channels.contract import Connector
from genome.lake import files, ingest, layout, quarantine, sources
from genome.lake.quarantine import Item
from genome.lake.sources import RefusedError, Snapshot
from genome.lake.vault import Vault
from genome.settings import Settings


@dataclass
class ReplayReport:
    """What became of the items that were tried again.

    Attributes:
        items: how many were tried (a file is one).
        accepted: rows that landed.
        duplicate: rows whose like was in the lake already.
        still: items that failed again -> why.
        done: items named in the call that had landed before.
    """

    items: int = 0
    accepted: int = 0
    duplicate: int = 0
    still: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "items": self.items,
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "still_quarantined": dict(self.still),
            "landed_before": list(self.done),
        }


def replay(settings: Settings, ids: Sequence[str] = ()) -> ReplayReport:
    """Try quarantined rows and refused files again.

    Args:
        settings: where the lake is.
        ids: which; none takes everything that waits.

    Raises:
        UsageError: for an id that was never set aside.
    """
    report = ReplayReport()
    if ids:
        items = []
        for item, is_open in (quarantine.find(settings, each) for each in dict.fromkeys(ids)):
            if is_open:
                items.append(item)
            else:
                report.done.append(item.id)
    else:
        items = quarantine.open_items(settings)
    report.items = len(items)
    for channel in sorted({item.channel for item in items}):
        connector = find_connector(channel)
        now = clock.now(settings)
        with files.exclusive(layout.lock_file(settings, channel)):
            # Looked up again now that nobody else lands: a row must not be resolved twice.
            waiting = {item.id for item in quarantine.open_items(settings, channel)}
            mine = [item for item in items if item.id in waiting]
            report.done += [item.id for item in items if item.channel == channel and item.id not in waiting]
            for item in mine:
                if item.raw_kind == "file":
                    _file(settings, connector.of(item.source), item, now, report)
            for stream in connector.streams:
                for kind in ("json", "csv", "line"):
                    rows = [
                        item for item in mine if item.raw_kind == kind and connector.of(item.source) is stream
                    ]
                    if rows:
                        _rows(settings, stream, rows, now, report)
            shutil.rmtree(layout.work_folder(settings, channel), ignore_errors=True)
    return report


def _work(settings: Settings, connector: Connector) -> Path:
    work = layout.work_folder(settings, connector.name)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, mode=0o700)
    return work


def _file(settings: Settings, connector: Connector, item: Item, now: datetime, report: ReplayReport) -> None:
    """Land a refused file under the name and the hash it came with."""
    refusal = quarantine.refusal(settings, item.batch_id)
    if refusal is None or refusal.file is None:
        report.done.append(item.id)
        return
    work = _work(settings, connector)
    original = work / "original"
    with (settings.lake / refusal.file).open("rb") as sealed, original.open("wb") as plain:
        Vault(settings).open_file(sealed, plain, refusal.batch_id)
    source = refusal.source
    snapshot = Snapshot(source.name, source.sha256, source.bytes, original, original)
    try:
        plain_copy = sources.unpack(snapshot, work)
        outcome = ingest.land(settings, connector, plain_copy, refusal.batch_id, work=work, now=now)
    except RefusedError as error:
        report.still[item.id] = str(error)
        return
    quarantine.release(settings, refusal.batch_id)
    report.accepted += outcome.counts.accepted
    report.duplicate += outcome.counts.duplicate


def _rows(
    settings: Settings, connector: Connector, items: list[Item], now: datetime, report: ReplayReport
) -> None:
    """Land rows that were set aside, each kind of text as one file of the format it came in."""
    wanted = {item.id for item in items}
    texts: dict[str, bytes] = {}
    for batch in sorted({item.batch_id for item in items}):
        entry = quarantine.entry_of(settings, batch)
        texts |= {item.id: content for item, content in quarantine.rows(settings, entry, wanted)}
    kind = items[0].raw_kind
    if kind == "csv":
        # Header and record; rows under one header make one file.
        groups: dict[bytes, dict[str, bytes]] = {}
        for each, content in texts.items():
            header, _, record = content.partition(b"\n")
            groups.setdefault(header.rstrip(b"\r") + b"\n", {})[each] = record
    else:
        groups = {b"": texts}
    for header, members in groups.items():
        _group(settings, connector, header, members, kind=kind, now=now, report=report)


def _group(
    settings: Settings,
    connector: Connector,
    header: bytes,
    members: dict[str, bytes],
    *,
    kind: str,
    now: datetime,
    report: ReplayReport,
) -> None:
    ids = list(members)
    content = header + b"".join(record.rstrip(b"\r\n") + b"\n" for record in members.values())
    names = "\n".join(ids)
    digest = hashlib.sha256(f"replay\n{connector.fingerprint}\n{names}".encode()).hexdigest()
    work = _work(settings, connector)
    original = work / "original"
    original.write_bytes(content)
    suffix = "csv" if kind == "csv" else "jsonl"
    snapshot = Snapshot(f"replay.{suffix}", digest, len(content), original, original)
    batch = layout.batch_id(connector.name, digest)
    try:
        outcome = ingest.land(
            settings,
            connector,
            snapshot,
            batch,
            work=work,
            now=now,
            replays=ids,
            # Rows kept as JSON objects are UTF-8 whatever their file was.
            encoding="utf-8" if kind == "json" else None,
        )
    except RefusedError as error:
        report.still |= dict.fromkeys(ids, str(error))
        return
    report.accepted += outcome.counts.accepted
    report.duplicate += outcome.counts.duplicate
    report.still |= outcome.failing
