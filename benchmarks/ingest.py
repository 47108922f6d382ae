"""How many events a second the collector acknowledges, with fsync on, beside raw pipelined XADD in the same
run.

The client runs on the same machine and counts. Two figures: acknowledged events a second in batches of 100
(closed loop), and the time to the answer at a quarter of the promised rate (open loop: a late answer delays
no later request, and its waiting counts).

    python benchmarks/ingest.py --json
"""

import argparse
import asyncio
import base64
import json
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hiredis
import orjson
import psutil

from genome.collector import ledger, sources
from genome.settings import Settings
from genome.stores import valkey

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "tests"))
BATCH = 100
PROMISED = 20_000


def event(number: int) -> dict[str, Any]:
    """A product view as a web client sends it: about 560 bytes."""
    return {
        "type": "track",
        "event": "Product Viewed",
        "userId": f"u{number % 5_000}",
        "anonymousId": str(uuid.uuid4()),
        "messageId": str(uuid.uuid4()),
        "timestamp": "2026-11-21T10:00:00.123Z",
        "properties": {
            "product_id": f"p{number % 500}",
            "name": "Blue sweater, large",
            "category": "knitwear",
            "price": 39.9,
            "currency": "EUR",
            "quantity": 1,
            "url": "https://shop.example/p/123",
        },
        "context": {
            "library": {"name": "analytics-python", "version": "2.4.0"},
            "page": {"path": "/p/123", "referrer": "https://x.example"},
            "locale": "en-GB",
        },
        "integrations": {},
    }


def requests(count: int, key: str, port: int, batch: int = BATCH) -> list[bytes]:
    """Whole HTTP requests of `batch` events each, made before the clock starts."""
    authorization = base64.b64encode(f"{key}:".encode()).decode()
    made = []
    for first in range(0, count, batch):
        body = orjson.dumps(
            {"batch": [event(n) for n in range(first, first + batch)], "sentAt": "2026-11-21T10:00:01.000Z"}
        )
        head = (
            f"POST /v1/batch HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Basic {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


class Connection:
    """One keep-alive connection; says a prepared request and waits for the answer."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)

    async def ask(self, request: bytes) -> int:
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await self.reader.readexactly(length)
        return int(head[9:12])


async def closed_loop(port: int, made: list[bytes], connections: int) -> float:
    """Seconds until all are acknowledged; anything but 200 ends the benchmark."""
    waiting = iter(made)
    opened = [Connection(port) for _ in range(connections)]
    for each in opened:
        await each.open()

    async def work(connection: Connection) -> None:
        for request in waiting:
            status = await connection.ask(request)
            if status != 200:
                raise SystemExit(f"the collector answered {status}")

    began = time.perf_counter()
    await asyncio.gather(*(work(each) for each in opened))
    return time.perf_counter() - began


async def open_loop(port: int, made: list[bytes], per_second: float) -> list[float]:
    """Seconds from the moment when each request was due to its answer."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(32):
        connection = Connection(port)
        await connection.open()
        free.put_nowait(connection)
    took: list[float] = []
    began = time.perf_counter()

    async def one(request: bytes, due: float) -> None:
        connection = await free.get()
        status = await connection.ask(request)
        free.put_nowait(connection)
        if status != 200:
            raise SystemExit(f"the collector answered {status}")
        took.append(time.perf_counter() - began - due)

    tasks = []
    for number, request in enumerate(made):
        due = number / per_second
        await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(request, due)))
    await asyncio.gather(*tasks)
    return took


def raw_rate(settings: Settings, count: int) -> float:
    """Events a second of plain XADD in pipelines of 100 from one client, the same bytes, the same fsync
    setting.
    """
    payload = orjson.dumps(event(1))
    one = hiredis.pack_command(("XADD", "raw", "*", "r", payload, "c", b"12345678"))  # type: ignore[arg-type]
    with valkey.connect(settings, "events") as client:
        connection = client.connection_pool.get_connection()
        began = time.perf_counter()
        for _ in range(count // BATCH):
            connection.send_packed_command([one * BATCH])
            for _ in range(BATCH):
                connection.read_response()
        seconds = time.perf_counter() - began
        client.connection_pool.release(connection)
        client.delete("raw")
    return count / seconds


@dataclass
class Cpu:
    """CPU seconds of the processes that take part."""

    collector: float
    store: float
    client: float

    @classmethod
    def now(cls, collector: int, store: int) -> "Cpu":
        family = [psutil.Process(collector), *psutil.Process(collector).children(recursive=True)]
        return cls(
            sum(sum(each.cpu_times()[:2]) for each in family),
            sum(psutil.Process(store).cpu_times()[:2]),
            sum(psutil.Process().cpu_times()[:2]),
        )

    def since(self, before: "Cpu", events: int) -> dict[str, float]:
        """Microseconds an event."""
        return {
            name: round((getattr(self, name) - getattr(before, name)) / events * 1e6, 1)
            for name in ("collector", "store", "client")
        }


def measure(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Run it all on a collector of its own."""
    from support.collecting import end, start_process, store_pid

    key = sources.add(settings, "bench", "web")
    process = start_process(settings)
    try:
        store = store_pid(settings)
        asyncio.run(closed_loop(settings.collector_port, requests(5_000, key, settings.collector_port), 8))
        rates, cpu, raws = [], {}, []
        for _ in range(options.rounds):
            made = requests(options.events, key, settings.collector_port)
            before = Cpu.now(process.pid, store)
            seconds = asyncio.run(closed_loop(settings.collector_port, made, options.connections))
            cpu = Cpu.now(process.pid, store).since(before, options.events)
            rates.append(options.events / seconds)
            raws.append(raw_rate(settings, options.events))
        quarter = PROMISED / 4
        made = requests(int(quarter * options.seconds), key, settings.collector_port)
        took = asyncio.run(open_loop(settings.collector_port, made, quarter / BATCH))
        (row,) = ledger.read(settings)
        asked = 5_000 + options.rounds * options.events + int(quarter * options.seconds)
        if not (row.is_balanced and row.accepted == asked):
            raise SystemExit(f"the ledger does not say that {asked} events were stored: {row}")
    finally:
        end(process, signal.SIGTERM)
        valkey.stop(settings, "events")
    spread = statistics.quantiles(took, n=100)
    return {
        "events_per_second": round(max(rates)),
        "events_per_second_rounds": [round(each) for each in rates],
        "raw_xadd_per_second": round(max(raws)),
        "ratio": round(max(rates) / max(raws), 3),
        "promised_per_second": PROMISED,
        "p50_ms_at_a_quarter": round(spread[49] * 1e3, 2),
        "p99_ms_at_a_quarter": round(spread[98] * 1e3, 2),
        "cpu_microseconds_per_event": cpu,
        "events": asked,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1, help="processes of the collector")
    parser.add_argument("--seconds", type=float, default=6.0, help="of the run at a quarter of the rate")
    parser.add_argument("--json", action="store_true", help="print the result")
    options = parser.parse_args()
    from conftest import free_ports

    events_port, port = free_ports(2)
    home = Path(tempfile.mkdtemp())
    settings = Settings(
        home=home / "home", events_port=events_port, collector_port=port, collector_workers=options.workers
    )
    load = psutil.getloadavg()[0]
    found = measure(settings, options)
    shutil.rmtree(home)
    sha = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    result = {
        "what": "ingest",
        **found,
        "batch": BATCH,
        "connections": options.connections,
        "workers": options.workers,
        "load_before": round(load, 2),
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}",
        "git": sha.stdout.strip(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ingest.json").write_text(json.dumps(result, indent=2) + "\n")
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"{result['events_per_second']:,} events a second acknowledged after fsync "
            f"({result['ratio']:.0%} of raw XADD); "
            f"p99 {result['p99_ms_at_a_quarter']} ms at {PROMISED // 4:,} a second"
        )


if __name__ == "__main__":
    main()
