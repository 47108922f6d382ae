"""Each of the six packages does work that nothing else does: without any one of them the demo fails.

`make prove` runs this: it is the demo six times and once more.
"""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import begin

HIDE = """
import os, sys
from importlib.abc import MetaPathFinder

class Hidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        hidden = os.environ["TEST_HIDES"]
        if name == hidden or name.startswith(hidden + "."):
            raise ModuleNotFoundError(f"No module named {name!r} (hidden by a test)", name=name)
        return None

if os.environ.get("TEST_HIDES"):
    sys.meta_path.insert(0, Hidden())
"""

PACKAGES = {
    "apache-airflow": "airflow",
    "dbt-core": "dbt.cli",
    "dbt-duckdb": "dbt.adapters.duckdb",
    "great-expectations": "great_expectations",
    "feast": "feast",
    "mlflow": "mlflow",
}


def demo(home: Path, hidden: str) -> "subprocess.CompletedProcess[str]":
    (home.parent / "sitecustomize.py").write_text(HIDE)
    started = begin(home, PYTHONPATH=str(home.parent), TEST_HIDES=hidden)
    try:
        return started.genome("demo", "--households", "600", "--json", check=False)
    finally:
        whole = replace(started, environment=started.environment | {"TEST_HIDES": ""})
        whole.genome("down", check=False)


@pytest.mark.prove
@pytest.mark.timeout(1000)
def test_with_all_of_them_the_demo_passes(tmp_path: Path) -> None:
    done = demo(tmp_path / "home", "")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.prove
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("package", PACKAGES)
def test_without_it_the_demo_fails_and_names_it(tmp_path: Path, package: str) -> None:
    module = PACKAGES[package]
    done = demo(tmp_path / "home", module)
    assert done.returncode == 1
    logs = [path.read_text(errors="replace") for path in (tmp_path / "home" / "logs").rglob("*.log")]
    assert any(module.split(".")[-1] in text for text in [done.stderr, *logs])
