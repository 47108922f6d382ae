"""Four tracking clients, as their makers publish them, against the collector (promise 6)."""

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from support.collecting import (
    Running,
    end,
    start_process,
    store_pid,
    stored,
    wait_gone,
    wait_ready,
)

from genome.collector import ledger, sources
from genome.collector.record import Record
from genome.settings import Settings
from genome.stores import valkey

HERE = Path(__file__).resolve().parent
NODE = HERE / "node"
CLIENTS = ("segment-python", "rudder-python", "segment-node", "rudder-node")
COUNT = 45

PASSING = {"ok": None, "429": 429, "503": 503, "lost-answer": None}
PERMANENT = {"400": 400, "401": 401, "413": 413}


@pytest.fixture
def command(require_tool: Callable[[str], str]) -> Callable[[str], list[str]]:
    """How to run a client; where it is not installed the test is skipped (and fails in CI)."""

    def find(client: str) -> list[str]:
        maker, language = client.split("-")
        if language == "python":
            return [sys.executable, str(HERE.parent / "support" / "send.py"), maker]
        node = require_tool("node")
        if not (NODE / "node_modules" / ".installed").exists():
            message = "the Node clients are not installed: run `make test-deps`"
            if os.environ.get("GENOME_TEST_REQUIRE") == "all":
                pytest.fail(message)
            pytest.skip(message)
        return [node, str(NODE / "send.mjs"), maker]

    return find


class Between(ThreadingHTTPServer):
    """Stands between client and collector, and plays each source's fault on its first requests."""

    daemon_threads = True

    def __init__(self, port: int, faults: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = port
        self.faults = faults
        self.seen: Counter[str] = Counter()
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Between

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = base64.b64decode(self.headers["Authorization"].split()[1]).decode().partition(":")[0]
        fault = self.server.faults[key]
        with self.server.lock:
            self.server.seen[fault] += 1
            number = self.server.seen[fault]
        if fault in PERMANENT:
            return self._say(PERMANENT[fault], b'{"code":"no","message":"no"}')
        status, answer = self._forward(body) if fault in ("ok", "lost-answer") or number > 2 else (0, b"")
        if fault == "lost-answer" and number == 1:
            self.close_connection = True  # stored, and nobody is told
            return None
        if status == 0:
            return self._say(int(fault), b'{"code":"later","message":"later"}', retry_after="1")
        return self._say(status, answer)

    def _forward(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        connection.request("POST", self.path, body, dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def _say(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_delivers_everything_through_passing_faults(
    collector: Running, client: str, command: Callable[[str], list[str]]
) -> None:
    scenarios = {name: collector.source(calling_code=None) for name in (*PASSING, *PERMANENT)}
    faults = {collector.key(source): name for name, source in scenarios.items()}
    between = Between(collector.port, faults)
    threading.Thread(target=between.serve_forever, daemon=True).start()
    found = _send(
        command(client),
        f"http://127.0.0.1:{between.server_address[1]}",
        {name: collector.key(source) for name, source in scenarios.items()},
        {"gzip": True, "retries": 6, "patience": 40},
    )
    between.shutdown()
    between.server_close()
    for name in PASSING:
        assert found[name]["errors"] == 0, name
        row = collector.ledger(scenarios[name])
        assert row.is_balanced
        assert (row.accepted, row.quarantined, row.suppressed) == (COUNT, 0, 0), name
        assert (row.duplicate > 0) == (name == "lost-answer"), name
        _looks_as_sent(collector.records(scenarios[name]))
    for name in PERMANENT:
        assert found[name]["errors"] > 0, name
        assert collector.ledger(scenarios[name]).accepted == 0, name


@pytest.mark.parametrize("client", ["segment-python", "rudder-python", "rudder-node"])
def test_a_client_delivers_without_compression_too(
    collector: Running, client: str, command: Callable[[str], list[str]]
) -> None:
    source = collector.source()
    found = _send(
        command(client),
        collector.url,
        {"ok": collector.key(source)},
        {"gzip": False, "retries": 3, "patience": 20},
    )
    assert found == {"ok": {"name": "ok", "errors": 0}}
    assert collector.ledger(source).accepted == COUNT


def test_all_clients_deliver_while_store_and_collector_are_killed(
    own_settings: Settings, command: Callable[[str], list[str]]
) -> None:
    commands = {client: command(client) for client in CLIENTS}
    keys = {client: sources.add(own_settings, client, "web") for client in CLIENTS}
    process = start_process(own_settings)
    url = f"http://127.0.0.1:{own_settings.collector_port}"
    options = {"gzip": True, "retries": 12, "patience": 60, "pause": 0.1}
    running = [
        subprocess.Popen(
            [*commands[client], url, str(COUNT), json.dumps({client: keys[client]}), json.dumps(options)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for client in CLIENTS
    ]
    try:
        for number in range(3):
            _wait_for_more(own_settings)
            if number == 1:
                end(process)
                process = start_process(own_settings)
            else:
                pid = store_pid(own_settings)
                os.kill(pid, signal.SIGKILL)
                wait_gone(pid)
                wait_ready(own_settings)
        said = [each.communicate(timeout=90)[0] for each in running]
        rows = {row.source: row for row in _ledger(own_settings)}
        found = [each for each in stored(own_settings) if isinstance(each, Record)]
    finally:
        for each in running:
            each.kill()
            each.communicate()
        end(process, signal.SIGTERM)
        valkey.stop(own_settings, "events")
    assert [json.loads(each)[client]["errors"] for each, client in zip(said, CLIENTS, strict=True)] == [0] * 4
    assert {name: (row.accepted, row.is_balanced) for name, row in rows.items()} == dict.fromkeys(
        CLIENTS, (COUNT, True)
    )
    assert len({(each.source, each.message_id) for each in found}) == len(found) == 4 * COUNT


def test_the_lock_of_the_node_clients_names_versions_and_hashes_and_no_address() -> None:
    text = (NODE / "package-lock.json").read_text()
    packages = {name: each for name, each in json.loads(text)["packages"].items() if name}
    assert {"node_modules/@segment/analytics-node", "node_modules/@rudderstack/rudder-sdk-node"} <= set(
        packages
    )
    assert [name for name, each in packages.items() if not each["integrity"].startswith("sha512-")] == []
    assert "://" not in text


def _send(
    command: list[str], host: str, keys: dict[str, str], options: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [*command, host, str(COUNT), json.dumps(keys), json.dumps(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _looks_as_sent(records: list[Record]) -> None:
    assert {each.properties["product_id"] for each in records} == {f"p{n}" for n in range(COUNT)}
    assert {each.properties["name"] for each in records} == {"Blåhaj 🦈"}
    assert {each.source_key for each in records} == {f"user:user-{n}" for n in range(5)}
    assert all(
        each.key_type == "user" and ("email", 1) in {(k, v) for k, _, v in each.identifiers}
        for each in records
    )
    assert all(each.sent is not None and each.flags == [] for each in records)


def _ledger(settings: Settings) -> list[ledger.Row]:
    """The ledger, as soon as the store is there: one that was just killed may not be back yet."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ledger.read(settings)
        except redis.RedisError:
            assert time.monotonic() < deadline, "the store does not come back"
            time.sleep(0.05)


def _wait_for_more(settings: Settings) -> None:
    def accepted() -> int:
        return sum(row.accepted for row in _ledger(settings))

    before, deadline = accepted(), time.monotonic() + 30
    while accepted() < before + 8:
        assert time.monotonic() < deadline, "nothing is stored any more"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients ask the environment for a proxy; to this machine none is needed."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
