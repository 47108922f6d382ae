"""What every test may ask for: settings of its own, free ports, and tools that may be missing."""

import os
import shutil
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import hypothesis
import pytest

from genome.settings import Settings

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile(
    "genome", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("genome")

DEMO_NOW = datetime.fromisoformat("2018-01-01T04:59:59+00:00")


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; all are held until all are known, so no two are the same."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The journey begins first: two workers share the suite by files, and its file takes longest."""
    items.sort(key=lambda item: "/e2e/" not in item.nodeid)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own GENOME_* variables must not change what a test sees."""
    for name in list(os.environ):
        if name.startswith("GENOME_") and name != "GENOME_TEST_REQUIRE":
            monkeypatch.delenv(name)


def make_settings(home: Path, **overrides: object) -> Settings:
    """Settings for one test: its own home, its own ports, the demo's clock."""
    api, airflow, mlflow, events, online, collector = free_ports(6)
    values: dict[str, object] = {
        "home": home,
        "now": DEMO_NOW,
        "business_timezone": "America/New_York",
        "api_port": api,
        "airflow_port": airflow,
        "mlflow_port": mlflow,
        "events_port": events,
        "online_port": online,
        "collector_port": collector,
    }
    return Settings(**(values | overrides))  # type: ignore[arg-type]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose state lies under the test's own folder."""
    return make_settings(tmp_path / "home")


@pytest.fixture
def require_tool() -> Callable[[str], str]:
    """`require_tool("chromium")` gives its path; where it is missing the test is skipped and says why.

    Under GENOME_TEST_REQUIRE=all (as in .ci/run) a missing tool fails instead: nothing is skipped there.
    """

    def find(name: str) -> str:
        path = shutil.which(name)
        if path:
            return path
        message = f"'{name}' is not installed: run `make test-deps` (Debian) or install it by hand"
        if os.environ.get("GENOME_TEST_REQUIRE") == "all":
            pytest.fail(message)
        pytest.skip(message)

    return find
