"""What the doctor finds in installations that are broken in one way each."""

import os
import socket
from pathlib import Path

import pytest

from genome.services import doctor, runs, state
from genome.services.processes import ProcessId
from genome.settings import Settings
from tests.conftest import make_settings


def findings(settings: Settings, *looks: str) -> list[doctor.Finding]:
    return [finding for look in looks for finding in doctor._guarded(getattr(doctor, f"_{look}"), settings)]


def broken(settings: Settings, *looks: str) -> list[doctor.Finding]:
    found = [finding for finding in findings(settings, *looks) if finding.verdict == "broken"]
    assert all(finding.remedy for finding in found), "whatever is broken comes with its remedy"
    return found


def test_a_fresh_home_is_healthy(settings: Settings) -> None:
    assert (
        broken(settings, "python", "packages", "home", "disk", "secrets", "leftovers", "ports", "stores")
        == []
    )
    about = {finding.about for finding in findings(settings, "python", "packages", "home", "ports", "stores")}
    assert about == {"python", "packages", "home", "port", "store"}


def test_the_real_dags_are_read(settings: Settings) -> None:
    [finding] = findings(settings, "dags")
    assert finding.verdict == "good"
    assert "build_genome" in finding.what


def test_a_taken_port_is_named_with_its_setting(settings: Settings) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", settings.mlflow_port))
        holder.listen()
        [finding] = broken(settings, "ports")
    assert str(settings.mlflow_port) in finding.what
    assert "GENOME_MLFLOW_PORT" in finding.remedy


def test_a_home_that_cannot_be_written_is_broken(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    [finding] = broken(make_settings(tmp_path / "home"), "home")
    assert "cannot be written" in finding.what
    assert "GENOME_HOME" in finding.remedy


def test_a_full_disk_is_broken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 10**18)
    [finding] = broken(settings, "disk")
    assert "GB free" in finding.what


def test_a_secret_that_others_can_read_is_broken(settings: Settings) -> None:
    settings.secrets.mkdir(parents=True)
    (settings.secrets / "a.lock").touch(mode=0o644)
    (settings.secrets / "vault.key").write_text("secret")
    [finding] = broken(settings, "secrets")
    assert finding.remedy == f"chmod 600 {settings.secrets / 'vault.key'}"


def test_a_clock_in_the_past_is_worth_a_note_and_one_in_the_future_is_broken(settings: Settings) -> None:
    [note] = findings(settings, "clock")
    assert (note.verdict, "2018-01-01" in note.what) == ("note", True)
    [finding] = broken(make_settings(settings.home, now="2999-01-01T00:00:00Z"), "clock")
    assert "GENOME_NOW" in finding.what


def test_services_that_a_killed_supervisor_left_are_broken(settings: Settings) -> None:
    gone = ProcessId(pid=2**22 - 3, created=1.0)
    now = doctor.datetime.now(doctor.UTC)
    left = state.ServiceState(name="api", since=now, process=ProcessId.of(os.getpid()))
    state.write(settings, state.SupervisorState(supervisor=gone, started_at=now, services=[left]))
    [finding] = broken(settings, "leftovers")
    assert "left behind: api" in finding.what
    assert finding.remedy == "genome down"


def test_a_failed_last_run_is_broken_until_the_next_succeeds(settings: Settings) -> None:
    who = {"dag_id": "build_genome", "run_id": "1", "task_id": "check_gate"}
    runs.started(settings, **who)
    runs.failed(settings, **who, error="GenomeError: rows are missing", will_retry=False)
    [finding] = broken(settings, "runs")
    assert "build_genome failed in check_gate: GenomeError: rows are missing" in finding.what
    runs.started(settings, **(who | {"run_id": "2"}))
    runs.succeeded(settings, **(who | {"run_id": "2"}), summary={"rows": 1})
    assert broken(settings, "runs") == []


def test_nothing_published_is_a_note_with_the_verb_that_publishes(settings: Settings) -> None:
    found = findings(settings, "publications")
    assert [(each.verdict, each.remedy) for each in found] == [
        ("note", "genome build, or make demo"),
        ("note", "genome publish, or make demo"),
    ]


def test_a_look_that_fails_is_a_finding_and_not_a_crash(settings: Settings) -> None:
    def _look(_: Settings) -> list[doctor.Finding]:
        raise OSError("no such device")

    [finding] = doctor._guarded(_look, settings)  # type: ignore[arg-type]
    assert (finding.about, finding.verdict, finding.what) == ("look", "broken", "no such device")
