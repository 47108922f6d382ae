"""`genome texts`: what a customer wrote, for those who may read it, and old texts read anew."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from genome.cli import app
from genome.identity.texts import Text, Texts
from genome.identity.vault import Vault
from genome.lake import publish
from genome.settings import Settings
from genome.vocabulary import motives

NOON = 1_512_129_600_000_000
"""2017-12-01 12:00 UTC."""


@pytest.fixture
def verb(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Calls `genome texts …` on the test's own home, where Ann has written by two keys."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    vault = Vault(settings)
    Texts(vault).put(
        [
            Text(
                "a",
                "user",
                "ann",
                "survey",
                "Survey Answered",
                NOON,
                NOON,
                "Too [red]expensive[/red]\nand late",
                None,
            ),
            Text(
                "b",
                "anonymous",
                "a9",
                "web",
                "Product Reviewed",
                NOON + 1,
                NOON + 1,
                "A low price\x1b[2J",
                "price",
            ),
            Text("c", "user", "bob", "service", "Message Sent", NOON, NOON, "Not Ann's", None),
        ],
        vocabulary="older",
    )
    vault.close()

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["texts", *arguments])

    return call


def publish_customers(settings: Settings) -> None:
    """Publish that user:ann and anonymous:a9 are one customer."""
    area = publish.stage(settings, "genome")
    path = area.file("identity", "dim_customers")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table(
            {
                "source_key": ["user:ann", "anonymous:a9", "user:bob"],
                "customer_id": ["user:ann", "user:ann", "user:bob"],
            }
        ),
        path,
    )
    area.seal(fingerprint="f", provenance={"group": "genome"})
    publish.publish_staged(settings, "genome")


def test_a_customers_texts_are_listed_as_they_were_written(settings: Settings, verb) -> None:
    said = verb("list", "user:ann")
    assert said.exit_code == 0
    assert "2017-12-01  survey  Survey Answered\n  Too [red]expensive[/red]\n  and late\n" in said.stdout
    assert "low price" not in said.stdout
    assert "No text of user:eve is kept." in verb("list", "user:eve").stdout


def test_every_key_of_a_customer_is_looked_up_and_a_text_cannot_touch_the_terminal(
    settings: Settings, verb
) -> None:
    publish_customers(settings)
    for name in ("user:ann", "anonymous:a9"):
        told = json.loads(verb("list", name, "--limit", "1", "--json").stdout)
        assert told["count"] == 2
        assert [each["interaction_id"] for each in told["texts"]] == ["b", "a"]
        assert told["texts"][1] == {
            "interaction_id": "a",
            "source_key": "user:ann",
            "occurred_at": "2017-12-01T12:00:00+00:00",
            "received_at": "2017-12-01T12:00:00+00:00",
            "channel": "survey",
            "interaction_type": "Survey Answered",
            "text": "Too [red]expensive[/red]\nand late",
            "motives": None,
        }
    shown = verb("list", "user:ann", "--limit", "1").stdout
    assert "A low price\ufffd[2J" in shown
    assert "\x1b" not in shown
    assert "1 more (--limit)" in shown
    assert "Ann's" not in shown


def test_each_reading_is_logged_with_who_read_and_without_what(verb) -> None:
    for option, reader in (((), "service"), (("--for-privacy",), "privacy")):
        logged = verb("list", "user:ann", *option).stderr
        assert f"reader={reader}" in logged
        assert "expensive" not in logged


def test_read_says_how_many_texts_say_something_else_and_then_that_there_is_none(verb) -> None:
    said = " ".join(verb("read").stdout.split())
    assert f"3 texts read with the vocabulary {motives().version}; 1 say something else now." in said
    assert "`genome build` brings it into the genome." in said
    again = verb("read")
    assert "Every text has been read with this vocabulary" in again.stdout
    assert "genome build" not in again.stdout
    assert json.loads(verb("read", "--json").stdout) == {
        "vocabulary": motives().version,
        "read": 0,
        "changed": 0,
        "is_new": False,
    }
