"""A DAG file wires and nothing else (DESIGN, rules of style 2 and 3)."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dags.headless import plan
from genome.channels import registry
from genome.cli import VERBS

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {"ingest"}
SQL = re.compile(
    r"\b(select\s+.+\s+from|insert\s+into|create\s+(or\s+replace\s+)?table|copy\s+\()", re.I | re.S
)
Dags = dict[str, dict[str, Any]]


def module_imports(path: Path) -> set[str]:
    """What a file imports when it is read (not what its tasks import when they run)."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_there_are_dags_and_dag_files(described: Dags, dag_files: list[Path]) -> None:
    # Airflow reads a folder that does not exist as no DAGs and no errors, on which much would pass.
    assert {"build_genome", "serve_features"} <= set(described)
    assert len(dag_files) >= 5


def test_every_dag_file_makes_a_dag_and_every_dag_has_its_file(
    described: Dags, dag_files: list[Path]
) -> None:
    assert {dag["file"] for dag in described.values()} == {path.name for path in dag_files}


def test_the_id_is_the_files_name_or_a_familys_with_a_member(described: Dags) -> None:
    for dag_id, dag in described.items():
        stem = Path(dag["file"]).stem
        if stem in FAMILIES:
            assert re.fullmatch(rf"{stem}_[a-z0-9_]+", dag_id), dag_id
        else:
            assert dag_id == stem


def test_every_channel_and_feed_has_its_ingest_dag_and_its_asset(described: Dags) -> None:
    ingests = {dag_id for dag_id in described if dag_id.startswith("ingest_")}
    assert ingests == {f"ingest_{channel}" for channel in registry()}
    told = {outlet for dag_id in ingests for task in described[dag_id]["tasks"] for outlet in task["outlets"]}
    assert told == {f"lake/{channel}" for channel in registry()}
    stream = {outlet for task in described["maintain_lake"]["tasks"] for outlet in task["outlets"]}
    assert stream == {"lake/stream"}
    assert told | stream == set(described["build_genome"]["awaits"])


def test_a_dag_file_imports_airflow_sdk_and_the_common_module_and_nothing_else(dag_files: list[Path]) -> None:
    for path in dag_files:
        assert module_imports(path) <= {"airflow.sdk", "dags.common"}, path.name


def test_a_dag_file_is_short_and_holds_no_sql(dag_files: list[Path]) -> None:
    for path in dag_files:
        text = path.read_text()
        assert len(text.splitlines()) <= 80, path.name
        assert not SQL.search(text), path.name


def test_a_task_calls_one_function_of_the_library_which_it_imports_itself(dag_files: list[Path]) -> None:
    layers = {"genome", "models", "feature_repo", "expectations"}
    counted = 0
    for path in dag_files:
        for node in ast.walk(ast.parse(path.read_text())):
            is_task = isinstance(node, ast.FunctionDef) and any(
                isinstance(each, ast.Call) and getattr(each.func, "id", "") == "step"
                for each in node.decorator_list
            )
            if isinstance(node, ast.FunctionDef) and is_task:
                imports, *rest = node.body
                assert isinstance(imports, ast.ImportFrom), f"{path.name}: {node.name} must import inside"
                assert (imports.module or "").split(".")[0] in layers
                assert len(imports.names) == 1
                assert len(rest) == 1
                assert isinstance(rest[0], ast.Return), f"{path.name}: {node.name} does more than one call"
                counted += 1
    assert counted >= 14


def test_a_dags_page_says_its_purpose_its_owner_and_what_to_do_when_it_fails(described: Dags) -> None:
    for dag_id, dag in described.items():
        assert dag["doc"], dag_id
        for heading in ("**Purpose**", "**Owner**", "**When it fails**"):
            assert heading in dag["doc"], (dag_id, heading)
        owner = re.search(r"\*\*Owner\*\*: ([a-z-]+)", dag["doc"])
        assert owner is not None
        assert {task["owner"] for task in dag["tasks"]} == {owner.group(1)}, dag_id


def test_tags_come_from_the_one_enum(described: Dags) -> None:
    from dags.common import Tag

    for dag_id, dag in described.items():
        assert dag["tags"], dag_id
        assert set(dag["tags"]) <= {tag.value for tag in Tag}


def test_every_task_is_tried_again_and_tells_when_it_fails(described: Dags) -> None:
    for dag_id, dag in described.items():
        assert dag["max_active_runs"] == 1, dag_id
        for task in dag["tasks"]:
            assert task["retries"] == 2, (dag_id, task["task_id"])
            assert task["tells_failure"], (dag_id, task["task_id"])


def test_tasks_that_open_the_warehouse_file_share_a_pool_of_one(
    described: Dags, dag_files: list[Path]
) -> None:
    from dags.common import POOLS

    assert POOLS["warehouse"][0] == 1
    opens: set[str] = set()
    for path in dag_files:
        for node in ast.walk(ast.parse(path.read_text())):
            first = node.body[0] if isinstance(node, ast.FunctionDef) else None
            if isinstance(first, ast.ImportFrom) and first.module == "genome.warehouse":
                opens.add(f"{path.stem}.{node.name}")
    assert opens == {
        "build_genome.build_warehouse",
        "build_genome.stage_tables",
        "publish_next_best_offers.build_scores",
    }
    pooled = {
        f"{dag_id}.{task['task_id']}"
        for dag_id, dag in described.items()
        for task in dag["tasks"]
        if task["pool"] == "warehouse"
    }
    assert pooled == opens


def test_the_assets_chain_every_dag_from_ingest_to_scores(described: Dags) -> None:
    order = list(described)
    told: dict[str, str] = {
        outlet: dag_id
        for dag_id, dag in described.items()
        for task in dag["tasks"]
        for outlet in task["outlets"]
    }
    for dag_id, dag in described.items():
        for asset in dag["awaits"]:
            assert order.index(told[asset]) < order.index(dag_id), f"{dag_id} runs before {told[asset]}"
    assert order[-4:] == [
        "build_genome",
        "serve_features",
        "train_next_best_offer",
        "publish_next_best_offers",
    ]
    assert told["scores"] == "publish_next_best_offers"


def test_the_documented_map_names_every_task_and_verbs_that_exist(described: Dags) -> None:
    text = (ROOT / "docs" / "cookbooks" / "run-it.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| `genome ([a-z-]+)` \|", text, re.M)
    documented = {(dag_id, task_id) for dag_id, task_id, _ in rows}
    actual = {
        ("ingest_<channel>" if dag_id.startswith("ingest_") else dag_id, task["task_id"])
        for dag_id, dag in described.items()
        for task in dag["tasks"]
    }
    assert documented == actual
    assert {verb for _, _, verb in rows} <= set(VERBS)
    for dag_id, _, verb in rows:
        file = "ingest.py" if dag_id.startswith("ingest_") else f"{dag_id}.py"
        assert f"`genome {verb}" in (ROOT / "dags" / file).read_text(), f"{file} must name `genome {verb}`"


def test_reading_the_dag_files_loads_nothing_heavy() -> None:
    heavy = "pandas duckdb dbt feast mlflow lightgbm great_expectations pyarrow sklearn"
    code = (
        "import sys, airflow.sdk; before = set(sys.modules); import dags.ingest, dags.build_genome;"
        "import dags.serve_features, dags.train_next_best_offer, dags.publish_next_best_offers;"
        "import dags.maintain_lake;"
        f"print(sorted((set(sys.modules) - before) & set('{heavy}'.split())))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("wanted", "downstream", "expected"),
    [
        (["c", "a"], False, ["a", "c"]),
        (["b"], True, ["b", "d", "e"]),
        (["a", "b", "c", "d", "e"], False, ["a", "b", "c", "d", "e"]),
        (["c"], True, ["c"]),
    ],
)
def test_the_plan_follows_the_assets(wanted: list[str], downstream: bool, expected: list[str]) -> None:
    upstream: dict[str, set[str]] = {"a": set(), "b": set(), "c": {"a"}, "d": {"a", "b"}, "e": {"d"}}
    assert plan(upstream, wanted, downstream=downstream) == expected
