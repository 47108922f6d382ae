"""Run DAGs through Airflow in a process of its own: its imports, logging and memory stay out of this one."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from genome.errors import GenomeError
from genome.services import airflow_env
from genome.settings import Settings

Event = dict[str, Any]


class TaskRun(BaseModel):
    """One task that ran."""

    dag_id: str
    task_id: str
    state: str
    seconds: float
    peak_rss_mb: float
    summary: dict[str, Any] | None = None
    error: str | None = None


class HeadlessReport(BaseModel):
    """What ran, in its order."""

    dag_ids: list[str]
    tasks: list[TaskRun]
    seconds: float


def run(
    settings: Settings,
    dag_ids: Sequence[str] = (),
    *,
    everything: bool = False,
    downstream: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    dags_folder: Path = airflow_env.DAGS,
) -> HeadlessReport:
    """Run DAGs in the order of their Assets, and return when the last has succeeded.

    Args:
        settings: the installation.
        dag_ids: the DAGs to run.
        everything: every DAG.
        downstream: also those that the Assets of `dag_ids` would wake.
        on_event: called with each event as it happens: `planned` (dag_ids), `prepared`, `dag_started`,
            `task_started`, `task_finished` / `task_retrying` / `task_failed` (dag_id, task_id, seconds,
            peak_rss_mb, summary or error), `dag_finished` (state, seconds), at the end `finished` (seconds)
            or `failed` (error, log).
        dags_folder: where the DAG files are.

    Raises:
        GenomeError: a DAG failed; the ones after it were not run.
    """
    command = [
        sys.executable,
        "-m",
        "dags.headless",
        "--json-events",
        "--dags-folder",
        str(dags_folder),
        *dag_ids,
    ]
    command += ["--all"] if everything else []
    command += ["--downstream"] if downstream else []
    planned: list[str] = []
    tasks: list[TaskRun] = []
    seconds = 0.0
    failure: Event | None = None
    # Its complaints go to a file, not a pipe: nobody reads a second pipe meanwhile, and a full one stops it.
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            command,
            env=airflow_env.child_environment(settings, dags_folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        ) as process,
    ):
        if process.stdout is None:
            raise RuntimeError("a pipe was asked for")
        try:
            for line in process.stdout:
                event: Event = json.loads(line)
                match event["event"]:
                    case "planned":
                        planned = event["dag_ids"]
                    case "task_finished" | "task_failed":
                        tasks.append(TaskRun.model_validate({k: v for k, v in event.items() if k != "event"}))
                    case "finished":
                        seconds = event["seconds"]
                    case "failed":
                        failure = event
                on_event(event)
        except BaseException:
            process.terminate()
            raise
        process.wait()
        complaints.seek(0)
        said = complaints.read()
    if process.returncode:
        if failure is None:  # it did not fail in good order: it was killed, or it is broken
            failure = {"error": f"The run of the DAGs ended with status {process.returncode}. {said[-2000:]}"}
        raise GenomeError(str(failure["error"]), f"Log: {settings.logs / 'airflow-headless.log'}")
    return HeadlessReport(dag_ids=planned, tasks=tasks, seconds=seconds)


def prepare(settings: Settings, dags_folder: Path = airflow_env.DAGS) -> None:
    """Bring Airflow's database to this version's schema, and make the pools."""
    done = subprocess.run(
        [sys.executable, "-m", "dags.headless", "--prepare", "--dags-folder", str(dags_folder)],
        env=airflow_env.child_environment(settings, dags_folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GenomeError(
            f"Airflow's database could not be prepared: {done.stderr.strip()[-1000:]}.",
            f"Log: {settings.logs / 'airflow-headless.log'}",
        )
