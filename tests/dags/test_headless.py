"""Headless runs: order, progress, failure, repetition. A small chain of two DAGs through the real Airflow."""

import json
from pathlib import Path
from typing import Any

import pytest

from genome.errors import GenomeError
from genome.services import headless, locks, runs
from genome.settings import Settings

CHAIN = """
from airflow.sdk import Asset, dag

from dags.common import Owner, Tag, house, settings, step

MIDDLE = Asset(name="middle", uri="x-genome://middle")


@dag(**house("doc", Owner.DATA, Tag.BUILD))
def z_first() -> None:
    @step(pool="warehouse")
    def make() -> dict:
        print("this line must not reach the terminal")
        return {"rows": 3, "home": str(settings().home)}

    @step(outlets=[MIDDLE])
    def take(made: dict) -> dict:
        return {"rows": made["rows"] + 1}

    take(make())


@dag(**house("doc", Owner.DATA, Tag.BUILD, schedule=[MIDDLE]))
def a_second() -> None:
    @step()
    def use() -> dict:
        from genome.errors import GenomeError

        trouble = settings().home / "trouble"
        if trouble.exists():
            raise GenomeError("File trouble is in the way.", "Remove it.")
        return {}

    use()


z_first()
a_second()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "dags"
    path.mkdir()
    (path / "chain.py").write_text(CHAIN)
    return path


def test_dags_run_in_the_order_of_their_assets_and_again_with_the_same_result(
    settings: Settings, folder: Path
) -> None:
    events: list[dict[str, Any]] = []
    first = headless.run(settings, everything=True, on_event=events.append, dags_folder=folder)
    assert first.dag_ids == ["z_first", "a_second"]
    assert [(task.task_id, task.summary) for task in first.tasks] == [
        ("make", {"rows": 3, "home": str(settings.home)}),
        ("take", {"rows": 4}),
        ("use", {}),
    ]
    assert all(task.seconds >= 0 and task.peak_rss_mb > 50 for task in first.tasks)
    assert [event["event"] for event in events if event["event"].startswith("dag_")] == [
        "dag_started",
        "dag_finished",
    ] * 2
    assert "this line must not reach" in (settings.logs / "airflow-headless.log").read_text()
    assert [(run.dag_id, run.state) for run in runs.last(settings)] == [
        ("z_first", "success"),
        ("a_second", "success"),
    ]

    (settings.home / "trouble").touch()
    with pytest.raises(
        GenomeError, match=r"a_second ended as 'failed': File trouble is in the way\. Remove it\."
    ):
        headless.run(settings, ["z_first"], downstream=True, on_event=events.append, dags_folder=folder)
    failed = runs.last(settings)[-1]
    # What a person must mend is not tried again.
    assert (failed.dag_id, failed.state, failed.tasks[0].tries) == ("a_second", "failed", 1)
    assert "Remove it." in (failed.tasks[0].error or "")

    (settings.home / "trouble").unlink()
    again = headless.run(settings, everything=True, dags_folder=folder)
    assert [task.summary for task in again.tasks] == [task.summary for task in first.tasks]


def test_a_second_runner_is_refused_while_one_runs(settings: Settings, folder: Path) -> None:
    with (
        locks.running_dags(settings),
        pytest.raises(GenomeError, match="Another process is running the DAGs"),
    ):
        headless.run(settings, everything=True, dags_folder=folder)


def test_an_unknown_dag_is_a_wrong_call_that_names_those_there_are(settings: Settings, folder: Path) -> None:
    with pytest.raises(GenomeError, match=r"no DAG 'nonsense'\. There are: a_second, z_first"):
        headless.run(settings, ["nonsense"], dags_folder=folder)


def test_a_dag_file_that_cannot_be_imported_is_named_with_its_error(settings: Settings, folder: Path) -> None:
    (folder / "broken.py").write_text("from airflow.sdk import dag\nimport no_such_module  # dag\n")
    with pytest.raises(
        GenomeError, match=r"broken.py: ModuleNotFoundError: No module named 'no_such_module'"
    ):
        headless.run(settings, everything=True, dags_folder=folder)


def test_a_folder_without_dags_is_an_error_and_not_a_success(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(GenomeError, match="No DAG was found"):
        headless.run(settings, everything=True, dags_folder=tmp_path / "nowhere")


def test_the_database_that_airflow_uses_lies_under_home(settings: Settings, folder: Path) -> None:
    headless.prepare(settings, folder)
    assert (settings.airflow / "airflow.db").stat().st_size > 0
    passwords = settings.secrets / "airflow_passwords.json"
    assert passwords.stat().st_mode & 0o077 == 0
    assert len(json.loads(passwords.read_text())["admin"]) >= 20
