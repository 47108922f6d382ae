import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genome.errors import UsageError
from genome.rules.commands import rules


def test_the_list_shows_moments_and_segments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENOME_HOME", str(tmp_path))
    shown = json.loads(CliRunner().invoke(rules, ["list", "--json"]).stdout)["rules"]
    assert {"cart_abandoned": "moment", "regular": "segment"}.items() <= {
        each["id"]: each["kind"] for each in shown
    }.items()
    assert next(each["moment"] for each in shown if each["id"] == "store_dwelled") == "dwelled"


def test_the_installations_own_file_is_listed_in_place_of_the_shipped_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENOME_HOME", str(tmp_path))
    own = tmp_path / "rules" / "moments.toml"
    own.parent.mkdir()
    own.write_text('[[rule]]\nid = "mine"\nabout = "Mine."\non = { event = "Product Viewed" }\n')
    shown = json.loads(CliRunner().invoke(rules, ["list", "--json"]).stdout)["rules"]
    assert [each["id"] for each in shown if each["kind"] == "moment"] == ["mine"]


def test_a_wrong_file_fails_in_words(tmp_path: Path) -> None:
    path = tmp_path / "segments.toml"
    path.write_text('[[rule]]\nid = "x"\nabout = "y"\nwhere = { trait = "n", is = "about", value = 1 }\n')
    result = CliRunner().invoke(rules, ["check", str(path)])
    assert isinstance(result.exception, UsageError)
    assert "rule 'x'.where.is is 'about'" in str(result.exception)
