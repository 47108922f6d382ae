"""One collector for each test file; every test takes a source of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.collecting import Running, in_this_process

from genome.settings import Settings


def collector_settings(home: Path, **overrides: Any) -> Settings:
    """Settings of a collector on the system's clock, at free ports."""
    import socket

    held = [socket.socket() for _ in range(2)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        events, port = (each.getsockname()[1] for each in held)
    finally:
        for each in held:
            each.close()
    values: dict[str, Any] = {"events_port": events, "collector_port": port, "collector_disk_reserve_mb": 1}
    return Settings(home=home, **(values | overrides))


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A collector that listens."""
    settings = collector_settings(tmp_path_factory.mktemp("collector") / "home")
    with in_this_process(settings) as running:
        yield running


@pytest.fixture
def own_settings(tmp_path: Path) -> Settings:
    """Settings for a test that starts and kills a collector of its own."""
    return collector_settings(tmp_path / "home")
