"""`genome stream land` is killed again and again while events come in and readers read: nothing is lost, nothing
doubled, and no reader meets a file that is not whole (17). `make chaos` kills twenty times.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import duckdb
import pytest
from support.streaming import Stream, record, stream_settings, until

from genome.lake import layout
from genome.lake.manifest import Manifest
from genome.settings import Settings
from genome.stores import valkey


def start(settings: Settings) -> subprocess.Popen[bytes]:
    settings.logs.mkdir(parents=True, exist_ok=True)
    with (settings.logs / "land.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "genome.cli", "stream", "land"],
            env=os.environ | settings.environment(),
            cwd=Path(__file__).resolve().parents[2],
            stdout=log,
            stderr=log,
        )


def read(settings: Settings) -> list[str]:
    """The ids in the lake, as a reader finds them."""
    paths = [str(path) for path in Manifest.read(settings, layout.INTERACTIONS).files()]
    if not paths:
        return []
    with duckdb.connect() as con:
        found = con.execute(f"SELECT interaction_id FROM read_parquet({paths}, hive_partitioning = false)")
        return [each for (each,) in found.fetchall()]


def _has_grown(settings: Settings, before: int) -> bool:
    return len(read(settings)) > before


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.chaos)])
def test_killed_while_it_lands_it_loses_and_doubles_nothing_and_no_reader_meets_an_error(
    tmp_path: Path, kills: int
) -> None:
    settings = stream_settings(tmp_path / "home", stream_land_seconds=0.05, stream_land_count=2000)
    stream = Stream(settings)
    done = threading.Event()
    errors: list[str] = []
    reads, sent = [0], [0]

    def send() -> None:
        while not done.is_set():
            for partition in range(4):
                stream.add_many(partition, [record(f"{sent[0]}-{partition}-{n}") for n in range(10)])
            sent[0] += 1
            time.sleep(0.1)

    def look() -> None:
        while not done.is_set():
            try:
                read(settings)
                reads[0] += 1
            except Exception as error:  # noqa: BLE001 - what it is, the test says
                errors.append(repr(error))

    threads = [threading.Thread(target=each, daemon=True) for each in (send, look)]
    process = start(settings)
    try:
        stream.add(0, record("first"))
        until(lambda: read(settings), seconds=60)
        for each in threads:
            each.start()
        for _ in range(kills):
            grown = partial(_has_grown, settings, len(read(settings)))
            until(grown, seconds=60)
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            process = start(settings)
        done.set()
        for each in threads:
            each.join(30)
        total = sent[0] * 40 + 1
        until(lambda: len(read(settings)) >= total, seconds=300)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        drained = time.monotonic() - began
    finally:
        done.set()
        if process.poll() is None:
            process.kill()
            process.wait(30)
        valkey.stop(settings, "events")
    assert errors == []
    assert reads[0] > kills
    ids = read(settings)
    assert len(ids) == len(set(ids)) == total
    batches = Manifest.read(settings, layout.INTERACTIONS).stream
    assert sum(each.count for batch in batches for each in batch.ranges.values()) == total
    assert drained < 10
