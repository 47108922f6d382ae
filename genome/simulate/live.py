"""Plays the SDKs: sends what a mall kept for its collector, in the disorder in which it would arrive.

Late rows and skewed clocks are in the data already (and are counted here); doubled ones come from phones
that resend and from batches sent again although they had arrived, as after an answer that was lost. Some
messages name nobody, some carry a refused consent: what a collector must quarantine and suppress.
"""

import asyncio
import gzip
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, Field

from genome.errors import GenomeError, UsageError
from genome.simulate.calendar import HOUR
from genome.simulate.sink import LIVE_FOLDER
from genome.simulate.tables import LIVE

LEDGER = "sent.parquet"
PATH = "/v1/batch"
COMMON = ("event_id", "ping_id", "event", "timestamp", "occurred_at", "sent_at", "received_at")
PEOPLE = ("anonymous_id", "user_id", "device_id", "wifi_hash")
AROUND = ("seller_id", "session_id")
"""Said in the context, not among the properties."""
LATE = HOUR
SKEWED = HOUR // 2


class LiveOptions(BaseModel):
    """How to send."""

    url: str = Field(description="the collector's address; /v1/batch is added")
    write_key: str = "mall"
    write_keys: dict[str, str] = Field(
        {}, description="of each channel that has its own; the others: write_key"
    )
    rate: float = Field(500.0, gt=0, description="events a second")
    batch: int = Field(50, ge=1, le=500, description="the largest batch")
    connections: int = Field(4, ge=1, le=64)
    resent: float = Field(0.01, ge=0, le=0.5, description="batches sent again although they were accepted")
    nameless: float = Field(0.002, ge=0, le=0.5, description="messages that name nobody: to be quarantined")
    refused: float = Field(
        0.005, ge=0, le=0.5, description="messages whose context refuses `consent_category`: to be suppressed"
    )
    consent_category: str = "analytics"
    attempts: int = Field(8, ge=1, description="tries of a batch before it is given up")
    compress: bool = True
    keep_times: bool = Field(
        False, description="send the mall's own instants; else they are moved to the present"
    )
    limit: int | None = Field(None, ge=1)
    seed: int = 1
    timeout: float = 30.0

    def key_of(self, channel: str) -> str:
        """The write key with which a channel's client sends."""
        return self.write_keys.get(channel, self.write_key)


class Expected(BaseModel):
    """What a collector's ledger of one channel must say: received is the sum of the others."""

    received: int = 0
    accepted: int = 0
    quarantined: int = 0
    suppressed: int = 0
    duplicate: int = 0


class Sent(BaseModel):
    """What was sent, exactly: the collector's ledger must agree."""

    events: int
    """Different messages (by messageId) that were accepted."""
    messages: int
    """Messages in accepted batches, doubled ones counted each time."""
    doubled: int
    """messages − events: sent more than once."""
    nameless: int
    """Messages without anybody's identifier, doubled ones counted each time."""
    refused: int
    """Messages whose consent context refuses them, doubled ones counted each time."""
    expected: dict[str, Expected]
    """The collector's ledger by channel, when nothing was lost on the way (uncertain = 0)."""
    batches: int
    resent_batches: int
    retries: int
    """Tries again after a refusal or a broken connection; such a batch may have arrived, too."""
    uncertain: int
    """Messages of batches that a broken connection may have delivered besides."""
    rejected: int
    """Messages in batches refused for good (4xx)."""
    lost: int
    """Messages in batches given up after the last try."""
    late: int
    skewed: int
    by_channel: dict[str, int]
    by_event: dict[str, int]
    seconds: float
    rate: float
    ledger: str


GOOD, NAMELESS, REFUSED = range(3)
"""What is the matter with a message."""


@dataclass(frozen=True)
class _Batch:
    """What one client sends at once.

    Attributes:
        channel: of the client.
        rows: the mall's rows.
        faults: of each row, what is the matter with it.
        shifts: of each row, seconds added to its instants.
        is_sent_twice: although it arrives, it is sent again.
    """

    channel: str
    rows: list[dict[str, Any]]
    faults: list[int]
    shifts: list[float]
    is_sent_twice: bool


Progress = Callable[[int, int], None]


@dataclass
class _Tally:
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    expected: dict[str, Expected] = field(default_factory=dict)
    messages: int = 0
    batches: int = 0
    resent: int = 0
    retries: int = 0
    uncertain: int = 0
    rejected: int = 0
    lost: int = 0

    def book(self, batch: _Batch, ids: list[str]) -> None:
        """A batch was accepted."""
        counts = self.expected.setdefault(batch.channel, Expected())
        counts.received += len(ids)
        counts.quarantined += batch.faults.count(NAMELESS)
        counts.suppressed += batch.faults.count(REFUSED)
        for identifier, fault in zip(ids, batch.faults, strict=True):
            if fault == GOOD:
                counts.duplicate += identifier in self.accepted
                counts.accepted += identifier not in self.accepted
            self.accepted[identifier] += 1
        self.messages += len(ids)


def send(out: Path, options: LiveOptions, progress: Progress | None = None) -> Sent:
    """Send everything a mall kept for its collector.

    Raises:
        UsageError: the mall kept nothing (it was made without --live-days).
        GenomeError: not one batch was accepted.
    """
    rows = _spool(out)
    if options.limit:
        rows = rows.slice(0, options.limit)
    tally = _Tally()
    begun = time.monotonic()
    asyncio.run(_send(rows, options, tally, progress))
    seconds = time.monotonic() - begun
    if not tally.accepted and len(rows):
        raise GenomeError(
            f"{options.url}{PATH} accepted nothing ({tally.rejected} messages refused, {tally.lost} lost).",
            "Check the address, the write key, and whether the collector is up.",
        )
    return _result(out, rows, tally, seconds)


def _spool(out: Path) -> pa.Table:
    """All rows kept, as one table in the order of their arrival."""
    tables = []
    for channel in LIVE:
        for path in sorted((out / LIVE_FOLDER).glob(f"{channel}-part-*.parquet")):
            table = pq.read_table(path)
            names = {"ping_id": "event_id", "timestamp": "occurred_at"}
            table = table.rename_columns([names.get(name, name) for name in table.column_names])
            tables.append(table.append_column("channel", pa.repeat(channel, len(table))))
    if not tables:
        raise UsageError(
            f"{out / LIVE_FOLDER} holds nothing to send.", "Make the mall with --live-days 1 or --live URL."
        )
    whole = pa.concat_tables(tables, promote_options="default")
    return whole.sort_by([("received_at", "ascending"), ("event_id", "ascending")])


def _batches(rows: pa.Table, options: LiveOptions, begun: float) -> Iterator[_Batch]:
    """Batches of one client each, in the order of arrival; sizes vary as real clients' do.

    Args:
        rows: all rows; those that are sent twice lie side by side.
        options: how to send.
        begun: the present, in seconds since 1970.
    """
    random = np.random.default_rng(np.random.SeedSequence(options.seed, spawn_key=(0x11FE,)))
    places = np.arange(len(rows))
    ids = rows["event_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    # Both copies of a doubled row are one message: alike to the byte, whenever each is sent.
    first = np.maximum.accumulate(np.where(np.diff(ids, prepend=-1) != 0, places, 0))
    draw = random.random(len(rows))[first]
    fault = np.where(
        draw < options.nameless, NAMELESS, np.where(draw < options.nameless + options.refused, REFUSED, GOOD)
    )
    received = rows["received_at"].cast(pa.int64()).to_numpy() / 1000
    # Each row arrives now: what remains of its delay and of its clock's error is what the mall gave it.
    shift = np.zeros(len(rows)) if options.keep_times else begun + first / options.rate - received
    begin = 0
    while begin < len(rows):
        size = int(random.integers(1, options.batch + 1))
        part, here = rows.slice(begin, size), slice(begin, begin + size)
        begin += size
        channels = np.asarray(part["channel"].to_pylist())
        for channel in LIVE:
            own = np.flatnonzero(channels == channel)
            if len(own):
                yield _Batch(
                    channel,
                    part.take(pa.array(own)).to_pylist(),
                    fault[here][own].tolist(),
                    shift[here][own].tolist(),
                    bool(random.random() < options.resent),
                )


def message(
    row: dict[str, Any], shift: float, fault: int = GOOD, category: str = "analytics"
) -> dict[str, Any]:
    """A row as a Segment `track` call.

    A person who is not logged in has an anonymousId alone; a phone's is its device. A line of an order is an
    order of one product, as the specification lists them.

    Args:
        row: of the mall.
        shift: seconds added to its instants.
        fault: what is the matter with it.
        category: the consent category that a refusal names.
    """
    apart = {*COMMON, *PEOPLE, *AROUND, "channel"}
    properties = {name: value for name, value in row.items() if value is not None and name not in apart}
    if row["event"] == "Order Completed":
        names = ("product_id", "quantity", "price")
        properties["products"] = [{name: properties.pop(name) for name in names if name in properties}]
    context: dict[str, Any] = {
        "channel": row["channel"],
        "library": {"name": "genome-mall", "version": "1"},
    }
    if row.get("device_id"):
        context["device"] = {"id": row["device_id"], "type": row.get("os")}
    if row.get("timezone"):
        context["timezone"] = row["timezone"]
    for name, said in (("session_id", "sessionId"), ("seller_id", "sellerId")):
        if row.get(name):
            context[said] = row[name]
    if fault == REFUSED:
        context["consent"] = {"categoryPreferences": {category: False}}
    call = {
        "type": "track",
        "event": row["event"],
        "messageId": row["event_id"],
        "anonymousId": row.get("anonymous_id") or row.get("device_id") or row.get("wifi_hash"),
        "timestamp": _moved(row["occurred_at"], shift),
        "sentAt": _moved(row.get("sent_at") or row["occurred_at"], shift),
        "properties": properties,
        "context": context,
    }
    if row.get("user_id"):
        call["userId"] = row["user_id"]
    if fault == NAMELESS:
        call |= {"anonymousId": None, "userId": None}
    return call


def _moved(instant: datetime, shift: float) -> str:
    moved = datetime.fromtimestamp(instant.timestamp() + shift, UTC)
    return moved.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _send(rows: pa.Table, options: LiveOptions, tally: _Tally, progress: Progress | None) -> None:
    queue: asyncio.Queue[_Batch | None] = asyncio.Queue(maxsize=2 * options.connections)
    limits = httpx.Limits(max_connections=options.connections, max_keepalive_connections=options.connections)
    async with httpx.AsyncClient(base_url=options.url, limits=limits, timeout=options.timeout) as client:
        workers = [
            asyncio.create_task(_worker(client, queue, options, tally)) for _ in range(options.connections)
        ]
        begun = time.monotonic()
        put = 0
        for batch in _batches(rows, options, time.time()):
            # The pace is kept by the clock, not by pauses: a slow answer does not slow the next batches down.
            wait = begun + put / options.rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            await queue.put(batch)
            put += len(batch.rows)
            if batch.is_sent_twice:
                tally.resent += 1
                await queue.put(batch)
            if progress:
                progress(put, len(rows))
        for _ in workers:
            await queue.put(None)
        await asyncio.gather(*workers)


async def _worker(
    client: httpx.AsyncClient,
    queue: "asyncio.Queue[_Batch | None]",
    options: LiveOptions,
    tally: _Tally,
) -> None:
    while (batch := await queue.get()) is not None:
        await _deliver(client, batch, options, tally)


async def _deliver(client: httpx.AsyncClient, batch: _Batch, options: LiveOptions, tally: _Tally) -> None:
    last = batch.rows[-1]
    sent_at = _moved(last.get("sent_at") or last["occurred_at"], batch.shifts[-1])
    calls = [
        message(row, shift, fault, options.consent_category)
        for row, shift, fault in zip(batch.rows, batch.shifts, batch.faults, strict=True)
    ]
    body = orjson.dumps({"batch": calls, "sentAt": sent_at})
    headers = {"content-type": "application/json"}
    if options.compress:
        body = gzip.compress(body, compresslevel=1, mtime=0)
        headers["content-encoding"] = "gzip"
    auth = (options.key_of(batch.channel), "")
    ids = [row["event_id"] for row in batch.rows]
    for attempt in range(options.attempts):
        if attempt:
            tally.retries += 1
        pause = min(5.0, 0.1 * 2**attempt)
        try:
            answer = await client.post(PATH, content=body, headers=headers, auth=auth)
        except httpx.TransportError as error:
            # Nothing was sent when no connection came about; else it may have arrived.
            tally.uncertain += 0 if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else len(ids)
            await asyncio.sleep(pause)
            continue
        if answer.status_code == 200:
            tally.book(batch, ids)
            tally.batches += 1
            return
        if answer.status_code < 500 and answer.status_code not in (408, 429):
            tally.rejected += len(ids)
            tally.refused.update(ids)
            return
        after = answer.headers.get("retry-after", "")
        await asyncio.sleep(float(after) if after.replace(".", "", 1).isdigit() else pause)
    tally.lost += len(ids)
    tally.refused.update(ids)


def _result(out: Path, rows: pa.Table, tally: _Tally, seconds: float) -> Sent:
    ids = rows["event_id"].to_pylist()
    first = {identifier: number for number, identifier in reversed(list(enumerate(ids)))}
    unique = rows.take(pa.array(sorted(first.values()), pa.int64()))
    accepted = pa.array([tally.accepted[each] for each in unique["event_id"].to_pylist()], pa.int64())
    ledger = pa.table(
        {
            "message_id": unique["event_id"],
            "channel": unique["channel"],
            "event": unique["event"],
            "accepted": accepted,
            "refused": pa.array([tally.refused[each] for each in unique["event_id"].to_pylist()], pa.int64()),
        }
    )
    path = out / LIVE_FOLDER / LEDGER
    pq.write_table(ledger, path)
    got = unique.filter(pc.greater(accepted, 0))
    occurred, received = (got[name].cast(pa.int64()).to_numpy() for name in ("occurred_at", "received_at"))
    # How long a row waited on the device, by the device's own clock; pings do not say: what is on time or
    # later waited, what comes from the future has a wrong clock.
    told = pc.subtract(got["sent_at"].cast(pa.int64()), got["occurred_at"].cast(pa.int64()))
    waited = pc.coalesce(told, pa.array(np.maximum(0, received - occurred))).to_numpy()
    return Sent(
        events=len(got),
        messages=tally.messages,
        doubled=tally.messages - len(got),
        nameless=sum(each.quarantined for each in tally.expected.values()),
        refused=sum(each.suppressed for each in tally.expected.values()),
        expected=dict(sorted(tally.expected.items())),
        batches=tally.batches,
        resent_batches=tally.resent,
        retries=tally.retries,
        uncertain=tally.uncertain,
        rejected=tally.rejected,
        lost=tally.lost,
        late=int((waited > LATE).sum()),
        skewed=int((np.abs(received - occurred - waited) > SKEWED).sum()),
        by_channel=dict(sorted(Counter(got["channel"].to_pylist()).items())),
        by_event=dict(sorted(Counter(got["event"].to_pylist()).items())),
        seconds=round(seconds, 3),
        rate=round(tally.messages / max(seconds, 1e-9), 1),
        ledger=str(path),
    )
