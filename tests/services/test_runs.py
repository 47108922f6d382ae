"""Records of runs, as tasks keep them and `genome status` reads them."""

from genome.services import runs, status
from genome.settings import Settings

WHO = {"dag_id": "serve_features", "run_id": "run-1"}


def test_the_last_run_of_a_dag_is_kept_with_its_tasks_and_summaries(settings: Settings) -> None:
    for task_id in ("apply_definitions", "load_online"):
        runs.started(settings, **WHO, task_id=task_id)
        runs.succeeded(settings, **WHO, task_id=task_id, summary={"rows": len(task_id)})
    [record] = runs.last(settings)
    assert [(task.task_id, task.state, task.summary) for task in record.tasks] == [
        ("apply_definitions", "success", {"rows": 17}),
        ("load_online", "success", {"rows": 11}),
    ]
    assert (record.state, record.seconds >= 0) == ("success", True)


def test_a_task_that_is_tried_again_counts_its_tries(settings: Settings) -> None:
    runs.started(settings, **WHO, task_id="load_online")
    runs.failed(settings, **WHO, task_id="load_online", error="no answer", will_retry=True)
    assert runs.last(settings)[0].state == "retrying"
    runs.started(settings, **WHO, task_id="load_online")
    [record] = runs.last(settings)
    assert (record.state, record.tasks[0].tries, record.tasks[0].error) == ("running", 2, None)


def test_a_new_run_replaces_the_old_and_a_straggler_of_the_old_changes_nothing(settings: Settings) -> None:
    runs.started(settings, **WHO, task_id="load_online")
    runs.started(settings, dag_id="serve_features", run_id="run-2", task_id="apply_definitions")
    runs.succeeded(settings, **WHO, task_id="load_online", summary={})
    [record] = runs.last(settings)
    assert (record.run_id, [task.task_id for task in record.tasks]) == ("run-2", ["apply_definitions"])


def test_status_calls_a_run_lost_whose_process_is_gone(settings: Settings) -> None:
    runs.started(settings, **WHO, task_id="load_online")
    path = settings.services / "runs" / "serve_features.json"
    path.write_text(path.read_text().replace('"pid_created": ', '"pid_created": 1'))
    [line] = status.read(settings).runs
    assert (line.state, line.failed_task, line.error) == ("lost", "load_online", "its process is gone")


def test_a_record_that_cannot_be_read_counts_as_none(settings: Settings) -> None:
    runs.started(settings, **WHO, task_id="load_online")
    (settings.services / "runs" / "serve_features.json").write_text("{")
    assert runs.last(settings) == []
