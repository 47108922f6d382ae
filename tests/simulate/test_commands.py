"""The verb as a person calls it."""

import json
from pathlib import Path

from typer.testing import CliRunner

from genome.cli import app
from genome.errors import UsageError

runner = CliRunner()


def test_simulate_makes_a_mall_and_says_which_clock_goes_with_it(tmp_path: Path) -> None:
    out = tmp_path / "mall"
    result = runner.invoke(
        app, ["simulate", "--customers", "60", "--days", "14", "--seed", "3", "--out", str(out), "--json"]
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["customers"] == 60
    assert said["cut_off"] == "2025-01-01T05:00:00Z"
    assert said["timezone"] == "America/New_York"
    assert (out / "inbox" / "pos").is_dir()


def test_simulate_without_a_folder_says_what_is_missing() -> None:
    result = runner.invoke(app, ["simulate", "--customers", "60"])
    assert isinstance(result.exception, UsageError)
    assert "--out" in str(result.exception)


def test_a_write_key_for_a_channel_that_is_not_live_is_refused(mall_folder: Path) -> None:
    result = runner.invoke(
        app, ["simulate", "live", str(mall_folder), "http://127.0.0.1:9", "--write-key", "web=one,pos=two"]
    )
    assert isinstance(result.exception, UsageError)
    assert "'pos'" in str(result.exception)
    assert "web, app, location" in str(result.exception)


def test_recover_prints_each_effect(mall_folder: Path) -> None:
    result = runner.invoke(app, ["simulate", "recover", str(mall_folder), "--json"])
    assert result.exit_code == 0, result.output
    effects = {row["name"]: row for row in json.loads(result.stdout)["effects"]}
    assert effects["online_to_store"]["planted"] == 0.06
    assert effects["online_to_store"]["is_recovered"] is True
