"""How a supervisor sees that a service works."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.streaming import Notebook, Stream, running, stream_settings, until

from genome.services.checks import NotReady, consumer_alive
from genome.stores import valkey
from genome.stream.consumer import Consumer


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    settings = stream_settings(tmp_path / "home")
    valkey.ensure(settings, "events")
    yield Stream(settings)
    valkey.stop(settings)


def test_a_consumer_is_ready_when_it_has_said_so_since_its_start_and_not_when_it_falls_silent(
    stream: Stream,
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    check = consumer_alive(stream.settings, "reader")
    with pytest.raises(NotReady, match="not begun"):
        asyncio.run(check(began))
    with running(Consumer(stream.settings, Notebook("reader"))):
        until(lambda: stream.client.hexists("stream:consumers", "reader"))
        asyncio.run(check(began))
    with pytest.raises(NotReady, match="not begun"):  # what an earlier start said does not count
        asyncio.run(check(datetime.now(UTC) + timedelta(seconds=60)))
    with pytest.raises(NotReady, match="said nothing"):
        asyncio.run(consumer_alive(stream.settings, "reader", silence_seconds=-1.0)(began))
    valkey.stop(stream.settings, "events")
    with pytest.raises(NotReady, match="does not answer"):
        asyncio.run(check(began))
