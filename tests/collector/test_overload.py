"""Too much at once gets 503 while memory stays flat; the end of the process loses nothing (14); order is
kept (13).
"""

import base64
import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from support.collecting import end, in_this_process, start_process, store_pid, stored, track

from genome.collector import ledger, sources
from genome.collector.limits import Capacity
from genome.collector.record import Record
from genome.settings import Settings
from genome.stores import valkey


@pytest.fixture(autouse=True)
def _store_stopped(own_settings: Settings) -> Iterator[None]:
    yield
    valkey.stop(own_settings, "events")


def test_a_full_queue_gives_503_and_memory_stays_flat(own_settings: Settings) -> None:
    capacity = Capacity(queue_bytes=1_000_000, body_bytes=8_000_000)
    with in_this_process(own_settings, capacity) as collector:
        source = collector.source()
        collector.batch(source, [track()])
        pid = store_pid(own_settings)
        process = psutil.Process()
        large = [
            [track(messageId=f"{n}-{m}", properties={"product_id": "p", "x": "y" * 5_000}) for m in range(20)]
            for n in range(200)
        ]
        before = process.memory_info().rss
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        with ThreadPoolExecutor(24) as pool:
            answers = [pool.submit(collector.batch, source, each) for each in large]
            while sum(each.done() for each in answers) < 150 and time.monotonic() < began + 8:
                time.sleep(0.01)
            refused = [each.result() for each in answers if each.done()]
            grown = process.memory_info().rss - before
            os.kill(pid, signal.SIGCONT)
            finished = [each.result() for each in answers]
        assert len(refused) >= 150
        assert {(each.status_code, each.json()["code"], each.headers["retry-after"]) for each in refused} == {
            (503, "overloaded", "1")
        }
        assert grown < 40 * 1024 * 1024
        passed = sum(each.status_code == 200 for each in finished)
        assert passed >= 5
        assert {each.status_code for each in finished} == {200, 503}
        assert collector.ledger(source).accepted == 1 + passed * 20
        assert collector.app is not None
        assert collector.app.committer.waiting_bytes == 0
        assert collector.batch(source, [track()]).status_code == 200


def test_too_many_bodies_at_once_are_turned_away(own_settings: Settings) -> None:
    with in_this_process(own_settings, Capacity(body_bytes=100_000)) as collector:
        source = collector.source()
        answer = collector.post(source, "/v1/batch", b'{"batch":[' + b" " * 150_000 + b"]}")
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert collector.batch(source, [track()]).status_code == 200  # what it held was given back


def test_a_body_that_never_ends_is_given_up(own_settings: Settings) -> None:
    import socket

    with in_this_process(own_settings, Capacity(body_seconds=0.3)) as collector:
        source = collector.source()
        head = f"POST /v1/track?writeKey={collector.key(source)} HTTP/1.1\r\nHost: x\r\n"
        head += "Content-Length: 100\r\n\r\n"
        with socket.create_connection(("127.0.0.1", own_settings.collector_port), timeout=10) as slow:
            slow.sendall(head.encode() + b"{")
            assert slow.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_store_that_reaches_its_memory_limit_stops_new_events_until_it_is_trimmed(
    own_settings: Settings,
) -> None:
    settings = own_settings.model_copy(update={"collector_memory_mb": 16})
    with in_this_process(settings) as collector:
        source = collector.source()
        assert collector.batch(source, [track()]).status_code == 200
        with valkey.connect(settings, "events") as client:
            client.set("ballast", b"x" * 20_000_000)
            _until(lambda: collector.batch(source, [track()]).status_code == 503)
            assert "memory limit" in collector.batch(source, [track()]).json()["message"]
            client.delete("ballast")
        _until(lambda: collector.batch(source, [track()]).status_code == 200)


def test_sigterm_under_load_drains_in_time_and_loses_nothing(own_settings: Settings) -> None:
    key = sources.add(own_settings, "web", "web")
    process = start_process(own_settings)
    acknowledged: list[str] = []
    stop = threading.Event()

    def send(name: int) -> None:
        with httpx.Client(trust_env=False, timeout=15.0) as client:
            for number in range(10_000):
                ids = [f"{name}-{number}-{n}" for n in range(50)]
                try:
                    answer = client.post(
                        f"http://127.0.0.1:{own_settings.collector_port}/v1/batch",
                        json={"batch": [track(messageId=each) for each in ids]},
                        auth=(key, ""),
                    )
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    acknowledged.extend(ids)
                if stop.is_set():
                    return

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    _until(lambda: len(acknowledged) > 1_000)
    took = end(process, signal.SIGTERM)
    stop.set()
    for each in threads:
        each.join(20)
    assert took < 10
    found = {each.message_id for each in stored(own_settings) if isinstance(each, Record)}
    assert set(acknowledged) - found == set()
    (row,) = ledger.read(own_settings)
    assert row.is_balanced
    assert row.accepted == len(found)


def test_each_customers_order_is_kept_with_several_workers(own_settings: Settings) -> None:
    settings = own_settings.model_copy(update={"collector_workers": 2})
    key = sources.add(settings, "web", "web")
    process = start_process(settings)

    authorization = "Basic " + base64.b64encode(f"{key}:".encode()).decode()

    def send(customer: int) -> None:
        for number in range(25):  # a new connection each time: any worker may get it
            connection = http.client.HTTPConnection("127.0.0.1", settings.collector_port, timeout=15)
            body = json.dumps(track(userId=f"c{customer}", messageId=f"{customer}-{number}"))
            connection.request("POST", "/v1/track", body, {"Authorization": authorization})
            assert connection.getresponse().status == 200
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send, range(6)))
    end(process, signal.SIGTERM)
    by_customer: dict[str, list[str]] = {}
    for each in stored(settings):
        assert isinstance(each, Record)
        by_customer.setdefault(each.key, []).append(each.message_id)
    assert by_customer == {f"c{c}": [f"{c}-{n}" for n in range(25)] for c in range(6)}


def _until(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)
