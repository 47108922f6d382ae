"""Where settings come from, and what they refuse."""

from pathlib import Path

import pytest

from genome.errors import UsageError
from genome.settings import load


def test_the_environment_wins_over_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "genome.toml").write_text(f'home = "{home}"\napi_port = 9001\nmlflow_port = 9002\n')
    (home / "genome.toml").write_text("api_port = 9011\nmlflow_port = 9012\nairflow_port = 9013\n")
    monkeypatch.setenv("GENOME_API_PORT", "9021")
    found = load()
    assert (found.api_port, found.mlflow_port, found.airflow_port) == (9021, 9002, 9013)


def test_a_home_keeps_its_own_clock(tmp_path: Path) -> None:
    (tmp_path / "genome.toml").write_text('now = "2018-01-01T04:59:59Z"\n')
    found = load(home=tmp_path)
    assert found.now is not None
    assert found.now.isoformat() == "2018-01-01T04:59:59+00:00"


def test_an_unknown_time_zone_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'Mars/Olympus' is no IANA time zone; write a name such as"):
        load(home=tmp_path, business_timezone="Mars/Olympus")


def test_a_clock_without_an_offset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"setting 'now'.*timezone"):
        load(home=tmp_path, now="2018-01-01T04:59:59")


def test_a_misspelt_setting_is_refused(tmp_path: Path) -> None:
    (tmp_path / "genome.toml").write_text("api_prot = 9001\n")
    with pytest.raises(UsageError, match="api_prot"):
        load(home=tmp_path)


def test_a_child_process_gets_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(home=tmp_path, now="2018-01-01T04:59:59Z", online_url="redis://:word@127.0.0.1:6379/0")
    for name, value in found.environment().items():
        monkeypatch.setenv(name, value)
    assert load() == found


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    assert "hunter2" not in repr(load(home=tmp_path, online_url="redis://:hunter2@127.0.0.1:6379/0"))
