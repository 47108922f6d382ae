"""The DAGs as Airflow reads them, once a session, in a process of their own (Airflow is heavy and loud)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def list_dags(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m dags.headless --list`: reads the DAG files, runs nothing."""
    return subprocess.run(
        [sys.executable, "-m", "dags.headless", "--list", "--json-events", *arguments],
        env={**os.environ, "GENOME_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """DAG id -> what Airflow made of it, in the order in which they run."""
    done = list_dags(tmp_path_factory.mktemp("dags"), "--all")
    assert done.returncode == 0, done.stderr
    events = {event["event"]: event for event in map(json.loads, done.stdout.splitlines())}
    return {dag["dag_id"]: dag for dag in events["described"]["dags"]}


@pytest.fixture(scope="session")
def dag_files() -> list[Path]:
    """The DAG files: everything in dags/ that .airflowignore does not name."""
    ignored = {
        line.strip()
        for line in (ROOT / "dags" / ".airflowignore").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    }
    return sorted(path for path in (ROOT / "dags").glob("*.py") if path.name not in ignored)
