import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genome.cli import app
from models import quality, tracking
from models.promote import promote


@pytest.fixture
def run(trained, monkeypatch: pytest.MonkeyPatch):
    for name, value in trained.settings.environment().items():
        monkeypatch.setenv(name, value)

    def call(*words: str) -> str:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return done.stdout

    return call


def test_train_again_tells_of_the_earlier_run_and_decides(run, trained) -> None:
    document = json.loads(run("train", "--json"))
    assert document["training"]["skipped"] is True
    assert document["training"]["run_id"] == trained.report.run_id
    assert document["promotion"]["champion"] in {trained.report.version, trained.report.stand_in_version}
    assert document["promotion"]["reason"]


def test_versions_are_listed_with_who_serves_and_why(run, trained) -> None:
    run("models", "promote", trained.report.version, "--reason", "a test")
    found = json.loads(run("models", "list", "--json"))["versions"]
    assert [(each["version"], each["aliases"]) for each in found] == [
        (trained.report.stand_in_version, []),
        (trained.report.version, ["champion"]),
    ]
    assert found[1]["decision"] == "By hand: a test"
    assert "next best offer" in run("models", "list")


def test_rollback_gives_the_alias_back(run, trained) -> None:
    run("models", "promote", trained.report.stand_in_version, "--reason", "a test")
    run("models", "promote", trained.report.version, "--reason", "a test")
    said = run("models", "rollback")
    assert said.startswith(f"Champion: version {trained.report.stand_in_version}")


def test_the_report_shows_the_champions_figures(run, trained) -> None:
    promote(trained.settings, trained.report.version, "a test")
    document = json.loads(run("models", "report", "--json"))
    assert document["run_id"] == trained.report.run_id
    said = run("models", "report", trained.report.run_id)
    assert "PR-AUC" in said
    assert "LightGBM, plain" in said


def test_the_page_of_figures_is_made_from_the_report(trained, tmp_path: Path) -> None:
    mlflow = tracking.client(trained.settings)
    text = quality.page(quality.of_run(mlflow, trained.report.run_id))
    own = trained.report.document["comparisons"]["test_redeemed"]["rows"][-1]
    assert f"| next best offer | {own['auc']:.3f} | {own['pr_auc']:.3f} | {own['ndcg_at_10']:.3f} |" in text
    assert "learn from 1, 2, hold out 3; learn from 1, hold out 2" in text
    assert trained.report.run_id not in text


def test_the_pages_in_the_checkout_have_the_shape_that_the_code_makes() -> None:
    text = quality.PAGE.read_text()
    assert text.startswith("<!-- Made by `python -m models.quality`")
    assert "## Redeemed, test (campaigns 16, 17, 18, 19)" in text
    assert quality._TRIED in text
