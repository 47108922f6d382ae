"""The live path: events a second through the update itself, and the time from a request to the feature online.

1. The update: entries as the consumer hands them over, through `LiveHandler.handle` into the online store (sums by
   gene, sessions, position), in micro-batches. Beside it in the same run: the same sums with `np.add.at` in
   memory and nothing else, and the plainest store, one pipelined HINCRBYFLOAT for each gene and sum.
2. The road: HTTP requests of 20 events at 2,000 events a second to a collector, with `genome stream live` reading;
   some of them carry a probe, which is looked for in the online store until its gene is there, or, where somebody
   identifies on a new browser, until the browser is read as that customer's. All on this machine.

    python benchmarks/live.py --json
"""

import argparse
import asyncio
import base64
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hiredis
import numpy as np
import orjson
import psutil

from genome.collector import sources
from genome.collector.record import Record, decode, encode
from genome.features.online import OnlineReader
from genome.settings import Settings
from genome.stores import valkey
from genome.stream import figures
from genome.stream.consumer import Entry
from genome.stream.evidence import sums
from genome.stream.items import columns
from genome.stream.live import LiveHandler, lines_of

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "tests"))
PRODUCTS, CUSTOMERS, GENES = 10_000, 20_000, 8
PROMISED, PROMISED_MS, RATE, BATCH = 50_000, 250, 2_000, 20


def dna() -> dict[str, list[tuple[int, str]]]:
    """Products of eight genes each, out of 4,000."""
    random = np.random.default_rng(1)
    genes = random.integers(0, 4_000, (PRODUCTS, GENES))
    return {
        f"p{number}": [(int(gene), "claim" if gene % 4 else "category") for gene in set(row.tolist())]
        for number, row in enumerate(genes)
    }


def records(count: int) -> list[Record]:
    """A shop's evening: 70 of 100 events are product views, 12 additions to a cart, 6 orders of two lines, 12
    others.
    """
    random = np.random.default_rng(2)
    kinds = random.choice(4, count, p=[0.70, 0.12, 0.06, 0.12])
    people, products = random.integers(0, CUSTOMERS, count), random.integers(0, PRODUCTS, (count, 2))
    now = round(time.time() * 1e6)
    made = []
    for number, (kind, person, product) in enumerate(
        zip(kinds.tolist(), people.tolist(), products.tolist(), strict=True)
    ):
        first = {
            "product_id": f"p{product[0]}",
            "price": 39.9,
            "name": "Blue sweater, large",
            "currency": "EUR",
        }
        properties: dict[str, Any] = first | {"url": "https://shop.example/p/123"}
        if kind == 2:
            lines = [first | {"quantity": 1}, first | {"product_id": f"p{product[1]}", "quantity": 2}]
            properties = {"order_id": f"o{number}", "total": 119.7, "products": lines}
        made.append(
            Record(
                source="shop",
                channel="web",
                type="track",
                name=("Product Viewed", "Product Added", "Order Completed", "Page Viewed")[kind],
                message_id=f"m{number}",
                received=now,
                occurred=now - 1_000,
                key_type="user",
                key=f"u{person}",
                session=f"s{person}",
                properties=properties,
                context={"page": {"path": "/p/123"}, "library": {"name": "analytics.js", "version": "2"}},
            )
        )
    return made


def cpu_of(pid: int) -> float:
    """CPU seconds of a process."""
    return sum(psutil.Process(pid).cpu_times()[:2])


def update(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Events a second through the update itself."""
    handler = LiveHandler(settings)
    handler.position(0)
    online = valkey.connect(settings, "online")
    (epoch,) = handler._epochs.values()
    store = valkey.status(settings, "online").pid or 0
    cpu: dict[str, float] = {}
    rates, raws, taken = [], [], 0
    all_entries = []
    for number, each in enumerate(records(options.events * options.rounds)):
        body = encode(each)
        all_entries.append(Entry(b"%d-0" % (number + 1), each, body))
    for turn in range(options.rounds):
        entries = all_entries[turn * options.events : (turn + 1) * options.events]
        began, ours, theirs = time.perf_counter(), time.process_time(), cpu_of(store)
        for first in range(0, len(entries), options.batch):
            handler.handle(0, entries[first : first + options.batch])
        rates.append(len(entries) / (time.perf_counter() - began))
        cpu = {"update": time.process_time() - ours, "store": cpu_of(store) - theirs}
        # The same sums and nothing else: rows that are ready, into one dense array.
        names = frozenset(epoch.parameters.kinds)
        rows = [
            sums(
                *lines_of(
                    columns([each.record for each in entries[at : at + options.batch]], names, frozenset()),
                    epoch,
                ),
                epoch.parameters,
            )[1]
            for at in range(0, len(entries), options.batch)
        ]
        whole = np.concatenate(rows)
        place = whole["gene"] % 4_096
        values = np.stack([whole[name] for name in list(whole.dtype.names or ())[4:]], axis=1)
        dense = np.zeros((4_096, values.shape[1]))
        began = time.perf_counter()
        np.add.at(dense, place, values)
        raws.append(len(entries) / (time.perf_counter() - began))
        taken += len(whole)
    # The plainest store: six HINCRBYFLOAT for each gene of an event, in pipelines of as many events.
    plain = all_entries[: options.plain]
    words = []
    for each in plain:
        product = each.record.properties.get("product_id")
        if product is None:
            continue
        for gene in range(GENES):
            for name in range(6):
                words.append(("HINCRBYFLOAT", f"plain:{each.record.key}", f"{gene}:{name}", "0.15"))
    packed = [
        b"".join(hiredis.pack_command(each) for each in words[at : at + 4_800])
        for at in range(0, len(words), 4_800)
    ]  # type: ignore[arg-type]
    connection = online.connection_pool.get_connection()
    began = time.perf_counter()
    for at, command in enumerate(packed):
        connection.send_packed_command([command])
        for _ in words[at * 4_800 : (at + 1) * 4_800]:
            connection.read_response()
    plain_rate = len(plain) / (time.perf_counter() - began)
    online.connection_pool.release(connection)
    handler.close()
    online.close()
    decoding = time.perf_counter()
    for each in all_entries[:20_000]:
        decode({b"r": each.body, b"c": b"00000000"})
    decoding = (time.perf_counter() - decoding) / 20_000
    return {
        "events_per_second": round(max(rates)),
        "events_per_second_rounds": [round(each) for each in rates],
        "cpu_microseconds_per_event": {
            name: round(seconds / options.events * 1e6, 1) for name, seconds in cpu.items()
        },
        "genes_per_event": round(taken / (options.events * options.rounds), 1),
        "raw_add_at_per_second": round(max(raws)),
        "ratio_to_add_at": round(max(rates) / max(raws), 3),
        "raw_hincrbyfloat_per_second": round(plain_rate),
        "ratio_to_hincrbyfloat": round(max(rates) / plain_rate, 1),
        "microseconds_to_verify_an_entry": round(decoding * 1e6, 1),
        "promised_per_second": PROMISED,
        "batch": options.batch,
    }


IDENTIFIES = "identify-"
"""What the name of a probe begins with that is not a view but somebody who identifies on a browser."""


def request(run: str, number: int, key: str, port: int, probe: str | None) -> bytes:
    """A whole HTTP request of 20 product views."""
    moment = datetime.now(UTC).isoformat()
    events = [
        {
            "type": "track",
            "event": "Product Viewed",
            "userId": f"u{(number * BATCH + at) % CUSTOMERS}",
            "messageId": f"{run}-{number}-{at}",
            "timestamp": moment,
            "properties": {
                "product_id": f"p{(number * 7 + at) % PRODUCTS}",
                "price": 39.9,
                "currency": "EUR",
            },
            "context": {"library": {"name": "bench", "version": "1"}, "locale": "en-GB"},
        }
        for at in range(BATCH)
    ]
    if probe is not None and probe.startswith(IDENTIFIES):
        events[BATCH // 2] |= {"type": "identify", "userId": f"of-{probe}", "anonymousId": probe}
        events[BATCH // 2] = {
            name: value for name, value in events[BATCH // 2].items() if name not in ("event", "properties")
        }
    elif probe is not None:
        events[BATCH // 2]["userId"] = probe
    body = orjson.dumps({"batch": events, "sentAt": moment})
    head = (
        f"POST /v1/batch HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Basic {base64.b64encode(f'{key}:'.encode()).decode()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Probe(threading.Thread):
    """Looks for one probe after the other in the online store, as a reader of features does."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.settings = settings
        self.wanted: tuple[str, float] | None = None
        self.took: list[float] = []
        self.joined: list[float] = []
        """Of the probes that identify: until the browser was read as the person."""
        self.ending = threading.Event()

    def run(self) -> None:
        with OnlineReader(self.settings) as reader:
            while not self.ending.is_set():
                if self.wanted is None:
                    time.sleep(0.001)
                    continue
                name, began = self.wanted
                identifies = name.startswith(IDENTIFIES)
                asked = f"anonymous:{name}" if identifies else f"user:{name}"
                row = reader.read("genome_v1", "customer", [asked]).rows[0]
                if row.customer_id != asked or row.values["gene_hashes"] is not None:
                    (self.joined if identifies else self.took).append(time.perf_counter() - began)
                    self.wanted = None
                else:
                    time.sleep(0.002)


async def drive(run: str, port: int, key: str, seconds: float, probe: Probe) -> int:
    """Requests at their due times, whatever the answers take; a probe whenever the last one was found."""
    from ingest import Connection

    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(16):
        connection = Connection(port)
        await connection.open()
        free.put_nowait(connection)

    async def one(number: int, name: str | None) -> None:
        connection = await free.get()
        status = await connection.ask(request(run, number, key, port, name))
        free.put_nowait(connection)
        if status != 200:
            raise SystemExit(f"the collector answered {status}")

    tasks = []
    began = time.perf_counter()
    count = int(seconds * RATE / BATCH)
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number * BATCH / RATE - time.perf_counter()))
        name = None
        if probe.wanted is None:
            name = f"{IDENTIFIES if number % 2 else 'probe-'}{run}-{number}"
            probe.wanted = (name, time.perf_counter())
        tasks.append(asyncio.create_task(one(number, name)))
    await asyncio.gather(*tasks)
    return count * BATCH


def road(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """From an HTTP request to the feature readable online."""
    from support.collecting import end, start_process

    key = sources.add(settings, "bench", "web")
    collector = start_process(settings)
    with (settings.logs / "live.log").open("ab") as log:
        live = subprocess.Popen(
            [sys.executable, "-m", "genome.cli", "stream", "live"],
            env=os.environ | settings.environment(),
            stdout=log,
            stderr=log,
        )
    probe = Probe(settings)
    try:
        deadline = time.monotonic() + 60
        while (
            len([each for each in figures.read(settings) if each.consumer == "live"])
            < settings.collector_partitions
        ):
            if time.monotonic() > deadline:
                raise SystemExit("`genome stream live` did not start")
            time.sleep(0.1)
        probe.start()
        asyncio.run(drive("warm", settings.collector_port, key, 3.0, probe))
        time.sleep(1.0)
        probe.took.clear()
        probe.joined.clear()
        sent = asyncio.run(drive("run", settings.collector_port, key, options.seconds, probe))
        time.sleep(1.0)
    finally:
        probe.ending.set()
        end(live, signal.SIGTERM)
        end(collector, signal.SIGTERM)
    if min(len(probe.took), len(probe.joined)) < 100:
        said = (settings.logs / "live.log").read_text()[-1500:]
        raise SystemExit(f"only {len(probe.took)} and {len(probe.joined)} probes came online: {said}")
    spread, joined = statistics.quantiles(probe.took, n=100), statistics.quantiles(probe.joined, n=100)
    return {
        "p50_ms_to_online": round(spread[49] * 1e3, 1),
        "p99_ms_to_online": round(spread[98] * 1e3, 1),
        "max_ms_to_online": round(max(probe.took) * 1e3, 1),
        "probes": len(probe.took),
        "p50_ms_to_joined": round(joined[49] * 1e3, 1),
        "p99_ms_to_joined": round(joined[98] * 1e3, 1),
        "probes_joined": len(probe.joined),
        "road_events": sent,
        "road_events_per_second": RATE,
        "promised_p99_ms": PROMISED_MS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="in each round of the update")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=5_000, help="entries of a micro-batch")
    parser.add_argument("--plain", type=int, default=5_000, help="events of the HINCRBYFLOAT figure")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the road")
    parser.add_argument("--json", action="store_true", help="print the result")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from conftest import free_ports
    from support.live import Road, publish_build

    events_port, online_port, port = free_ports(3)
    home = Path(tempfile.mkdtemp())
    settings = Settings(
        home=home / "home", events_port=events_port, online_port=online_port, collector_port=port
    )
    load = psutil.getloadavg()[0]
    try:
        for store in valkey.STORES:
            valkey.ensure(settings, store)
        now = datetime.now(UTC)
        with valkey.connect(settings, "events") as events, valkey.connect(settings, "online") as online:
            publication = publish_build(settings, as_of=now, dna=dna())
            there = Road(settings.model_copy(update={"now": now}), events, online)
            there.load(publication)
            there.handler.close()
            found = update(settings, options)
            online.flushall()
            there.load(publication)
        found |= road(settings, options)
    finally:
        valkey.stop(settings)
        shutil.rmtree(home, ignore_errors=True)
    sha = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    result = {
        "what": "live",
        **found,
        "load_before": round(load, 2),
        "load_after": round(psutil.getloadavg()[0], 2),
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}",
        "git": sha.stdout.strip(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "live.json").write_text(json.dumps(result, indent=2) + "\n")
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"{result['events_per_second']:,} events a second through the live update; "
            f"p99 {result['p99_ms_to_online']} ms from request to online at {RATE:,} a second, "
            f"{result['p99_ms_to_joined']} ms from identify to one customer"
        )


if __name__ == "__main__":
    main()
