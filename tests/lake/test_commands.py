import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from genome.cli import app
from genome.errors import UsageError
from genome.settings import Settings

CONTENT = "campaign_id,household_id,sent_at\n1,h1,2017-03-01\n1,jane.doe@example.org,soon\n1,h1,2017-03-01\n"


@pytest.fixture
def verb(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Calls `genome …` on the test's own home."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return call


def drop(settings: Settings, name: str, content: str = CONTENT) -> Path:
    path = settings.inbox / "direct_mail" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_ingest_says_what_became_of_each_file_and_where_to_look(settings: Settings, verb) -> None:
    drop(settings, "a[1].csv")
    result = verb("ingest", "direct_mail")
    assert result.exit_code == 0
    assert "a[1].csv" in result.output
    assert "3 rows received = 1 accepted + 1 quarantined + 1 duplicate." in result.output
    assert "1 × sent_at is not a date and time" in " ".join(result.output.split())
    assert "genome quarantine list --channel direct_mail" in result.output


def test_ingest_exits_1_for_a_refused_file_and_lands_the_others(settings: Settings, verb) -> None:
    drop(settings, "a.csv", "household_id\nh1\n")
    drop(settings, "b.csv")
    result = verb("ingest", "direct_mail", "--json")
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert [each["status"] for each in document["files"]] == ["refused", "landed"]
    assert "'campaign_id', 'sent_at' are missing" in document["files"][0]["what"]
    assert (document["received"], document["accepted"], document["quarantined"], document["duplicate"]) == (
        3,
        1,
        1,
        1,
    )
    again = verb("ingest", "direct_mail")
    assert again.exit_code == 0
    assert "Still refused" in again.output


def test_ingest_takes_named_files_and_refuses_unknown_channels(
    settings: Settings, verb, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(CONTENT)
    assert verb("ingest", "direct_mail", str(path)).exit_code == 0
    assert verb("ingest", "direct_mail", str(tmp_path / "gone.csv")).exit_code == 1
    result = verb("ingest", "tills")
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_status == 2


def test_an_empty_inbox_is_said_and_is_no_failure(settings: Settings, verb) -> None:
    result = verb("ingest", "pos")
    assert result.exit_code == 0
    assert "Nothing in" in result.output


def test_quarantine_lists_shows_and_replays(settings: Settings, verb, tmp_path: Path) -> None:
    assert "Quarantine is empty." in verb("quarantine", "list").output
    drop(settings, "a.csv")
    drop(settings, "b.csv", "household_id\nh1\n")
    verb("ingest", "direct_mail")
    listed = json.loads(verb("quarantine", "list", "--json").output)
    assert listed["count"] == 2
    assert "jane" not in json.dumps(listed)
    file, row = listed["items"]
    assert (file["source"], file["raw_kind"], row["offset"]) == ("b.csv", "file", 2)
    assert json.loads(verb("quarantine", "list", "--channel", "pos", "--json").output)["count"] == 0
    assert "1 more (--limit)" in verb("quarantine", "list", "--limit", "1").output

    shown = verb("quarantine", "show", row["id"])
    assert "jane.doe@example.org" in shown.output
    assert "It waits." in shown.output
    out = tmp_path / "out.csv"
    assert verb("quarantine", "show", file["id"], "--out", str(out)).exit_code == 0
    assert out.read_text() == "household_id\nh1\n"
    assert out.stat().st_mode & 0o777 == 0o600

    replayed = verb("quarantine", "replay", "--json")
    assert replayed.exit_code == 1
    assert sorted(json.loads(replayed.output)["still_quarantined"]) == sorted([file["id"], row["id"]])
    assert isinstance(verb("quarantine", "show", "nothing").exception, UsageError)


@pytest.mark.parametrize("arguments", [("ingest",), ("quarantine",), ("quarantine", "replay")])
def test_help_teaches(verb, arguments: tuple[str, ...]) -> None:
    result = verb(*arguments, "--help")
    assert result.exit_code == 0
    assert len(result.output.split()) > 40
