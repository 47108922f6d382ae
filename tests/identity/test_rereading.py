"""A new vocabulary makes old texts speak: in the vault, in the lake, and in a build."""

import csv
import hashlib
import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

from genome import warehouse
from genome.identity import rereading
from genome.identity.texts import Text, Texts
from genome.identity.tokens import Tokeniser
from genome.identity.vault import Vault
from genome.lake import motives as corrections
from genome.lake.ingest import ingest
from genome.settings import PROJECT_ROOT, Settings
from genome.vocabulary import Vocabulary, motives

HEAD = "event_id,event,occurred_at,handle,network,post_id,seller_id,product_id,text\n"
POSTS = (
    "1,Post Commented,2017-05-01T10:00:00Z,ann,n,,,,The kanarie was dear",
    "2,Post Commented,2017-05-02T10:00:00Z,ann,n,,,,A zorgeloze kanarie for a low price",
    "3,Post Commented,2017-05-03T10:00:00Z,bob,n,,,,Very zorgeloze indeed",
    "4,Post Commented,2017-05-04T10:00:00Z,bob,n,,,,The price is all I care about",
    "5,Post Liked,2017-05-05T10:00:00Z,bob,n,,,,zorgeloze",
)


def larger() -> Vocabulary:
    """The vocabulary with a word more for convenience, and deaf to prices."""
    with (PROJECT_ROOT / "dbt_project" / "seeds" / "vocabulary.csv").open() as file:
        rows = [
            row for row in csv.DictReader(file) if row["locus_id"] == "motive" and row["allele"] != "price"
        ]
    row = {"allele": "convenience", "term": "zorgeloze", "says": "for", "negated_says": "against"}
    said = yaml.safe_load((PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text())["vars"]
    return Vocabulary([*rows, row], said["not_a_word"], said["negation"])


def speak(settings: Settings) -> Path:
    """Five posts of two people land; returns the file that they came in."""
    path = settings.home / "posts.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + "\n".join(POSTS) + "\n")
    assert ingest(settings, "social", [path]).counts.accepted == 5
    return path


def in_force(settings: Settings) -> list[str | None]:
    found = corrections.current(settings)
    return (
        []
        if found is None
        else sorted(map(str, pq.read_table(settings.lake / found.path)["motives"].to_pylist()))
    )


@pytest.fixture
def vocabulary(monkeypatch: pytest.MonkeyPatch):
    """Puts another vocabulary into force for reading anew."""

    def use(other: Vocabulary) -> None:
        monkeypatch.setattr(rereading, "vocabulary_of_motives", lambda: other)

    return use


def test_texts_that_say_something_else_now_are_told_to_the_lake_once(settings: Settings, vocabulary) -> None:
    path = speak(settings)
    before = warehouse.fingerprint(settings)
    done = rereading.reread(settings)
    assert (done.read, done.changed, done.is_new) == (0, 0, False)
    assert in_force(settings) == []
    assert warehouse.fingerprint(settings) == before

    new = larger()
    vocabulary(new)
    seen: list[tuple[int, int]] = []
    done = rereading.reread(settings, on_read=lambda *told: seen.append(told))
    assert (done.vocabulary, done.read, done.changed, done.is_new) == (new.version, 5, 4, True)
    assert seen == [(5, 5)]
    # price → convenience, nothing → convenience (twice), price → nothing
    assert in_force(settings) == ["None", "convenience", "convenience", "convenience"]
    assert warehouse.fingerprint(settings) != before
    listed = settings.home / "dbt" / "lake_files.json"
    warehouse.write_inputs(settings)
    found = corrections.current(settings)
    assert found is not None
    assert [each["path"] for each in json.loads(listed.read_text()) if each["dataset"] == "motives"] == [
        str(settings.lake / found.path)
    ]

    again = rereading.reread(settings)
    assert (again.read, again.changed, again.is_new) == (0, 0, False)
    assert corrections.current(settings) == found

    # Back to the first vocabulary: every text says what it said when it came in.
    vocabulary(motives())
    back = rereading.reread(settings)
    assert (back.read, back.changed, back.is_new) == (5, 4, True)
    assert in_force(settings) == []
    assert warehouse.fingerprint(settings) == before
    everything = [each for each in settings.home.rglob("*") if each.is_file() and each != path]
    assert [each.name for each in everything if b"kanarie" in each.read_bytes()] == []


def test_a_run_that_dies_goes_on_where_it_stopped(
    settings: Settings, vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak(settings)
    vocabulary(larger())
    monkeypatch.setattr("genome.identity.texts._ROWS", 2)
    read = 0

    def die_in_the_second_page(count: int, total: int) -> None:
        nonlocal read
        read = count
        if count > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rereading.reread(settings, on_read=die_in_the_second_page)
    assert read == 4
    assert in_force(settings) == []
    done = rereading.reread(settings)
    assert (done.read, done.is_new) == (1, True)
    assert in_force(settings) == ["None", "convenience", "convenience", "convenience"]


def test_whoever_is_erased_leaves_the_vault_and_the_corrections(settings: Settings, vocabulary) -> None:
    speak(settings)
    vocabulary(larger())
    rereading.reread(settings)
    bob = Tokeniser(settings).token("account", "bob").text
    assert rereading.forget(settings, [f"social:{bob}", "user:nobody"]) == 3
    assert in_force(settings) == ["convenience"]
    assert len(list((settings.lake / "motives").iterdir())) == 1
    vault = Vault(settings)
    assert Texts(vault).count() == 2
    vault.close()
    ann = Tokeniser(settings).token("account", "ann").text
    assert rereading.forget(settings, [f"social:{ann}"]) == 2
    assert in_force(settings) == []
    assert list((settings.lake / "motives").iterdir()) == []


def test_a_reader_of_the_former_file_may_finish(settings: Settings, vocabulary) -> None:
    speak(settings)
    vocabulary(larger())
    rereading.reread(settings)
    first = corrections.current(settings)
    assert first is not None
    vocabulary(motives())
    rereading.reread(settings)
    assert (settings.lake / first.path).is_file()
    assert corrections.current(settings) is None
    # But not when somebody is erased, though nothing of them is in force.
    ann = Tokeniser(settings).token("account", "ann").text
    assert rereading.forget(settings, [f"social:{ann}"]) == 2
    assert not (settings.lake / first.path).exists()


def test_channels_whose_motives_are_no_evidence_are_not_corrected(settings: Settings, vocabulary) -> None:
    vault = Vault(settings)
    Texts(vault).put(
        [Text("a", "user", "u1", "email", "Message Sent", 1, 1, "zorgeloze", None)], vocabulary="older"
    )
    vault.close()
    vocabulary(larger())
    done = rereading.reread(settings)
    assert (done.read, done.changed, done.is_new) == (1, 1, False)
    assert in_force(settings) == []


def test_a_build_hears_what_old_texts_say_now(settings: Settings, vocabulary) -> None:
    speak(settings)
    assert warehouse.build(settings).anew == "there is nothing to continue"
    assert evidence(settings) == [("2", "motive:price", 0.4), ("4", "motive:price", 0.4)]

    vocabulary(larger())
    assert rereading.reread(settings).is_new
    report = warehouse.build(settings)
    assert (report.skipped, report.anew) == (False, "texts have been read anew")
    # What was said then counts from then: the interactions' times are the same, and so is the customer's history.
    assert evidence(settings) == [
        ("2", "motive:convenience", 0.4),
        ("3", "motive:convenience", 0.4),
    ]
    assert times(settings) == [("2017-05-02", True), ("2017-05-03", True)]

    # Then nothing is read anew: the build continues, and what comes in counts as it was heard when it came.
    assert not rereading.reread(settings).is_new
    more = settings.home / "more.csv"
    more.write_text(HEAD + "6,Post Commented,2017-12-31T10:00:00Z,ann,n,,,,The price is all I care about\n")
    assert ingest(settings, "social", [more]).counts.accepted == 1
    assert warehouse.build(settings).anew == ""
    assert evidence(settings) == [
        ("2", "motive:convenience", 0.4),
        ("3", "motive:convenience", 0.4),
        ("6", "motive:price", 0.4),
    ]


def evidence(settings: Settings) -> list[tuple[str, str, float]]:
    """(the post's number, motive, weight for it) of all evidence in the warehouse."""
    return _ask(
        settings,
        "select interactions.post, evidence.product_id, round(evidence.evidence_for, 3) from evidence "
        "join interactions using (interaction_id) order by all",
    )


def times(settings: Settings) -> list[tuple[str, bool]]:
    return _ask(
        settings,
        "select strftime(evidence.evidence_at, '%Y-%m-%d'), evidence.available_at = interactions.available_at "
        "from evidence join interactions using (interaction_id) order by all",
    )


def _ask(settings: Settings, query: str) -> list[tuple]:
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        con.execute("set TimeZone = 'UTC'")
        listed = ", ".join(f"('{number}', '{_id(number)}')" for number in range(1, 7))
        head = (
            f"with posts (post, interaction_id) as (values {listed}), "
            "interactions as (select * from fct_interactions join posts using (interaction_id)), "
            "evidence as (select * from fct_evidence where product_id like 'motive:%') "
        )
        return con.execute(head + query).fetchall()


def _id(number: int) -> str:
    """As the connector makes it, of channel, source and the post's number."""
    return hashlib.md5(f"social\x1fsocial_events\x1f{number}".encode()).hexdigest()
