"""One journey for all tests of this folder: the real demo, on real data, through every component."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from genome.settings import PROJECT_ROOT, Settings
from tests.conftest import make_settings

HOUSEHOLDS = 1200
"""Enough for promise 20, which wants 1,000 customers."""


@dataclass(frozen=True)
class Journey:
    """A finished demo: where its state lies, how to call verbs on it, what it reported."""

    settings: Settings
    environment: dict[str, str]
    first: dict[str, Any]

    def genome(
        self, *words: str, timeout: float = 900, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run a verb as a person would, in a process of its own."""
        done = subprocess.run(
            [str(Path(sys.executable).parent / "genome"), *words],
            cwd=PROJECT_ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"genome {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            )
        return done

    def document(self, *words: str, timeout: float = 900) -> Any:
        """The JSON document of a verb."""
        return json.loads(self.genome(*words, "--json", timeout=timeout).stdout)


def begin(home: Path, **more: str) -> Journey:
    """A journey before its first step: a home and ports of its own, and nothing from the developer's settings."""
    settings = make_settings(home)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GENOME_")}
    environment |= {
        f"GENOME_{name.upper()}_PORT": str(getattr(settings, f"{name}_port"))
        for name in ("api", "airflow", "mlflow", "events", "online")
    }
    return Journey(settings, environment | {"GENOME_HOME": str(home)} | more, {})


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """Run `genome demo` once, from nothing."""
    home = tmp_path_factory.mktemp("journey") / "home"
    # The demo's own clock, said aloud for the verbs that follow it.
    started = begin(home, GENOME_NOW="2018-01-01T04:59:59+00:00", GENOME_BUSINESS_TIMEZONE="America/New_York")
    try:
        first = started.document("demo", "--households", str(HOUSEHOLDS), timeout=1500)
        yield replace(started, first=first)
    finally:
        started.genome("down", check=False)
