"""dags → models, feature_repo, expectations → genome: each layer imports only downward."""

from pathlib import Path

import pytest
from support.source import LAYERS, ROOT, imports, tracked

FORBIDDEN = {
    "genome": {"airflow", "dags", "models", "feature_repo", "expectations"},
    "expectations": {"airflow", "dags", "models", "feature_repo"},
    "feature_repo": {"airflow", "dags", "models", "expectations"},
    "models": {"airflow", "dags"},
    "dags": set(),
}
# Files, clocks, networks and databases are somebody else's work: a decision can be recomputed from its log.
IO_MODULES = {
    "asyncio",
    "duckdb",
    "fastapi",
    "feast",
    "fsspec",
    "hiredis",
    "httpx",
    "io",
    "mlflow",
    "os",
    "pathlib",
    "pyarrow",
    "redis",
    "requests",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "time",
    "urllib",
    "valkey",
}
IO_CALLS = ("open(", "print(", "datetime.now(", "datetime.utcnow(", "input(")
# The placements file is packaged data; this one module reads it.
DECISIONS_IO_EXCEPTIONS = {"genome/decisions/commands.py", "genome/decisions/placements.py"}


def _files(layer: str) -> list[Path]:
    return [path for path in tracked(f"{layer}/*.py", f"{layer}/**/*.py") if path.suffix == ".py"]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_downward(layer: str) -> None:
    files = _files(layer)
    assert files, f"no Python file found under {layer}/: the check would pass on nothing"
    wrong = [
        f"{found.path.relative_to(ROOT)}:{found.line} imports {found.module}"
        for path in files
        for found in imports(path)
        if found.module.split(".")[0] in FORBIDDEN[layer]
    ]
    assert wrong == []


def test_decisions_do_no_input_or_output() -> None:
    files = [
        path
        for path in _files("genome/decisions")
        if str(path.relative_to(ROOT)) not in DECISIONS_IO_EXCEPTIONS
    ]
    assert files, "no file found under genome/decisions: the check would pass on nothing"
    wrong = []
    for path in files:
        name = path.relative_to(ROOT)
        wrong += [
            f"{name}:{found.line} imports {found.module}"
            for found in imports(path)
            if found.module.split(".")[0] in IO_MODULES
            or (
                found.module.startswith("genome.")
                and not found.module.startswith(("genome.decisions", "genome.match"))
            )
        ]
        wrong += [
            f"{name}:{number} calls {call}"
            for number, line in enumerate(path.read_text().splitlines(), 1)
            for call in IO_CALLS
            if call in line and not line.lstrip().startswith("#")
        ]
    assert wrong == []


def test_the_list_of_exceptions_holds_no_name_that_is_gone() -> None:
    assert [name for name in sorted(DECISIONS_IO_EXCEPTIONS) if not (ROOT / name).exists()] == []
