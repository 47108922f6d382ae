"""Verbs that run the services and the DAGs: up, down, status, doctor, run."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, err, out, report

if TYPE_CHECKING:
    from genome.services.status import Status
    from genome.services.supervisor import Supervisor
    from genome.settings import Settings

Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing where all is well.")]
_COLOURS = {
    "ready": "green",
    "success": "green",
    "good": "green",
    "failed": "red",
    "broken": "red",
    "lost": "red",
}


def up(
    only: Annotated[
        str,
        typer.Option(
            help="Only these, with commas: events, online, airflow, mlflow, api, valkey, collector, stream, land …"
        ),
    ] = "",
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when all is ready; end with `down`.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start everything, watch over it, and stop it on Ctrl-C."""
    from genome.services import catalogue
    from genome.settings import load

    settings = load()
    names = catalogue.chosen([name.strip() for name in only.split(",") if name.strip()])
    if detach:
        _up_detached(settings, only, names, as_json=as_json)
        return
    if not _up(settings, names, as_json=as_json):
        raise typer.Exit(1)


def _refuse_a_second(settings: "Settings") -> None:
    from genome.errors import GenomeError
    from genome.services import state

    running = state.read(settings)
    if running is not None and running.supervisor.is_alive():
        raise GenomeError(
            f"`genome up` runs already (process {running.supervisor.pid}).", "End it with `genome down`."
        )


def _up(settings: "Settings", names: list[str], *, as_json: bool) -> bool:
    import asyncio
    import contextlib
    import signal

    from genome.services import catalogue, headless, locks, state
    from genome.services.supervisor import Supervisor, clean_up_after

    _refuse_a_second(settings)
    for name in clean_up_after(settings):
        err.print(f"ended {name}, which an earlier `genome up` left behind")

    def say(service: state.ServiceState) -> None:
        if service.state in {"ready", "unhealthy", "backing off", "failed"}:
            took = (
                f"in {service.start_seconds:.1f} s"
                if service.state == "ready" and service.start_seconds
                else ""
            )
            err.print(f"{service.name:<18} {service.state} {took}{service.message}")

    async def serve() -> bool:
        supervisor = Supervisor(settings, catalogue.services(settings, names), on_change=say)
        supervisor.refuse_taken_ports()
        if any(name.startswith("airflow") for name in names):
            err.print("bringing Airflow's database up to date …")
            await asyncio.to_thread(headless.prepare, settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, supervisor.stop)
        return await supervisor.run(lambda: _announce(settings, supervisor, as_json=as_json))

    with locks.running_dags(settings) if "airflow-scheduler" in names else contextlib.nullcontext():
        fine = asyncio.run(serve())
    err.print("everything has stopped")
    return fine


def _announce(settings: "Settings", supervisor: "Supervisor", *, as_json: bool) -> None:
    from genome.services import airflow_env

    services = supervisor.states
    login = None
    if any(service.name == "airflow-api" for service in services):
        # The password itself only where a person reads it: output that is kept must not hold it.
        where = str(airflow_env.password_file(settings))
        login = {"user": airflow_env.USER, "password_file": where}

    def human(console: Console) -> None:
        console.print(_services_table([service.model_dump() for service in services]))
        if login:
            secret = (
                airflow_env.password(settings) if console.is_terminal else f"see {login['password_file']}"
            )
            console.print(
                f"Airflow: log in as [bold]{airflow_env.USER}[/], password [bold]{secret}[/]", soft_wrap=True
            )
        if any(service.name == "api" for service in services):
            where = settings.secrets / "<scope>.key"
            console.print(f"API: {_url(settings, settings.api_port)}/ with a key of {where}", soft_wrap=True)
        console.print("Ctrl-C, or `genome down` from elsewhere, stops everything.")

    listed = [service.model_dump(mode="json", exclude={"process"}) for service in services]
    report({"services": listed, "airflow_login": login}, as_json=as_json, human=human)
    out.file.flush()


def _url(settings: "Settings", port: int) -> str:
    from genome.services import airflow_env

    return f"http://{airflow_env.reachable(settings.host)}:{port}"


def _up_detached(settings: "Settings", only: str, names: list[str], *, as_json: bool) -> None:
    import subprocess
    import sys
    import time

    from genome.errors import GenomeError
    from genome.services import state

    _refuse_a_second(settings)
    settings.logs.mkdir(parents=True, exist_ok=True)
    log = settings.logs / "supervisor.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "genome.cli", "up", *(["--only", only] if only else [])],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    while True:
        if process.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise GenomeError(
                f"`genome up` ended with status {process.returncode}: {' · '.join(last)}", f"Its log: {log}"
            )
        now = state.read(settings)
        if now is not None and now.supervisor.pid == process.pid:
            states = {service.state for service in now.services}
            if states <= {"ready", "failed"}:
                break
        time.sleep(0.2)
    listed = [service.model_dump(mode="json", exclude={"process"}) for service in now.services]
    report(
        {"services": listed}, as_json=as_json, human=lambda console: console.print(_services_table(listed))
    )
    if len(names) != sum(service.state == "ready" for service in now.services):
        raise typer.Exit(1)


def down(quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Stop what runs: the services of `genome up` and the embedded stores."""
    import os
    import signal
    import time

    from genome.services import processes, state
    from genome.services.supervisor import clean_up_after
    from genome.settings import load
    from genome.stores import valkey

    settings = load()
    running = state.read(settings)
    stopped: list[str] = []
    if running is not None and running.supervisor.is_alive():
        stopped = [service.name for service in running.services if service.state != "failed"]
        os.kill(running.supervisor.pid, signal.SIGTERM)
        deadline = time.monotonic() + 90.0
        while running.supervisor.is_alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        if running.supervisor.is_alive():
            processes.terminate([running.supervisor], 0.0)
    stopped += [name for name in clean_up_after(settings) if name not in stopped]
    stopped += [name for name in valkey.stop(settings) if name not in stopped]
    if quiet and not as_json:
        return
    text = f"stopped: {', '.join(stopped)}" if stopped else "nothing was running"
    report({"stopped": stopped}, as_json=as_json, human=lambda console: console.print(text))


def status(as_json: AsJson = False) -> None:
    """Say what runs, how old what readers see is, how the last runs went, and where the rows are."""
    from genome.services import status as look
    from genome.settings import load

    found = look.read(load())

    def human(console: Console) -> None:
        console.print(
            f"{found.home}   now {found.now.isoformat()}   services {'up' if found.is_up else 'down'}"
        )
        console.print(_services_table([line.model_dump() for line in found.services]))
        if found.publications:
            table = Table("published", "epoch", "at", "age in hours", "tables", "rows")
            for line in found.publications:
                table.add_row(
                    line.group,
                    line.epoch,
                    f"{line.published_at:%Y-%m-%d %H:%M:%S}",
                    f"{line.age_hours:,.1f}",
                    str(len(line.rows)),
                    f"{sum(line.rows.values()):,}",
                )
            console.print(table)
        if found.runs:
            table = Table("last run of", "state", "began", "seconds", "why")
            for run_line in found.runs:
                why = f"{run_line.failed_task}: {run_line.error}" if run_line.failed_task else ""
                table.add_row(
                    run_line.dag_id,
                    _coloured(run_line.state),
                    f"{run_line.started_at:%Y-%m-%d %H:%M:%S}",
                    f"{run_line.seconds:,.1f}",
                    why[:200],
                )
            console.print(table)
        if found.ledger:
            table = Table(
                "channel", "received", "accepted", "quarantined", "suppressed", "duplicate", "balances"
            )
            for row in found.ledger:
                counts = (row.received, row.accepted, row.quarantined, row.suppressed, row.duplicate)
                table.add_row(
                    row.channel, *(f"{count:,}" for count in counts), "yes" if row.is_balanced else "NO"
                )
            console.print(table)

        _show_stream(console, found)

    report(found, as_json=as_json, human=human)


def _show_stream(console: Console, found: "Status") -> None:
    if found.landing:
        table = Table("live source", "accepted", "landed", "waiting", "parked", "rows", "balances")
        for hop in found.landing:
            counts = (hop.accepted, hop.landed, hop.waiting, hop.parked, hop.rows)
            table.add_row(
                f"{hop.channel} from {hop.source}",
                *(f"{count:,}" for count in counts),
                "yes" if hop.is_balanced else "NO",
            )
        console.print(table)
    if found.consumers:
        table = Table("consumer", "partitions", "lag", "behind", "a second", "parked", "seen", "trouble")
        for each in found.consumers:
            table.add_row(
                each.consumer,
                str(each.partitions),
                f"{each.lag:,}",
                f"{each.lag_seconds:,.1f} s",
                f"{each.rate:,.0f}",
                f"{each.parked:,}",
                f"{each.told_seconds_ago:,.0f} s ago",
                ", ".join(each.failing),
            )
        console.print(table)


def doctor(as_json: AsJson = False) -> None:
    """Say what is wrong with this installation, and what to do about each; exit 1 if something is broken."""
    from genome.services import doctor as look
    from genome.settings import load

    findings = look.examine(load())

    def human(console: Console) -> None:
        table = Table("", "about", "what", "what to do")
        for finding in findings:
            table.add_row(_coloured(finding.verdict), finding.about, finding.what, finding.remedy)
        console.print(table)

    report({"findings": [each.model_dump() for each in findings]}, as_json=as_json, human=human)
    if any(finding.verdict == "broken" for finding in findings):
        raise typer.Exit(1)


def run(
    dag_ids: Annotated[list[str] | None, typer.Argument(metavar="DAG_ID…", help="The DAGs to run.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every DAG, in the order of the Assets.")] = False,
    downstream: Annotated[
        bool, typer.Option("--downstream", help="Also the DAGs that their Assets wake.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run DAGs through Airflow, and wait for their end.

    Beside `genome up` its scheduler runs them, and the Assets wake what follows; else they run headless.
    """
    from genome.errors import UsageError
    from genome.services import state
    from genome.settings import load

    if bool(dag_ids) == everything:
        raise UsageError("Say which DAGs to run.", "Name them, or say --all.")
    settings = load()
    running = state.read(settings)
    if running is not None and running.supervisor.is_alive() and _has_scheduler(running):
        _run_scheduled(settings, dag_ids or [], everything=everything, downstream=downstream, as_json=as_json)
    else:
        _run_headless(settings, dag_ids or [], everything=everything, downstream=downstream, as_json=as_json)


def _has_scheduler(running: Any) -> bool:
    return any(service.name == "airflow-scheduler" for service in running.services)


def _run_headless(
    settings: "Settings", dag_ids: list[str], *, everything: bool, downstream: bool, as_json: bool
) -> None:
    from genome.services import headless

    def say(event: headless.Event) -> None:
        match event["event"]:
            case "dag_started":
                out.print(f"[bold]{event['dag_id']}[/]")
            case "task_finished":
                cost = f"{event['seconds']:7.1f} s {event['peak_rss_mb']:6.0f} MB"
                out.print(f"  {event['task_id']:<24} {cost}  {_short(event['summary'])}")
            case "task_retrying" | "task_failed":
                out.print(f"  {event['task_id']:<24} {event['event'][5:]}: {event['error']}", markup=False)

    done = headless.run(
        settings,
        dag_ids,
        everything=everything,
        downstream=downstream,
        on_event=(lambda _: None) if as_json else say,
    )
    report(
        done,
        as_json=as_json,
        human=lambda console: console.print(f"{len(done.dag_ids)} DAGs in {done.seconds:.1f} s"),
    )


def _run_scheduled(
    settings: "Settings", dag_ids: list[str], *, everything: bool, downstream: bool, as_json: bool
) -> None:
    from genome.errors import GenomeError
    from genome.services.airflow_client import AirflowClient, DagRun

    def say(dag_run: DagRun) -> None:
        if not as_json:
            out.print(f"{dag_run.dag_id:<28} {_coloured(dag_run.state)}")

    done: list[DagRun] = []
    with AirflowClient(settings) as airflow:
        # The DAGs that no Asset wakes begin the journey; the Assets do the rest.
        begun = [airflow.trigger(dag_id) for dag_id in (airflow.roots() if everything else dag_ids)]
        if everything or downstream:
            done = airflow.wait_for_chain(*begun, timeout_seconds=24 * 3600, on_change=say)
            begun = []
        for dag_run in begun:
            ended = airflow.wait(dag_run, timeout_seconds=24 * 3600)
            say(ended)
            done.append(ended)
            if ended.state != "success":
                raise GenomeError(
                    f"{ended.dag_id} ended as '{ended.state}'.", "Its page in Airflow shows the log."
                )
    if as_json:
        report({"runs": [each.model_dump() for each in done]}, as_json=True, human=lambda _: None)


def _short(summary: dict[str, Any] | None) -> str:
    plain = {key: value for key, value in (summary or {}).items() if not isinstance(value, dict | list)}
    return ", ".join(f"{key} {value}" for key, value in plain.items())[:120].replace("[", r"\[")


def _coloured(word: str) -> str:
    return f"[{_COLOURS[word]}]{word}[/]" if word in _COLOURS else word


def _services_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("service", "state", "where", "memory", "restarts", "")
    for row in rows:
        memory = row.get("memory_mb")
        table.add_row(
            row["name"],
            _coloured(row["state"]),
            row["url"] or "",
            f"{memory:.0f} MB" if memory else "",
            str(row["restarts"] or ""),
            row["message"],
        )
    return table
