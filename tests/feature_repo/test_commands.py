import json

import pytest
from support import features
from typer.testing import CliRunner

from genome.cli import app
from genome.settings import Settings


@pytest.fixture
def said(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in home.environment().items():
        monkeypatch.setenv(name, value)
    return home


def test_the_verb_loads_compares_and_says_so_as_json(said: Settings) -> None:
    result = CliRunner().invoke(app, ["serve-features", "--check", "20", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["loaded"]["rows"]["feat_customer_traits"] == 40
    assert document["parity"]["entities"] == {"customer": 20, "offer": 5}
    assert document["parity"]["is_equal"] is True
    assert set(document["registered"]["views"]) == set(features.CONTRACTS)


def test_the_verb_tells_people_what_it_did(said: Settings) -> None:
    result = CliRunner().invoke(app, ["serve-features", "--check", "5"])
    assert result.exit_code == 0, result.output
    assert "Compared 70 values of 5 customers, 5 offers: online = offline." in result.stdout


def test_the_verb_fails_when_sides_differ(said: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_repo.parity._same", lambda one, other: False)
    result = CliRunner().invoke(app, ["serve-features", "--check", "2", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["parity"]["is_equal"] is False
