"""How the last run of each DAG went, kept as small files, so that `genome status` need not load Airflow."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel

from genome.services.processes import ProcessId
from genome.settings import Settings

State = Literal["running", "success", "retrying", "failed"]


class TaskRecord(BaseModel):
    """One task of a run."""

    task_id: str
    state: State
    started_at: AwareDatetime
    seconds: float | None = None
    pid: int
    pid_created: float
    tries: int = 1
    summary: dict[str, Any] | None = None
    error: str | None = None


class RunRecord(BaseModel):
    """The last run of one DAG; its tasks in the order in which they began."""

    dag_id: str
    run_id: str
    started_at: AwareDatetime
    tasks: list[TaskRecord]

    @property
    def state(self) -> State:
        """The state of the task that began last: the DAGs here are chains, so it speaks for the run."""
        return self.tasks[-1].state

    @property
    def seconds(self) -> float:
        """From the run's begin to the end of its last task, as far as that is known."""
        last = self.tasks[-1]
        return (last.started_at - self.started_at).total_seconds() + (last.seconds or 0.0)


def started(settings: Settings, *, dag_id: str, run_id: str, task_id: str) -> None:
    """Note that a task begins."""
    run = _read(_path(settings, dag_id))
    now = datetime.now(UTC)
    if run is None or run.run_id != run_id:
        run = RunRecord(dag_id=dag_id, run_id=run_id, started_at=now, tasks=[])
    earlier = [task for task in run.tasks if task.task_id == task_id]
    me = ProcessId.of(os.getpid())
    task = TaskRecord(
        task_id=task_id,
        state="running",
        started_at=now,
        pid=me.pid,
        pid_created=me.created,
        tries=1 + sum(task.tries for task in earlier),
    )
    run.tasks = [*(task for task in run.tasks if task.task_id != task_id), task]
    _write(settings, run)


def succeeded(settings: Settings, *, dag_id: str, run_id: str, task_id: str, summary: dict[str, Any]) -> None:
    """Note that a task is done."""
    _finish(settings, dag_id, run_id, task_id, state="success", summary=summary)


def failed(
    settings: Settings, *, dag_id: str, run_id: str, task_id: str, error: str, will_retry: bool
) -> None:
    """Note that a task failed."""
    _finish(settings, dag_id, run_id, task_id, state="retrying" if will_retry else "failed", error=error)


def last(settings: Settings) -> list[RunRecord]:
    """The last run of each DAG, oldest first."""
    records = [_read(path) for path in sorted((settings.services / "runs").glob("*.json"))]
    return sorted((record for record in records if record is not None), key=lambda record: record.started_at)


def _finish(settings: Settings, dag_id: str, run_id: str, task_id: str, **changes: Any) -> None:
    run = _read(_path(settings, dag_id))
    if run is None or run.run_id != run_id:
        return  # another run of this DAG has begun; its record stays
    now = datetime.now(UTC)
    run.tasks = [
        task.model_copy(update={**changes, "seconds": (now - task.started_at).total_seconds()})
        if task.task_id == task_id
        else task
        for task in run.tasks
    ]
    _write(settings, run)


def _path(settings: Settings, dag_id: str) -> Path:
    return settings.services / "runs" / f"{dag_id}.json"


def _read(path: Path) -> RunRecord | None:
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        # The record is a convenience: one that cannot be read (an older format) counts as none.
        return None


def _write(settings: Settings, run: RunRecord) -> None:
    path = _path(settings, run.dag_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(run.model_dump(mode="json"), default=str))
    temporary.replace(path)
