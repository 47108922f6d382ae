"""Run DAGs through Airflow without its services: `python -m dags.headless DAG_ID… | --all`.

`dag.test()` runs one DAG and writes its Asset events, but never starts the DAGs those events should wake.
So this runs the DAGs in the topological order of their Assets, read from the DAGs themselves, and stops at
the first failure (docs/adr/airflow.md).
"""

import argparse
import contextlib
import graphlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pluggy

from genome.errors import GenomeError, UsageError
from genome.services import airflow_env
from genome.services.locks import running_dags
from genome.settings import load

if TYPE_CHECKING:
    from airflow.sdk import DAG

LOG_BYTES = 20_000_000
hookimpl = pluggy.HookimplMarker("airflow")  # what airflow.listeners exports, without importing airflow yet


class Events:
    """Progress, one line an event, on the terminal that Airflow's own output is kept away from."""

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream = stream
        self._as_json = as_json

    def say(self, event: str, **fields: Any) -> None:
        """Write one event."""
        line = (
            json.dumps({"event": event, **fields}, default=str)
            if self._as_json
            else _for_people(event, fields)
        )
        if line:
            self._stream.write(line + "\n")
            self._stream.flush()


def _for_people(event: str, fields: Mapping[str, Any]) -> str | None:
    match event:
        case "planned":
            return f"{len(fields['dag_ids'])} DAGs: {', '.join(fields['dag_ids'])}"
        case "dag_started":
            return f"{fields['dag_id']}"
        case "task_finished":
            plain = {k: v for k, v in (fields["summary"] or {}).items() if not isinstance(v, dict | list)}
            summary = ", ".join(f"{key} {value}" for key, value in plain.items())[:140]
            cost = f"{fields['seconds']:7.1f} s {fields['peak_rss_mb']:6.0f} MB"
            return f"  {fields['task_id']:<24} {cost}  {summary}"
        case "task_retrying":
            return f"  {fields['task_id']:<24} failed, will be tried again: {fields['error']}"
        case "task_failed":
            return f"  {fields['task_id']:<24} FAILED: {fields['error']}"
        case "finished":
            return f"{fields['dags']} DAGs in {fields['seconds']:.1f} s"
        case _:
            return None


class PeakMemory:
    """The highest resident memory of this process and everything it started, between two marks."""

    def __init__(self, every_seconds: float = 0.2) -> None:
        import psutil

        self._process = psutil.Process()
        self._every = every_seconds
        self._peak = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="peak-memory")
        self._thread.start()

    def mark(self) -> None:
        """Begin anew."""
        with self._lock:
            self._peak = 0
        self._sample()

    def megabytes(self) -> float:
        """The peak since the mark."""
        self._sample()
        with self._lock:
            return round(self._peak / 1e6, 1)

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            self._sample()

    def _sample(self) -> None:
        import psutil

        total = self._process.memory_info().rss
        for child in self._process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += child.memory_info().rss
        with self._lock:
            self._peak = max(self._peak, total)


class Listener:
    """Turns what Airflow tells its listeners into events."""

    def __init__(self, events: Events, memory: PeakMemory) -> None:
        self._events = events
        self._memory = memory
        self._began: dict[str, float] = {}
        self.error: str | None = None

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:  # noqa: ARG002
        """A task begins."""
        self._began[task_instance.task_id] = time.monotonic()
        self._memory.mark()
        self._events.say("task_started", dag_id=task_instance.dag_id, task_id=task_instance.task_id)

    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:  # noqa: ARG002
        """A task is done; its summary is what it returned."""
        self._events.say(
            "task_finished",
            **self._common(task_instance),
            state="success",
            summary=task_instance.xcom_pull(task_ids=task_instance.task_id),
        )

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:  # noqa: ARG002
        """A task failed, for good or for now."""
        state = getattr(task_instance.state, "value", str(task_instance.state))
        self.error = str(error)
        self._events.say(
            "task_retrying" if state == "up_for_retry" else "task_failed",
            **self._common(task_instance),
            state=state,
            error=str(error),
        )

    def _common(self, task_instance: Any) -> dict[str, Any]:
        began = self._began.get(task_instance.task_id, time.monotonic())
        return {
            "dag_id": task_instance.dag_id,
            "task_id": task_instance.task_id,
            "seconds": round(time.monotonic() - began, 3),
            "peak_rss_mb": self._memory.megabytes(),
        }


def prepare() -> None:
    """Bring Airflow's database to this version's schema, and make the pools."""
    from airflow.models.pool import Pool
    from airflow.utils.db import initdb

    from dags.common import POOLS

    initdb()
    for name, (slots, description) in POOLS.items():
        Pool.create_or_update_pool(name, slots, description, include_deferred=False)


def collect() -> "dict[str, DAG]":
    """Every DAG of the folder, by id; a file that cannot be imported, or no DAG at all, is an error."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"], bundle_name="dags-folder")
    if bag.import_errors:
        file, trace = next(iter(bag.import_errors.items()))
        raise GenomeError(
            f"{len(bag.import_errors)} DAG file(s) cannot be imported; {file}: {last_line(trace)}.",
            "Mend the file; `genome doctor` lists all of them.",
        )
    if not bag.dags:
        raise GenomeError(f"No DAG was found in {bag.dag_folder}.", "Check that the folder is the right one.")
    return dict(bag.dags)


def last_line(trace: str) -> str:
    """What a traceback says at its end."""
    return (trace.strip().splitlines() or ["no reason given"])[-1]


def edges(dags: "Mapping[str, DAG]") -> dict[str, set[str]]:
    """DAG id -> the DAGs whose Assets it is scheduled on."""
    producers: dict[Any, set[str]] = {}
    for dag_id, dag in dags.items():
        for task in dag.tasks:
            for outlet in task.outlets:
                producers.setdefault(outlet.name, set()).add(dag_id)
    return {
        dag_id: {producer for name in _awaited(dag) for producer in producers.get(name, set())} - {dag_id}
        for dag_id, dag in dags.items()
    }


def _awaited(dag: "DAG") -> set[str]:
    """Names of the Assets in the DAG's schedule, however `AssetAny` and `AssetAll` nest them."""
    names: set[str] = set()
    waiting: list[Any] = [getattr(dag.timetable, "asset_condition", None)]
    while waiting:
        condition = waiting.pop()
        waiting += getattr(condition, "objects", [])
        if (name := getattr(condition, "name", None)) is not None:
            names.add(name)
    return names


def describe(dag: "DAG") -> dict[str, Any]:
    """What a DAG is, without Airflow's types: for tests, docs and people who wonder what an edit did."""
    return {
        "dag_id": dag.dag_id,
        "file": Path(dag.fileloc).name,
        "tags": sorted(dag.tags),
        "awaits": sorted(_awaited(dag)),
        "max_active_runs": dag.max_active_runs,
        "doc": dag.doc_md,
        "tasks": [
            {
                "task_id": task.task_id,
                "owner": task.owner,
                "pool": task.pool,
                "retries": task.retries,
                "outlets": sorted(outlet.name for outlet in task.outlets),
                "upstream": sorted(task.upstream_task_ids),
                "tells_failure": bool(task.on_failure_callback),
            }
            for task in dag.topological_sort()
        ],
    }


def plan(upstream: Mapping[str, set[str]], wanted: Iterable[str], *, downstream: bool = False) -> list[str]:
    """The wanted DAGs in the topological order of their Assets; ties by name, so that it is always the same.

    Args:
        upstream: DAG id -> DAG ids it waits for.
        wanted: the DAGs to run.
        downstream: also those that the Assets of the wanted would wake.
    """
    chosen = set(wanted)
    unknown = sorted(chosen - set(upstream))
    if unknown:
        raise UsageError(f"There is no DAG '{unknown[0]}'.", f"There are: {', '.join(sorted(upstream))}.")
    sorter = graphlib.TopologicalSorter(upstream)
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    if downstream:
        for dag_id in order:
            if upstream[dag_id] & chosen:
                chosen.add(dag_id)
    return [dag_id for dag_id in order if dag_id in chosen]


def run(dag: "DAG", listener: Listener, events: Events) -> None:
    """Run one DAG to its end; a run that does not succeed is an error."""
    began = time.monotonic()
    events.say("dag_started", dag_id=dag.dag_id, tasks=[task.task_id for task in dag.topological_sort()])
    _forget_wakeups(dag.dag_id)
    listener.error = None
    state = str(dag.test().state)
    seconds = round(time.monotonic() - began, 3)
    events.say("dag_finished", dag_id=dag.dag_id, state=state, seconds=seconds)
    if state != "success":
        raise GenomeError(
            f"{dag.dag_id} ended as '{state}'" + (f": {listener.error}" if listener.error else "."),
            "Its DAG file says what to do when it fails.",
        )


def _forget_wakeups(dag_id: str) -> None:
    """This run answers the Asset events that wait for the DAG; a scheduler would answer them again."""
    from airflow.models.asset import AssetDagRunQueue
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(AssetDagRunQueue).where(AssetDagRunQueue.target_dag_id == dag_id))


@contextlib.contextmanager
def quiet(log_file: Path) -> Iterator[tuple[TextIO, TextIO]]:
    """Send all that is printed, by child processes too, to a log; yields the real stdout and stderr."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES:
        log_file.replace(log_file.with_name(log_file.name + ".1"))
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = os.dup(1), os.dup(2)
    with os.fdopen(out, "w") as real_out, os.fdopen(err, "w") as real_err, log_file.open("ab") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield real_out, real_err
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(out, 1)
            os.dup2(err, 2)


def journey(arguments: argparse.Namespace, events: Events) -> None:
    """Prepare Airflow, and run what was asked for."""
    began = time.monotonic()
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    if arguments.prepare:
        prepare()
        return
    dags = collect()
    upstream = edges(dags)
    order = plan(upstream, upstream if arguments.all else arguments.dag_ids, downstream=arguments.downstream)
    events.say("planned", dag_ids=order)
    if arguments.list:
        events.say("described", dags=[describe(dags[dag_id]) for dag_id in order])
        return
    prepare()
    events.say("prepared", seconds=round(time.monotonic() - began, 3))
    from airflow.sdk.listener import get_listener_manager

    memory = PeakMemory()
    listener = Listener(events, memory)
    get_listener_manager().add_listener(listener)
    try:
        for dag_id in order:
            run(dags[dag_id], listener, events)
    finally:
        memory.close()
    events.say("finished", dags=len(order), seconds=round(time.monotonic() - began, 3))


def main(argv: list[str] | None = None) -> int:
    """Exit 0 done, 1 failed, 2 wrong call."""
    parser = argparse.ArgumentParser(prog="python -m dags.headless", description=__doc__.splitlines()[0])
    parser.add_argument("dag_ids", nargs="*", metavar="DAG_ID")
    parser.add_argument("--all", action="store_true", help="every DAG, in the order of the Assets")
    parser.add_argument(
        "--downstream", action="store_true", help="also the DAGs that their Assets would wake"
    )
    parser.add_argument("--list", action="store_true", help="say the order and stop")
    parser.add_argument("--prepare", action="store_true", help="only bring Airflow's database up to date")
    parser.add_argument("--dags-folder", type=Path, default=airflow_env.DAGS, help="where the DAG files are")
    parser.add_argument("--json-events", action="store_true", help="progress as one JSON document a line")
    arguments = parser.parse_args(argv)
    if not (arguments.dag_ids or arguments.all or arguments.prepare):
        parser.error("name at least one DAG, or say --all")
    settings = load()
    # Before the first import of airflow, which reads its settings once.
    os.environ.update(settings.environment() | airflow_env.environment(settings, arguments.dags_folder))
    log_file = settings.logs / "airflow-headless.log"
    settings.airflow.mkdir(parents=True, exist_ok=True)
    with quiet(log_file) as (out, err):
        events = Events(out, as_json=arguments.json_events)
        try:
            # `genome up` holds the lock itself when it asks for `--prepare`; looking needs none.
            unlocked = arguments.prepare or arguments.list
            with contextlib.nullcontext() if unlocked else running_dags(settings):
                journey(arguments, events)
        except GenomeError as error:
            events.say("failed", error=str(error), log=str(log_file))
            err.write(f"genome: {error} Log: {log_file}\n")
            return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
