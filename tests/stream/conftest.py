"""One events store for each test file; every test takes a consumer name and partitions of its own."""

from collections.abc import Iterator

import pytest
from support.streaming import Stream, stream_settings

from genome.stores import valkey


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """An events store with an event stream that tests write into."""
    settings = stream_settings(tmp_path_factory.mktemp("stream") / "home")
    valkey.ensure(settings, "events")
    yield Stream(settings)
    valkey.stop(settings)
