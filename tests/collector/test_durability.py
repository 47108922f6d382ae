"""What was acknowledged is on disk, whatever is killed, torn, damaged or full (promises 1 to 4)."""

import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.collecting import (
    Running,
    end,
    in_this_process,
    start_process,
    store_pid,
    stored,
    track,
    wait_gone,
    wait_ready,
)

from genome.collector import ledger, sources
from genome.collector.record import Damage, Record
from genome.settings import Settings
from genome.stores import valkey

KILLS = int(os.environ.get("GENOME_TEST_KILLS", "20"))


@pytest.fixture
def store_stopped(own_settings: Settings) -> Iterator[None]:
    yield
    valkey.stop(own_settings, "events")


# 1. kill -9


@dataclass
class Sender:
    """Sends batches until each is acknowledged, as the tracking clients do."""

    settings: Settings
    key: str
    name: str
    acknowledged: list[str] = field(default_factory=list)
    sent: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with httpx.Client(trust_env=False, timeout=15.0) as client:
            for number in itertools.count():
                if self.stop.is_set():
                    return
                ids = [f"{self.name}-{number}-{n}" for n in range(20)]
                body = json.dumps({"batch": [track(messageId=each, userId=each[-3:]) for each in ids]})
                self.sent += len(ids)
                while not self._accepted(client, body):
                    time.sleep(0.05)
                self.acknowledged += ids

    def _accepted(self, client: httpx.Client, body: str) -> bool:
        try:
            answer = client.post(
                f"http://127.0.0.1:{self.settings.collector_port}/v1/batch", content=body, auth=(self.key, "")
            )
        except httpx.TransportError:
            return False
        assert answer.status_code in (200, 503), f"a client would drop its batch: {answer.status_code}"
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
        return answer.status_code == 200


@pytest.mark.usefixtures("store_stopped")
def test_kill_9_under_load_loses_nothing_and_doubles_nothing(own_settings: Settings) -> None:
    key = sources.add(own_settings, "web", "web")
    process = start_process(own_settings)
    senders = [Sender(own_settings, key, f"c{n}") for n in range(3)]
    threads = [threading.Thread(target=each.run) for each in senders]
    for each in threads:
        each.start()
    chance = random.Random(7)
    try:
        for number in range(KILLS):
            before = sum(len(each.acknowledged) for each in senders)
            deadline = time.monotonic() + 30
            while sum(len(each.acknowledged) for each in senders) < before + 60:
                assert time.monotonic() < deadline, "nothing is acknowledged any more"
                time.sleep(0.01)
            time.sleep(chance.random() * 0.05)
            if number % 5 == 0:
                end(process)
                process = start_process(own_settings)
            else:
                pid = store_pid(own_settings)
                os.kill(pid, signal.SIGKILL)
                wait_gone(pid)
                wait_ready(own_settings)
    finally:
        for each in senders:
            each.stop.set()
        for thread in threads:
            thread.join(60)
        took = end(process, signal.SIGTERM)
    assert took < 10
    found = stored(own_settings)
    records = Counter(each.message_id for each in found if isinstance(each, Record))
    acknowledged = {each for sender in senders for each in sender.acknowledged}
    assert len(acknowledged) >= KILLS * 60
    assert acknowledged - set(records) == set()
    assert [name for name, count in records.items() if count > 1] == []
    assert len(found) == len(records)
    (row,) = ledger.read(own_settings)
    assert row.is_balanced
    assert row.accepted == len(records)


# 2. fsync before the acknowledgement


@pytest.mark.usefixtures("store_stopped")
def test_the_log_is_synced_between_every_write_and_its_answer(
    own_settings: Settings, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """The order of system calls: kill -9 cannot prove it, since the kernel keeps what a dead process
    wrote.
    """
    strace = require_tool("strace")
    trace = tmp_path / "trace"
    with in_this_process(own_settings) as collector:
        source = collector.source()
        collector.batch(source, [track()])
        pid = store_pid(own_settings)
        logs = _append_only_descriptors(pid)
        assert logs
        tracer = subprocess.Popen(
            [
                strace,
                "-f",
                "-p",
                str(pid),
                "-e",
                "trace=write,writev,sendto,fdatasync,fsync",
                "-s",
                "24",
                "-o",
                str(trace),
            ],
            stderr=subprocess.PIPE,
        )
        assert tracer.stderr is not None
        assert b"attached" in tracer.stderr.readline()
        for number in range(30):
            assert (
                collector.batch(source, [track(messageId=f"{number}-{n}") for n in range(5)]).status_code
                == 200
            )
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=20)
    answers, unsynced = _answers_with_unsynced_writes(trace.read_text(), logs)
    assert answers >= 30
    assert unsynced == []


def _append_only_descriptors(pid: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if ".aof" in os.readlink(each):
                found.add(each.name)
    return found


def _answers_with_unsynced_writes(trace: str, logs: set[str]) -> tuple[int, list[str]]:
    """How many answers the server sent, and those that left while written bytes were not yet synced."""
    answers, is_dirty, wrong = 0, False, []
    call = re.compile(r"(write|writev|sendto|fdatasync|fsync)\((\d+)(.*)")
    for line in trace.splitlines():
        found = call.search(line)
        if found is None:
            continue
        name, descriptor, rest = found.groups()
        if descriptor in logs:
            is_dirty = name not in ("fdatasync", "fsync")
        elif name in ("write", "writev", "sendto") and re.search(r'"[*:+$-]', rest):
            answers += 1
            if is_dirty:
                wrong.append(line)
    return answers, wrong


def test_the_trace_reader_sees_an_answer_that_came_too_early() -> None:
    good = '1 write(8, "*3\\r\\n", 4) = 4\n1 fdatasync(8) = 0\n1 write(9, "*0\\r\\n", 4) = 4\n'
    early = '1 write(8, "*3\\r\\n", 4) = 4\n1 write(9, "*0\\r\\n", 4) = 4\n1 fdatasync(8) = 0\n'
    assert _answers_with_unsynced_writes(good, {"8"}) == (1, [])
    answers, wrong = _answers_with_unsynced_writes(early, {"8"})
    assert (answers, len(wrong)) == (1, 1)


@pytest.mark.usefixtures("store_stopped")
def test_no_answer_comes_while_the_store_stands_still(own_settings: Settings) -> None:
    with in_this_process(own_settings) as collector:
        source = collector.source()
        collector.batch(source, [track()])
        pid = store_pid(own_settings)
        os.kill(pid, signal.SIGSTOP)
        answers: list[int] = []
        thread = threading.Thread(
            target=lambda: answers.append(collector.batch(source, [track()]).status_code)
        )
        thread.start()
        time.sleep(0.7)
        assert answers == []
        os.kill(pid, signal.SIGCONT)
        thread.join(20)
        assert answers == [200]
        assert collector.ledger(source).accepted == 2


# 3. Torn and damaged records


def _log_of(settings: Settings) -> Path:
    (log,) = (settings.valkey / "events" / "appendonlydir").glob("*.incr.aof")
    return log


@pytest.mark.usefixtures("store_stopped")
def test_a_torn_last_record_is_cut_and_a_damaged_one_is_found(own_settings: Settings) -> None:
    with in_this_process(own_settings) as collector:
        source = collector.source()
        for number in range(10):
            event = track(messageId=f"m{number}", userId="one", properties={"product_id": f"prod-{number}"})
            assert collector.batch(source, [event]).status_code == 200
        os.kill(pid := store_pid(own_settings), signal.SIGKILL)
        wait_gone(pid)
        log = _log_of(own_settings)
        content = log.read_bytes()
        # The machine stopped in the middle of the last write; and one bit of an earlier record has turned.
        content = content[:-25].replace(b'"product_id":"prod-4"', b'"product_id":"prod-5"', 1)
        log.write_bytes(content)
        wait_ready(own_settings)
        found = stored(own_settings)
        assert [each.message_id for each in found if isinstance(each, Record)] == [
            f"m{n}" for n in range(9) if n != 4
        ]
        (damaged,) = [each for each in found if isinstance(each, Damage)]
        assert damaged.reason == "checksum"
        assert b'"m4"' in damaged.raw
        # The sender of the torn one never had an answer; its second try lands.
        again = track(messageId="m9", userId="one", properties={"product_id": "prod-9"})
        _until_stored(collector, source, [again])
        assert collector.ledger(source).accepted == 10


# 4. Disk full


@pytest.fixture
def small_disk(tmp_path: Path, require_tool: Callable[[str], str]) -> Iterator[Path]:
    """A disk of 24 MB, of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        [require_tool("mount"), "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode != 0:
        message = "a small disk needs root, to mount it"
        if os.environ.get("GENOME_TEST_REQUIRE") == "all":
            pytest.fail(message)
        pytest.skip(message)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(folder: Path, leave: int) -> Path:
    filler = folder / "filler"
    free = shutil.disk_usage(folder).free
    filler.write_bytes(b"\0" * (free - leave))
    return filler


def test_a_full_disk_gives_503_and_heals_by_itself(own_settings: Settings, small_disk: Path) -> None:
    settings = own_settings.model_copy(update={"home": small_disk / "home"})
    with in_this_process(settings) as collector:
        source = collector.source()
        assert collector.batch(source, [track(messageId="before")]).status_code == 200
        pid = store_pid(settings)
        # Up to the reserve: turned away before the server is asked, which therefore lives on.
        filler = _fill(small_disk, 900 * 1024)
        time.sleep(0.2)
        refused = collector.batch(source, [track(messageId="during")])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "disk is full" in refused.json()["message"]
        assert store_pid(settings) == pid
        filler.unlink()
        _until_stored(collector, source, [track(messageId="during")])

        # Past the reserve in one write: the server exits on it, and nothing was acknowledged.
        filler = _fill(small_disk, 1_200 * 1024)
        time.sleep(0.2)
        big = [
            track(
                messageId=f"big{n}",
                userId=f"u{n}",
                properties={"product_id": "x" * 200, "n": os.urandom(7_000).hex()},
            )
            for n in range(150)
        ]
        assert collector.batch(source, big).status_code == 503
        wait_gone(pid)
        assert collector.batch(source, [track()]).status_code == 503
        filler.unlink()
        _until_stored(collector, source, big)
        names = Counter(each.message_id for each in collector.records(source))
        assert names == Counter(["before", "during", *(f"big{n}" for n in range(150))])
        row = collector.ledger(source)
        assert row.is_balanced
        assert row.accepted == 152
        assert collector.app is not None
        assert collector.app.committer.figures.restarts >= 1


def _until_stored(collector: Running, source: str, events: list[dict[str, Any]]) -> None:
    deadline = time.monotonic() + 30
    while collector.batch(source, events).status_code != 200:
        assert time.monotonic() < deadline, "it did not heal"
        time.sleep(0.1)
