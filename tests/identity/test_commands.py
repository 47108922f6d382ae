"""The verbs about who is who, on a home of their own."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from support.identities import Met, land
from typer.testing import CliRunner, Result

from genome.cli import app
from genome.errors import GenomeError, UsageError
from genome.settings import Settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def verb(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Calls `genome identity …` on the test's own home, where a cookie has two accounts."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    land(
        settings,
        "a",
        [
            Met(NOON, "user:A", ("anonymous:a", "email:e")),
            Met(NOON + timedelta(days=1), "user:A", ("anonymous:t",)),
            Met(NOON + timedelta(days=2), "user:B", ("anonymous:t",)),
            Met(NOON + timedelta(days=3), "user:C", ("anonymous:c",)),
        ],
    )

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["identity", *arguments])

    return call


def test_resolve_says_what_it_found_and_that_there_is_nothing_new(verb) -> None:
    said = verb("resolve")
    assert said.exit_code == 0
    assert "2 customers of several keys (6 keys in 3 links); 2 links refused" in " ".join(said.output.split())
    # What was logged on the way is not among the answer.
    assert json.loads(verb("resolve", "--force", "--json").stdout)["customers"] == 2
    assert "Nothing new has landed" in verb("resolve").output


def test_refused_links_are_listed_with_the_reason_in_words(verb) -> None:
    assert isinstance(verb("refused").exception, GenomeError)
    verb("resolve")
    told = json.loads(verb("refused", "--json").stdout)
    assert told["reasons"] == {"shared": 2}
    assert [(each["owner_key"], each["other_key"], each["reason"]) for each in told["links"]] == [
        ("user:B", "anonymous:t", "shared"),
        ("user:A", "anonymous:t", "shared"),
    ]
    assert "2 × shared: two owners of one kind were met with it" in " ".join(verb("refused").output.split())
    assert "No link is refused." in verb("refused", "--reason", "conflict").output
    assert isinstance(verb("refused", "--reason", "mood").exception, UsageError)


def test_a_key_tells_whose_it_was_believed_to_be(verb) -> None:
    verb("resolve")
    told = json.loads(verb("show", "anonymous:a", "--json").stdout)
    assert [(each["customer_id"], each["known_to"]) for each in told["beliefs"]] == [("user:A", None)]
    assert "user:A" in verb("show", "anonymous:t").output
    assert "No link is known of 'user:Z'" in str(verb("show", "user:Z").exception)


def test_a_merge_is_told_with_who_decided_and_can_be_taken_back(verb) -> None:
    verb("resolve")
    done = json.loads(verb("merge", "user:A", "user:C", "--by", "ann", "--reason", "called", "--json").stdout)
    assert (done["is_merge"], done["by"], done["reason"]) == (True, "ann", "called")
    verb("resolve")
    told = json.loads(verb("show", "user:C", "--json").stdout)
    assert told["beliefs"][-1]["customer_id"] == "user:A"
    assert "taken apart by the next" in verb("unmerge", "user:A", "user:C").output
    verb("resolve")
    told = json.loads(verb("show", "user:C", "--json").stdout)
    assert told["beliefs"][-1]["customer_id"] == "user:C"
    assert isinstance(verb("merge", "user:A", "nobody:1").exception, UsageError)
