"""The real scheduler under the real supervisor: one trigger, and the Assets do the rest."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from genome.errors import GenomeError
from genome.lake.manifest import Manifest
from genome.services import airflow_env, catalogue, headless, processes, runs
from genome.services.airflow_client import AirflowClient
from genome.services.supervisor import Policy
from genome.settings import Settings
from tests.services.test_supervisor import seen, supervised, until

CHAIN = """
from airflow.sdk import Asset, dag

from dags.common import Owner, Tag, house, settings, step

MIDDLE = Asset(name="middle", uri="x-genome://middle")


@dag(**house("doc", Owner.DATA, Tag.BUILD))
def first() -> None:
    @step(pool="warehouse", outlets=[MIDDLE])
    def make() -> dict:
        (settings().home / "made").touch()
        return {"rows": 3}

    make()


@dag(**house("doc", Owner.DATA, Tag.BUILD, schedule=[MIDDLE]))
def second() -> None:
    @step()
    def use() -> dict:
        return {"found": (settings().home / "made").exists()}

    use()


@dag(**house("doc", Owner.DATA, Tag.BUILD))
def doomed() -> None:
    @step()
    def fall() -> dict:
        from genome.errors import GenomeError

        raise GenomeError("This cannot work.", "Do not try.")

    fall()


first()
second()
doomed()
"""


@pytest.mark.scheduler
def test_one_trigger_runs_the_chain_under_the_supervised_scheduler(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "chain.py").write_text(CHAIN)
    ingest = (airflow_env.DAGS / "ingest.py").read_text()
    assert ingest.count("in channels()") == 1
    (folder / "ingest.py").write_text(ingest.replace("in channels()", 'in ["web"]'))
    headless.prepare(settings, folder)
    services = catalogue.services(settings, catalogue.chosen(["airflow"]), folder)
    with supervised(settings, *services, policy=Policy(check_every=0.5)) as supervisor:
        until(lambda: all(each.state == "ready" for each in supervisor.states), "Airflow is ready", 240.0)
        base = airflow_env.url(settings)
        assert httpx.get(f"{base}/api/v2/dags", trust_env=False).status_code == httpx.codes.UNAUTHORIZED
        with AirflowClient(settings) as airflow:
            airflow.wait_until_known(["first", "second", "doomed", "ingest_web"], 60.0)
            assert airflow.roots() == ["doomed", "first", "ingest_web"]
            chain = airflow.wait_for_chain(airflow.trigger("first"), timeout_seconds=180.0)
            assert [(run.dag_id, run.state) for run in chain] == [("first", "success"), ("second", "success")]
            records = {record.dag_id: record.tasks[-1].summary for record in runs.last(settings)}
            assert records == {"first": {"rows": 3}, "second": {"found": True}}
            # Beside a scheduler, the verb asks it, and does not run the tasks itself.
            done = subprocess.run(
                [sys.executable, "-m", "genome.cli", "run", "first", "--downstream", "--json"],
                env={**os.environ, **settings.environment()},
                capture_output=True,
                text=True,
                check=True,
            )
            again = json.loads(done.stdout)["runs"]
            assert [run["dag_id"] for run in again] == ["first", "second"]
            assert {run["run_id"] for run in again}.isdisjoint({run.run_id for run in chain})
            with pytest.raises(GenomeError, match=r"doomed .* ended as 'failed'"):
                airflow.wait_for_chain(airflow.trigger("doomed"), timeout_seconds=180.0)
        _check_a_day_backfilled_twice_gives_the_same_rows_and_leaves_others_untouched(settings)
        _check_a_killed_scheduler_comes_back(settings)
        leaders = [each.process for each in supervisor.states if each.process is not None]
        members = [member for leader in leaders for member in processes.family(leader)]
        assert len(members) > len(leaders) == 3
    assert not any(member.is_alive() for member in members)


def _check_a_day_backfilled_twice_gives_the_same_rows_and_leaves_others_untouched(settings: Settings) -> None:
    """By Airflow's own mechanism, as docs/cookbooks/backfill.md says (16)."""
    inbox = settings.inbox / "web"
    inbox.mkdir(parents=True)
    for day in ("2017-03-01", "2017-03-02", "2017-03-03"):
        lines = [f"{day}-{n},Product Viewed,{day}T10:00:00Z,u{n},p{n}" for n in range(20)]
        header = "event_id,event,timestamp,user_id,product_id"
        (inbox / f"events-{day}.csv").write_text("\n".join([header, *lines, ""]))
    command = [sys.executable, "-m", "airflow", "backfill", "create", "--dag-id", "ingest_web"]
    command += ["--from-date", "2017-03-01", "--to-date", "2017-03-02", "--max-active-runs", "2"]
    _backfill(settings, command)
    once = _rows(settings)
    _backfill(settings, [*command, "--reprocess-behavior", "completed"])
    assert _rows(settings) == once
    assert {str(row[1])[:10] for row in once} == {"2017-03-01", "2017-03-02"}
    assert len(once) == 40


def _backfill(settings: Settings, command: list[str]) -> None:
    """Ask for a backfill as docs/cookbooks/backfill.md says, and wait for its end.

    On SQLite Airflow may refuse because its scheduler writes, and may leave a half-made backfill behind, which the
    scheduler ends after two minutes: then it is asked again.
    """
    deadline = time.monotonic() + 240.0
    while True:
        done = subprocess.run(
            command,
            env=airflow_env.child_environment(settings),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            break
        said = done.stdout + done.stderr
        assert "locked" in said or "AlreadyRunningBackfill" in said, said
        assert time.monotonic() < deadline, said
        time.sleep(2.0)
    until(lambda: _backfills_are_done(settings), "backfilled", 180.0)


def _backfills_are_done(settings: Settings) -> bool:
    with AirflowClient(settings) as airflow:
        listed = airflow._get("/api/v2/backfills", dag_id="ingest_web")["backfills"]
    return bool(listed) and all(each["completed_at"] is not None for each in listed)


def _rows(settings: Settings) -> list[tuple[object, ...]]:
    import duckdb

    paths = [str(path) for path in Manifest.read(settings, "interactions").files("web")]
    query = f"SELECT interaction_id, occurred_at, customer_key FROM read_parquet({paths}) ORDER BY ALL"
    return duckdb.sql(query).fetchall()


def _check_a_killed_scheduler_comes_back(settings: Settings) -> None:
    before = seen(settings, "airflow-scheduler").process
    assert before is not None
    os.kill(before.pid, 9)
    until(lambda: seen(settings, "airflow-scheduler").restarts == 1, "noticed")
    until(lambda: seen(settings, "airflow-scheduler").state == "ready", "ready again", 120.0)
    with AirflowClient(settings) as airflow:
        assert airflow.wait(airflow.trigger("second"), 120.0).state == "success"


@pytest.mark.scheduler
def test_genome_up_says_where_it_runs_and_how_to_log_in_and_down_ends_it_from_elsewhere(
    settings: Settings,
) -> None:
    environment = {**os.environ, **settings.environment()}
    command = [sys.executable, "-m", "genome.cli"]

    def verb(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    with subprocess.Popen(
        [*command, "up", "--only", "valkey", "--json"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line.rstrip() == "}":
                break
        listed = json.loads("".join(lines))
        assert [(each["name"], each["state"]) for each in listed["services"]] == [
            ("events", "ready"),
            ("online", "ready"),
        ]
        found = json.loads(verb("status", "--json").stdout)
        assert found["is_up"] is True
        assert {each["state"] for each in found["services"]} == {"ready"}
        second = verb("up", "--only", "valkey")
        assert second.returncode == 1
        assert (
            f"`genome up` runs already (process {process.pid}). End it with `genome down`." in second.stderr
        )
        assert json.loads(verb("down", "--json").stdout) == {"stopped": ["events", "online"]}
        assert process.wait(30) == 0
        watchdog.cancel()
    after = json.loads(verb("status", "--json").stdout)
    assert after["is_up"] is False
    assert {each["state"] for each in after["services"]} == {"stopped"}
    assert json.loads(verb("down", "--json").stdout) == {"stopped": []}
