"""The sender against a real HTTP server: what it says it sent is what arrived."""

import base64
import gzip
import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.collecting import in_this_process

from genome.collector import ledger, sources
from genome.errors import GenomeError, UsageError
from genome.settings import Settings
from genome.simulate import parameters
from genome.simulate.live import LiveOptions, send
from genome.simulate.run import Mall, simulate
from genome.simulate.tables import LIVE
from tests.conftest import free_ports


class Sink(ThreadingHTTPServer):
    """Takes batches as a collector would; `answers` decides the status of each request, in turn."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.accepted: list[dict] = []
        self.connections: set[tuple[str, int]] = set()
        self.requests: list[tuple[str, str | None, int]] = []
        self.channels: list[set[str]] = []
        self.answers: list[int] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        batch = json.loads(body)["batch"]
        with self.server.lock:
            status = self.server.answers.pop(0) if self.server.answers else 200
            self.server.connections.add(self.client_address)
            self.server.channels.append({call["context"]["channel"] for call in batch})
            self.server.requests.append((self.path, self.headers.get("authorization"), status))
            if status == 200:
                self.server.accepted.extend(batch)
        answer = b'{"success":true}' if status == 200 else b'{"code":"busy","message":"later"}'
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def live_mall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("live") / "mall"
    simulate(parameters.load("small", customers=300, days=21, block=150, live_days=4), 5, out)
    return out


def options(sink: Sink, **values: object) -> LiveOptions:
    plain = {"url": sink.url, "rate": 50_000, "resent": 0.1, "nameless": 0.0, "refused": 0.0}
    return LiveOptions(**(plain | values))  # type: ignore[arg-type]


def test_what_is_kept_for_the_collector_is_in_no_file(live_mall: Path, tmp_path: Path) -> None:
    plain = simulate(parameters.load("small", customers=300, days=21, block=150), 5, tmp_path / "plain")
    kept = Mall.read(live_mall)
    assert set(kept.live) == {"app", "location", "web"}
    assert min(kept.live.values()) > 50
    for channel, stream in (("app", "events"), ("location", "pings"), ("web", "events")):
        key = f"{channel}/{stream}"
        assert kept.rows[key] + kept.live[channel] == plain.rows[key]
    assert kept.interactions == plain.interactions


def test_the_report_agrees_with_what_arrived(live_mall: Path, sink: Sink) -> None:
    sent = send(live_mall, options(sink))
    arrived = Counter(call["messageId"] for call in sink.accepted)
    assert sent.messages == len(sink.accepted)
    assert sent.events == len(arrived)
    assert sent.doubled == len(sink.accepted) - len(arrived) > sent.resent_batches > 0
    assert (sent.lost, sent.rejected, sent.uncertain, sent.retries) == (0, 0, 0, 0)
    kept = Mall.read(live_mall).live
    assert sent.events <= sum(kept.values())
    unique = {call["messageId"]: call for call in sink.accepted}
    assert sent.by_channel == dict(sorted(Counter(c["context"]["channel"] for c in unique.values()).items()))
    assert sent.by_event == dict(sorted(Counter(c["event"] for c in unique.values()).items()))
    assert sum(each.received for each in sent.expected.values()) == sent.messages
    assert {name: each.accepted for name, each in sent.expected.items()} == sent.by_channel
    ledger = pq.read_table(live_mall / "live" / "sent.parquet").to_pylist()
    assert {row["message_id"]: row["accepted"] for row in ledger} == dict(arrived)


def test_a_message_that_is_sent_twice_is_the_same_twice(live_mall: Path, sink: Sink) -> None:
    sent = send(live_mall, options(sink, resent=0.3, nameless=0.05, refused=0.05))
    assert sent.doubled > 0
    bodies: dict[str, set[str]] = {}
    for call in sink.accepted:
        bodies.setdefault(call["messageId"], set()).add(json.dumps(call, sort_keys=True))
    assert {len(each) for each in bodies.values()} == {1}


def test_messages_are_track_calls_of_somebody_in_disorder(live_mall: Path, sink: Sink) -> None:
    sent = send(live_mall, options(sink))
    assert {call["type"] for call in sink.accepted} == {"track"}
    assert all(call["anonymousId"] for call in sink.accepted)
    assert any("userId" in call for call in sink.accepted)
    assert all("received_at" not in call["properties"] for call in sink.accepted)
    ordered = next(call for call in sink.accepted if call["event"] == "Order Completed")
    assert {"order_id", "products", "currency"} <= set(ordered["properties"])
    assert {"product_id", "quantity", "price"} <= set(ordered["properties"]["products"][0])
    assert all(call["context"]["sellerId"] and call["context"]["sessionId"] for call in [ordered])
    times = [datetime.fromisoformat(call["timestamp"]) for call in sink.accepted]
    assert sum(later < earlier for earlier, later in pairwise(times)) > 30
    assert sent.late > 0
    assert sent.skewed > 0
    # Instants are moved to the present: half of the rows had waited for seconds only.
    middle = sorted(times)[len(times) // 2]
    assert abs((middle - datetime.now(UTC)).total_seconds()) < 600


def test_times_stay_the_malls_own_when_asked(live_mall: Path, sink: Sink) -> None:
    send(live_mall, options(sink, keep_times=True, limit=200))
    assert {call["timestamp"][:4] for call in sink.accepted} <= {"2024", "2025"}


def test_connections_are_kept_and_the_key_is_sent(live_mall: Path, sink: Sink) -> None:
    send(live_mall, options(sink, connections=3, write_key="secret", limit=600, batch=20))
    assert len(sink.requests) > 20
    assert 1 <= len(sink.connections) <= 3
    assert {path for path, _, _ in sink.requests} == {"/v1/batch"}
    assert {key for _, key, _ in sink.requests} == {"Basic c2VjcmV0Og=="}


def test_each_channel_sends_with_its_own_key_and_alone(live_mall: Path, sink: Sink) -> None:
    keys = {"web": "w", "app": "a"}
    send(live_mall, options(sink, write_keys=keys, write_key="rest", limit=2000))
    expected = {base64.b64encode(f"{keys.get(name, 'rest')}:".encode()).decode(): name for name in LIVE}
    assert {key.removeprefix("Basic ") for _, key, _ in sink.requests if key} == set(expected)
    for (_, key, _), channels in zip(sink.requests, sink.channels, strict=True):
        assert channels == {expected[str(key).removeprefix("Basic ")]}


def test_a_busy_collector_is_tried_again_and_nothing_is_lost(live_mall: Path, sink: Sink) -> None:
    sink.answers = [503, 429, 500, 200, 503]
    sent = send(live_mall, options(sink, limit=300, resent=0.0))
    assert sent.retries == 4
    assert sent.lost == 0
    assert sent.messages == 300 == len(sink.accepted)


def test_a_refused_batch_is_counted_and_not_sent_again(live_mall: Path, sink: Sink) -> None:
    sink.answers = [400]
    sent = send(live_mall, options(sink, limit=300, resent=0.0, connections=1))
    assert sent.rejected > 0
    assert sent.messages + sent.rejected == 300
    assert len(sink.accepted) == sent.messages
    assert [status for _, _, status in sink.requests].count(400) == 1


def test_a_collector_that_is_not_there_is_an_error_with_a_remedy(live_mall: Path) -> None:
    with pytest.raises(GenomeError, match="accepted nothing"):
        send(live_mall, LiveOptions(url="http://127.0.0.1:9", attempts=1, limit=50, rate=10_000))


def test_the_rate_is_kept(live_mall: Path, sink: Sink) -> None:
    sent = send(live_mall, options(sink, rate=400, limit=400, batch=20, resent=0.0))
    assert 0.9 < sent.seconds < 3.0
    assert sent.messages == 400


def test_the_collectors_ledger_is_exactly_what_the_sender_says(live_mall: Path, tmp_path: Path) -> None:
    events, port = free_ports(2)
    settings = Settings(
        home=tmp_path / "home", events_port=events, collector_port=port, collector_disk_reserve_mb=1
    )
    keys = {channel: sources.add(settings, channel, channel) for channel in LIVE}
    with in_this_process(settings) as collector:
        disorder = {"resent": 0.05, "nameless": 0.01, "refused": 0.02}
        sent = send(live_mall, LiveOptions(url=collector.url, write_keys=keys, rate=3_000, **disorder))
        found = {row.source: row for row in ledger.read(settings)}
        stored = Counter(record.message_id for record in collector.records())
        set_aside = {channel: len(collector.quarantined(channel)) for channel in LIVE}
    assert (sent.lost, sent.rejected, sent.uncertain) == (0, 0, 0)
    assert set(found) == set(LIVE) == set(sent.expected)
    for channel, expected in sent.expected.items():
        assert found[channel].is_balanced
        assert expected.model_dump() == {
            name: getattr(found[channel], name) for name in expected.model_dump()
        }
        assert min(expected.model_dump().values()) > 0, channel
    # And what it accepted is what was sent, message by message.
    rows = pq.read_table(live_mall / "live" / "sent.parquet").to_pylist()
    assert set(stored.values()) == {1}
    # (An id of digits alone that looks like a payment card's number is kept as a token.)
    known = {each for each in stored if not each.startswith("card_")}
    assert len(stored) - len(known) < 5
    assert known <= {row["message_id"] for row in rows if row["accepted"]}
    assert len(stored) == sum(each.accepted for each in sent.expected.values())
    assert set_aside == {channel: each.quarantined for channel, each in sent.expected.items()}


def test_a_mall_that_kept_nothing_says_how_to_keep_something(mall_folder: Path) -> None:
    with pytest.raises(UsageError, match="--live-days"):
        send(mall_folder, LiveOptions(url="http://127.0.0.1:9"))
