"""Personal columns, alternative keys and the other words of a contract, on small files."""

import dataclasses
import json
import sqlite3
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from genome import channels
from genome.channels.contract import (
    Case,
    Column,
    Connector,
    Constant,
    Corrected,
    Field,
    Interaction,
    Key,
    Kind,
    Personal,
    Properties,
)
from genome.errors import GenomeError
from genome.identity.texts import Texts
from genome.identity.tokens import Tokeniser, rotate
from genome.identity.vault import Vault
from genome.lake import manifest as manifests
from genome.lake import quarantine
from genome.lake.ingest import ingest
from genome.lake.layout import IDENTIFIER_COLUMNS
from genome.lake.manifest import Counts, Manifest
from genome.lake.replay import replay
from genome.settings import Settings
from genome.vocabulary import motives

KIOSK = Connector(
    name="kiosk",
    title="Kiosk",
    description="A terminal in the store.",
    source_id="kiosk_events",
    columns=(
        Field("event_id", Kind.ID, "The event."),
        Field("event", Kind.TEXT, "What happened.", one_of=("Asked", "Told")),
        Field("at", Kind.TIMESTAMP, "When, by the terminal's clock."),
        Field("sent_at", Kind.TIMESTAMP, "When it was sent, by the same clock.", required=False),
        Field("email", Kind.TEXT, "Address.", required=False, personal=Personal.EMAIL),
        Field("phone", Kind.TEXT, "Number.", required=False, personal=Personal.PHONE),
        Field("card", Kind.ID, "Card.", required=False),
        Field("name", Kind.TEXT, "Name.", required=False, personal=Personal.NAME),
        Field("born", Kind.INTEGER, "Date of birth.", required=False, personal=Personal.BIRTH),
        Field("question", Kind.TEXT, "In their words.", required=False, personal=Personal.TEXT),
        Field("is_urgent", Kind.BOOLEAN, "Whether it is urgent.", required=False),
    ),
    key=("event_id",),
    becomes=Interaction(
        interaction_type=Case(
            (((("event", "Asked"), ("is_urgent", "true")), Constant("Help Called")),),
            otherwise=Column("event"),
        ),
        occurred_at=Corrected(Column("at"), sent=Column("sent_at")),
        original_at=Column("at"),
        sent_at=Column("sent_at"),
        customer_key_type="email",
        customer_key=Column("email"),
        further_keys=(
            Key("phone", Column("phone")),
            Key("card", Column("card"), unless="HOUSE-.*"),
        ),
        properties=Properties(("name", "born", "question", "is_urgent")),
    ),
    calling_code="1",
)
HEAD = "event_id,event,at,sent_at,email,phone,card,name,born,question,is_urgent,received_at"
CANARIES = ("ann.canary@example.com", "5550104477", "canaryson", "1987-06-05", "bob.canary@example.org")


@pytest.fixture(autouse=True)
def _kiosk(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = {**channels.registry(), "kiosk": KIOSK}
    monkeypatch.setattr(channels, "registry", lambda: registry)


def drop(settings: Settings, name: str, *rows: str) -> Path:
    path = settings.inbox / "kiosk" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEAD, *rows]) + "\n")
    return path


def row(event_id: str, **changes: str) -> str:
    cells = dict.fromkeys(HEAD.split(","), "") | {
        "event_id": event_id,
        "event": "Told",
        "at": "2017-03-05T10:00:00Z",
        "email": "ann.canary@example.com",
    }
    return ",".join((cells | changes).values())


def lake(settings: Settings, columns: str, *, further: bool = False) -> list[tuple]:
    manifest = Manifest.read(settings, "interactions")
    paths = [str(each) for each in (manifest.identifiers("kiosk") if further else manifest.files("kiosk"))]
    if not paths:
        return []
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        return con.execute(
            f"SELECT {columns} FROM read_parquet({paths}, hive_partitioning = false) ORDER BY ALL"
        ).fetchall()


def test_a_value_is_spelled_in_one_way_before_it_becomes_a_token(settings: Settings) -> None:
    drop(
        settings,
        "a.csv",
        row("1"),
        row("2", email=" Ann.Canary@EXAMPLE.com "),
        row("3", email="", phone="(555) 010-4477"),
        row("4", email="", phone="+1 555 0104477"),
    )
    assert ingest(settings, "kiosk").counts == Counts(received=4, accepted=4)
    tokeniser = Tokeniser(settings, calling_code="1")
    ann = tokeniser.token("email", "ann.canary@example.com").text
    number = tokeniser.token("phone", "+15550104477").text
    assert lake(settings, "customer_key_type, customer_key, _key_version") == [
        ("email", ann, 1),
        ("email", ann, 1),
        ("phone", number, 1),
        ("phone", number, 1),
    ]
    vault = Vault(settings)
    assert vault.reveal([ann, number], reader="delivery") == {
        ann: "ann.canary@example.com",
        number: "+15550104477",
    }
    vault.close()


def test_no_raw_value_is_readable_in_any_file_or_word_of_a_run(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    path = drop(
        settings,
        "a.csv",
        row(
            "1",
            phone="5550104477",
            name="Canaryson",
            born="1987-06-05",
            question="write to bob.canary@example.org",
        ),
        # Set aside: by a contract's rule, and by the CSV reader.
        row("2", event="Shouted", name="Canaryson"),
        "3,Told,ann.canary@example.com",
        # Same key, other content.
        row("1", phone="5550104477", name="Canaryson", question="other"),
    )
    report = ingest(settings, "kiosk")
    path.unlink()
    assert report.counts.quarantined == 2
    said = json.dumps(report.summary()) + str(report) + caplog.text
    for canary in CANARIES:
        assert canary.lower() not in said.lower()
        for found in settings.home.rglob("*"):
            if found.is_file():
                assert canary.lower().encode() not in found.read_bytes().lower(), found.name
    [(properties,)] = lake(settings, "properties")
    said_by = json.loads(properties)
    assert said_by["born"] == 1987
    assert said_by["name"].startswith("name_1_")
    assert said_by["question"].startswith("write to email_1_")


def test_rows_that_waited_in_quarantine_are_tokenised_when_they_are_replayed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, "a.csv", row("1", event="Shouted", phone="5550104477"))
    ingest(settings, "kiosk")
    [item] = quarantine.open_items(settings)
    assert item.reason == "event is none of Asked, Told"
    event = Field("event", Kind.TEXT, "What happened.", one_of=("Asked", "Told", "Shouted"))
    columns = tuple(event if each.name == "event" else each for each in KIOSK.columns)
    registry = {**channels.registry(), "kiosk": dataclasses.replace(KIOSK, columns=columns)}
    monkeypatch.setattr(channels, "registry", lambda: registry)
    assert replay(settings, [item.id]).accepted == 1
    tokeniser = Tokeniser(settings, calling_code="1")
    assert lake(settings, "customer_key") == [(tokeniser.token("email", "ann.canary@example.com").text,)]
    assert lake(settings, "identifier", further=True) == [(tokeniser.token("phone", "5550104477").text,)]


def test_a_row_that_comes_again_after_a_rotation_is_the_same_row(settings: Settings) -> None:
    drop(settings, "a.csv", row("1", name="Canaryson"))
    assert ingest(settings, "kiosk").counts == Counts(received=1, accepted=1)
    assert rotate(settings) == 2
    drop(settings, "b.csv", row("1", name="Canaryson"), row("2"))
    assert ingest(settings, "kiosk").counts == Counts(received=2, accepted=1, duplicate=1)
    assert lake(settings, "_key_version") == [(1,), (2,)]


def test_the_first_key_is_the_customers_and_the_others_land_beside_it(settings: Settings) -> None:
    drop(
        settings,
        "a.csv",
        row("1", phone="5550104477", card="c1"),
        row("2", email="", phone="5550104477", card="HOUSE-3"),
        row("3", email="", card="c1"),
        row("4", email="", card="HOUSE-3"),
        row("5", email=""),
    )
    report = ingest(settings, "kiosk")
    assert report.counts == Counts(received=5, accepted=3, quarantined=2)
    assert report.files[0].reasons == {"none of email, phone, card says who it was": 2}
    assert lake(settings, "customer_key_type, _key_version") == [("card", 0), ("email", 1), ("phone", 1)]
    phone = Tokeniser(settings, calling_code="1").token("phone", "5550104477").text
    assert lake(settings, "customer_key_type, identifier_type, identifier, _key_version", further=True) == [
        ("email", "card", "c1", 0),
        ("email", "phone", phone, 1),
    ]


def test_further_identifiers_have_the_lakes_columns_and_a_batch_without_any_has_no_file(
    settings: Settings,
) -> None:
    drop(settings, "a.csv", row("1", card="c1"))
    drop(settings, "b.csv", row("2"))
    ingest(settings, "kiosk")
    first, second = sorted(Manifest.read(settings, "interactions").entries, key=lambda each: each.source.name)
    assert ([each.rows for each in first.identifiers], second.identifiers) == ([1], ())
    path = settings.lake / first.identifiers[0].path
    assert path.relative_to(settings.lake).parts[:3] == ("identifiers", "channel=kiosk", "month=2017-03")
    described = duckdb.execute(f"DESCRIBE FROM read_parquet('{path}', hive_partitioning = false)").fetchall()
    assert {name: kind for name, kind, *_ in described} == {
        name: kind.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")
        for name, kind in IDENTIFIER_COLUMNS.items()
    }
    [(identified,)] = lake(settings, "interaction_id", further=True)
    assert (identified, "c1") in lake(settings, "interaction_id, 'c1'")


def test_a_clock_that_was_wrong_when_it_sent_is_set_right(settings: Settings) -> None:
    drop(
        settings,
        "a.csv",
        # Two hours ahead; sent three seconds after it happened.
        row(
            "1", at="2017-03-05T12:00:00Z", sent_at="2017-03-05T12:00:03Z", received_at="2017-03-05T10:00:03Z"
        ),
        row("2", at="2017-03-05T09:00:00Z", received_at="2017-03-05T10:00:03Z"),
        # A week ahead of our clock before it was set right.
        row(
            "3", at="2018-01-08T05:00:00Z", sent_at="2018-01-08T05:00:00Z", received_at="2018-01-01T04:00:00Z"
        ),
    )
    assert ingest(settings, "kiosk").counts == Counts(received=3, accepted=3)
    found = lake(settings, "CAST(occurred_at AS VARCHAR), CAST(original_at AS VARCHAR), _known_assumed")
    assert found == [
        ("2017-03-05 09:00:00+00", "2017-03-05 09:00:00+00", False),
        ("2017-03-05 10:00:00+00", "2017-03-05 12:00:00+00", False),
        ("2018-01-01 04:00:00+00", "2018-01-08 05:00:00+00", False),
    ]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"event": "Asked", "is_urgent": "TRUE"}, "Help Called"),
        ({"event": "Asked", "is_urgent": "0"}, "Asked"),
        ({"event": "Asked"}, "Asked"),
        ({"event": "Told", "is_urgent": "yes"}, "Told"),
    ],
)
def test_the_name_of_an_event_may_depend_on_its_columns(
    settings: Settings, changes: dict[str, str], name: str
) -> None:
    drop(settings, "a.csv", row("1", **changes))
    ingest(settings, "kiosk")
    assert lake(settings, "interaction_type") == [(name,)]


def test_what_is_neither_true_nor_false_is_set_aside(settings: Settings) -> None:
    drop(settings, "a.csv", row("1", is_urgent="perhaps"), row("2", is_urgent="2"))
    assert ingest(settings, "kiosk").files[0].reasons == {"is_urgent is not true or false": 2}


def test_a_channels_files_are_read_by_their_names_and_replayed_by_them(settings: Settings) -> None:
    folder = settings.inbox / "pos"
    folder.mkdir(parents=True)
    head = "return_id,transaction_id,store_id,returned_at,product_id,quantity,amount"
    (folder / "returns-2017-03.csv").write_text(
        f"{head}\nr1,t1,s1,2017-03-05T10:00:00Z,p1,1,2\nr2,t1,s1,never,p1,1,2\n"
    )
    lines = "transaction_id,line_number,store_id,sold_at,product_id,quantity,amount"
    (folder / "lines-2017-03.csv").write_text(f"{lines}\nt1,1,s1,2017-03-04T10:00:00Z,p1,1,2\n")
    report = ingest(settings, "pos")
    assert [(each.name, each.counts.accepted) for each in report.files] == [
        ("lines-2017-03.csv", 1),
        ("returns-2017-03.csv", 1),
    ]
    again = replay(settings)
    assert list(again.still.values()) == [
        "returned_at is not a date and time (ISO 8601, with an offset or in the contract's time zone)"
    ]
    paths = [str(path) for path in Manifest.read(settings, "interactions").files("pos")]
    assert duckdb.execute(
        f"SELECT interaction_type, customer_key_type, customer_key FROM read_parquet({paths}) ORDER BY ALL"
    ).fetchall() == [("Order Completed", "receipt", "t1"), ("Order Refunded", "receipt", "t1")]
    # A receipt is no identifier of anybody.
    assert Manifest.read(settings, "interactions").identifiers("pos") == []


DESK = dataclasses.replace(
    KIOSK,
    columns=(
        *KIOSK.columns,
        Field("words", Kind.TEXT, "In their words.", required=False, personal=Personal.WORDS),
    ),
    becomes=dataclasses.replace(
        KIOSK.becomes, properties=Properties(("name", "born", "question", "is_urgent"), motives="words")
    ),
)


def test_of_words_only_motives_come_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "registry", lambda: {"kiosk": DESK})
    head = f"{HEAD},words"
    path = settings.home / "kiosk.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        '1,Told,2017-03-05T10:00:00Z,,ann.canary@example.com,,,,,,,,"My canary broke, and it was NOT cheap"',
        "2,Told,2017-03-05T10:00:00Z,,ann.canary@example.com,,,,,,,,Hello canary",
        "3,Told,2017-03-05T10:00:00Z,,ann.canary@example.com,,,,,,,,",
    ]
    path.write_text("\n".join([head, *rows]))
    ingest(settings, "kiosk", [str(path)])
    files = Manifest.read(settings, "interactions").files()
    listed = [str(each) for each in files]
    found = duckdb.sql(f"SELECT interaction_id, properties FROM read_parquet({listed})").fetchall()
    said = sorted(str(json.loads(text)["_motives"]) for _, text in found)
    assert said == ["None", "None", "price quality"]
    everything = [each for each in settings.home.rglob("*") if each.is_file() and each != path]
    assert [each.name for each in everything if b"canary" in each.read_bytes()] == []
    # The same rows in another file, read by a larger vocabulary, are the same rows.
    monkeypatch.setattr("genome.lake.tokenise.motives", _Everything)
    again = settings.home / "again.csv"
    again.write_text("\n".join([head, *rows, ""]) + "\n")
    ingest(settings, "kiosk", [str(again)])
    assert duckdb.sql(
        f"SELECT count(*) FROM read_parquet({[str(each) for each in Manifest.read(settings, 'interactions').files()]})"
    ).fetchall() == [(3,)]


class _Everything:
    """A vocabulary that finds something in any text."""

    def said_of_all(self, texts: pa.Array) -> pa.Array:
        return pa.repeat("novelty", len(texts))


AGENTS = dataclasses.replace(
    DESK,
    columns=(*DESK.columns, Field("author", Kind.TEXT, "Who wrote.", required=False)),
    becomes=dataclasses.replace(DESK.becomes, properties=Properties(("name", "author"), motives="words")),
)


def said(name: str, *rows: str, settings: Settings) -> Path:
    """A file of the kiosk's with words: `event_id|event|words|author`."""
    path = settings.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for each in rows:
        event_id, event, words, author = each.split("|")
        lines.append(
            json.dumps(
                {
                    "event_id": event_id,
                    "event": event,
                    "at": "2017-03-05T10:00:00Z",
                    "received_at": "2017-03-06T10:00:00Z",
                    "email": "ann.canary@example.com",
                    "words": words,
                    "author": author,
                }
            )
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def kept(settings: Settings) -> dict[str, tuple[str, str | None]]:
    """The texts of Ann in the vault: words → (type of the interaction, motives)."""
    ann = Tokeniser(settings).token("email", "ann.canary@example.com").text
    vault = Vault(settings)
    found = Texts(vault).of([f"email:{ann}"], reader="privacy")
    vault.close()
    return {each.text: (each.interaction_type, each.motives) for each in found}


def test_words_of_a_file_lie_sealed_in_the_vault_beside_their_interactions(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channels, "registry", lambda: {"kiosk": AGENTS})
    path = said(
        "a.jsonl",
        "1|Told|The canary was NOT cheap|customer",
        "2|Told|Hello canary|",
        "3|Told|I am sorry for the price of the canary|agent",
        "4|Told||customer",
        # Set aside: neither its interaction nor its text comes in.
        "5|Shouted|A canary that nobody hears|customer",
        # The same row again, in other words: the first delivery stays.
        "1|Told|The second canary was organic|customer",
        settings=settings,
    )
    report = ingest(settings, "kiosk", [path])
    assert report.counts == Counts(received=6, accepted=4, quarantined=1, duplicate=1)
    assert kept(settings) == {"The canary was NOT cheap": ("Told", "price"), "Hello canary": ("Told", None)}
    ids = [row[0] for row in lake(settings, "interaction_id")]
    vault = Vault(settings)
    found = Texts(vault).find(ids, reader="vocabulary")
    vault.close()
    assert {each.text for each in found.values()} == set(kept(settings))
    assert {each.vocabulary for each in found.values()} == {motives().version}
    assert {(each.channel, each.received_at.isoformat()) for each in found.values()} == {
        ("kiosk", "2017-03-06T10:00:00+00:00")
    }
    # The same rows in another file change nothing, whatever their words are now.
    again = said("b.jsonl", "1|Told|A third canary|customer", "2|Told|Hello canary|", settings=settings)
    assert ingest(settings, "kiosk", [again]).counts == Counts(received=2, duplicate=2)
    assert set(kept(settings)) == {"The canary was NOT cheap", "Hello canary"}
    everything = [each for each in settings.home.rglob("*") if each.is_file() and each not in (path, again)]
    assert settings.identity_vault in everything
    assert [each.name for each in everything if b"canary" in each.read_bytes()] == []
    assert "canary" not in caplog.text + json.dumps(report.summary())


def test_a_batch_that_did_not_come_to_count_leaves_its_texts_for_the_next_try(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "registry", lambda: {"kiosk": AGENTS})
    path = said("a.jsonl", "1|Told|The canary was dear|customer", settings=settings)
    real = manifests.commit

    def killed(*_: object) -> None:
        raise GenomeError("killed", "")

    monkeypatch.setattr(manifests, "commit", killed)
    with pytest.raises(GenomeError, match="killed"):
        ingest(settings, "kiosk", [path])
    assert lake(settings, "interaction_id") == []
    monkeypatch.setattr(manifests, "commit", real)
    assert ingest(settings, "kiosk", [path]).counts == Counts(received=1, accepted=1)
    assert len(lake(settings, "interaction_id")) == 1
    assert len(kept(settings)) == 1


def test_a_text_that_cannot_be_kept_keeps_its_batch_out_of_the_lake(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "registry", lambda: {"kiosk": AGENTS})
    path = said("a.jsonl", "1|Told|The canary was dear|customer", settings=settings)

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Texts, "put", full)
    with pytest.raises(sqlite3.OperationalError):
        ingest(settings, "kiosk", [path])
    assert Manifest.read(settings, "interactions").entries == ()


def test_words_of_a_row_that_waited_in_quarantine_reach_the_vault_when_it_lands(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "registry", lambda: {"kiosk": AGENTS})
    ingest(settings, "kiosk", [said("a.jsonl", "1|Shouted|The canary was dear|customer", settings=settings)])
    assert kept(settings) == {}
    event = Field("event", Kind.TEXT, "What happened.", one_of=("Asked", "Told", "Shouted"))
    columns = tuple(event if each.name == "event" else each for each in AGENTS.columns)
    monkeypatch.setattr(channels, "registry", lambda: {"kiosk": dataclasses.replace(AGENTS, columns=columns)})
    assert replay(settings).accepted == 1
    assert kept(settings) == {"The canary was dear": ("Shouted", None)}
