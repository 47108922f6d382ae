"""The verbs over the service: what they print for people and for programs."""

import json
from collections.abc import Callable

import pytest
from support.world import Served
from typer.testing import CliRunner

from genome import cli

Run = Callable[..., str]


@pytest.fixture
def run(api: Served, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a verb on the test's service, in this process."""
    for name, value in api.settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("genome.api.service.open_service", lambda _: api.service)
    monkeypatch.setattr(api.service, "close", lambda: None)

    def verb(*words: str, status: int = 0) -> str:
        result = CliRunner().invoke(cli.app, list(words))
        assert result.exit_code == status, result.output
        return result.output

    return verb


def test_decide_and_explain_agree(run: Run) -> None:
    decision = json.loads(run("decide", "household:1", "--placement", "homepage", "--json"))
    told = json.loads(run("explain", decision["decision_id"], "--json"))
    assert told["decision"] == decision
    assert told["is_reproduced"] is True


def test_decide_says_the_offers_and_their_reasons(run: Run) -> None:
    said = run("decide", "household:1", "--placement", "homepage", "--channel", "web", "--count", "1")
    assert "1. yogurt" in said
    assert "You often choose yogurt; that is what this offer is for." in said
    assert "genome explain d_" in said


def test_silence_is_said_with_its_reason(run: Run) -> None:
    assert "Silence (unknown_customer)" in run("decide", "household:404", "--placement", "homepage")


def test_explain_names_what_was_dropped_and_the_versions(run: Run) -> None:
    decision = json.loads(run("decide", "household:1", "--placement", "homepage", "--json"))
    said = run("explain", decision["decision_id"])
    assert "o_ended" in said
    assert "ended: It ended at" in said
    assert "model_version: 7" in said
    assert "Made again from its log: the same." in said


def test_show_draws_a_bar_for_each_gene(run: Run) -> None:
    said = run("show", "household:1", "--genes", "2")
    lines = {line.split()[0]: line for line in said.splitlines() if "█" in line}
    assert "Customer since January 2017" in said
    assert "yogurt (5.5)" in said
    assert lines["category"].count("█") > lines["yogurt"].count("█") > 0
    assert "cheese" not in said


def test_show_gives_programs_the_whole_view(run: Run) -> None:
    genome = json.loads(run("show", "household:1", "--json"))
    assert genome["customer_id"] == "household:1"
    assert [locus["locus_id"] for locus in genome["loci"]] == ["category", "brand_type", "product"]


def test_offers_are_listed_live_ones_first_of_all(run: Run) -> None:
    live = json.loads(run("offers", "list", "--json"))
    assert {each["offer_id"] for each in live} == {"o_yogurt", "o_beef"}
    everything = json.loads(run("offers", "list", "--all", "--json"))
    assert {each["offer_id"]: each["is_live"] for each in everything} == {
        "o_yogurt": True,
        "o_beef": True,
        "o_ended": False,
    }
    assert "2 offers are live now" in run("offers", "list")


def test_a_wrong_placement_is_a_wrong_call(api: Served, run: Run) -> None:
    from genome.errors import UsageError

    result = CliRunner().invoke(cli.app, ["decide", "household:1", "--placement", "moon"])
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_status == 2
    assert "homepage" in result.exception.remedy
