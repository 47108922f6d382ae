"""A collector that really listens, in this process or in its own, and what tests ask of it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvicorn

from genome.collector import ledger, quarantine, sources, stream
from genome.collector.app import Collector
from genome.collector.limits import Capacity
from genome.collector.record import Damage, Record, decode
from genome.settings import Settings
from genome.stores import valkey


def track(name: str = "Product Viewed", **changes: Any) -> dict[str, Any]:
    """A good event; `message` numbers it."""
    event = {
        "type": "track",
        "event": name,
        "userId": "u1",
        "messageId": f"m-{time.monotonic_ns()}",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "properties": {"product_id": "p1"},
    }
    return event | changes


@dataclass
class Running:
    """A collector at a port."""

    settings: Settings
    port: int
    app: Collector | None = None
    process: subprocess.Popen[bytes] | None = None
    _keys: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=30.0, trust_env=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def source(self, channel: str = "web", **promises: Any) -> str:
        """A new source; returns its name. Every test takes its own, so the ledgers stay apart."""
        self._count += 1
        name = f"s{self._count}-{len(self._keys)}"
        self._keys[name] = sources.add(self.settings, name, channel, **promises)
        if self.app is not None:
            self.app.sources._looked = float("-inf")  # a test does not wait for the second to pass
        else:
            time.sleep(1.1)
        return name

    def key(self, source: str) -> str:
        return self._keys[source]

    def post(self, source: str, path: str, content: Any, **headers: str) -> httpx.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.client.post(path, content=body, auth=(self._keys[source], ""), headers=headers)

    def batch(self, source: str, events: list[Any], **envelope: Any) -> httpx.Response:
        return self.post(source, "/v1/batch", {"batch": events, **envelope})

    def ledger(self, source: str) -> ledger.Row:
        rows = [row for row in ledger.read(self.settings) if row.source == source]
        return rows[0] if rows else ledger.Row(source, "?")

    def records(self, source: str | None = None) -> list[Record]:
        found = [each for each in stored(self.settings) if isinstance(each, Record)]
        return [each for each in found if source in (None, each.source)]

    def quarantined(self, source: str) -> list[quarantine.Entry]:
        return list(quarantine.entries(self.settings, source=source))


def stored(settings: Settings) -> list[Record | Damage]:
    """Everything in the stream, partition by partition."""
    found: list[Record | Damage] = []
    with valkey.connect(settings, "events") as client:
        for partition in range(settings.collector_partitions):
            entries: Any = client.xrange(stream.events_key(partition))
            found += [decode(fields) for _, fields in entries]
    return found


@contextlib.contextmanager
def in_this_process(settings: Settings, capacity: Capacity | None = None) -> Iterator[Running]:
    """Serve from a thread: fast to start, and its inside can be looked at."""
    app = Collector(settings, capacity)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=settings.collector_port,
            log_level="error",
            access_log=False,
            http="httptools",
        )
    )
    thread = threading.Thread(target=server.run, name="collector", daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started, "the collector did not start"
    running = Running(settings, settings.collector_port, app=app)
    try:
        yield running
    finally:
        running.client.close()
        server.should_exit = True
        thread.join(30)
        valkey.stop(settings, "events")


def start_process(settings: Settings) -> subprocess.Popen[bytes]:
    """`genome collector` in a process of its own; returns when it is ready."""
    process = launch(settings)
    wait_ready(settings)
    return process


def launch(settings: Settings) -> subprocess.Popen[bytes]:
    """`genome collector` in a process of its own, not waited for."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    with (settings.logs / "collector.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "genome.cli", "collector"],
            env=os.environ | settings.environment(),
            cwd=Path(__file__).resolve().parents[2],
            stdout=log,
            stderr=log,
        )


def wait_ready(settings: Settings, seconds: float = 60.0) -> None:
    """Return when the collector can store events."""
    deadline = time.monotonic() + seconds
    with httpx.Client(trust_env=False, timeout=5.0) as client:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(f"http://127.0.0.1:{settings.collector_port}/readyz").status_code == 200:
                    return
            time.sleep(0.05)
    raise AssertionError("the collector did not get ready: " + _tail(settings))


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGKILL) -> float:
    """End a process that the test started; returns how long it took."""
    began = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
    process.wait(30)
    return time.monotonic() - began


def store_pid(settings: Settings) -> int:
    """The embedded events server's process."""
    pid = valkey.status(settings, "events").pid
    assert pid is not None
    return pid


def wait_gone(pid: int, seconds: float = 10.0) -> None:
    """Return when a process has ended (a zombie has)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
                continue
        return
    raise AssertionError(f"process {pid} is still there")


def _tail(settings: Settings) -> str:
    path = settings.logs / "collector.log"
    return path.read_text()[-2000:] if path.exists() else "it wrote no log"
