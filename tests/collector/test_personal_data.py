"""No raw identifier reaches the stream, the store's files, a log or a figure; the vault has them all (32)."""

import json
import logging
import sqlite3
import time
from collections.abc import Iterator

import pytest
from support.collecting import Running, track

from genome.identity.texts import Texts, Written
from genome.identity.vault import Vault
from genome.vocabulary import motives


def test_identifiers_are_tokens_in_the_stream_and_raw_only_in_the_vault(
    collector: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = collector.source("app", calling_code="1")
    canaries = [f"canary{n}@example.com" for n in range(200)]
    batch = []
    for number, address in enumerate(canaries):
        batch.append(
            [
                {
                    "type": "identify",
                    "userId": f"u{number}",
                    "traits": {"email": address, "phone": "555 123 4567"},
                },
                track(userId=address),
                track(
                    properties={
                        "product_id": "p",
                        "url": f"https://x.example/?m={address.replace('@', '%40')}",
                    }
                ),
                track(event=f"Mailed {address}", messageId=f"for {address}"),
                track(
                    context={
                        "traits": {"email": address.upper()},
                        "ip": "203.0.113.9",
                        "page": {"title": address},
                    }
                ),
                track("Order Completed", properties={"note": address}),
                track(userId=None, anonymousId=f"of {address}"),
            ][number % 7]
        )
    assert collector.batch(source, batch).status_code == 200
    row = collector.ledger(source)
    assert row.is_balanced
    assert row.quarantined == len([n for n in range(200) if n % 7 == 5])
    stored = json.dumps([str(each) for each in collector.records(source)])
    assert "canary" not in stored.lower()
    assert "203.0.113.9" not in stored
    files = [
        path
        for folder in (
            collector.settings.valkey,
            collector.settings.logs,
            collector.settings.identity_vault.parent,
        )
        for path in folder.rglob("*")
        if path.is_file()
    ]
    assert len(files) > 3
    assert [path.name for path in files if b"canary" in path.read_bytes().lower()] == []
    assert "canary" not in caplog.text
    assert "canary" not in collector.client.get("/metrics").text
    assert "canary" not in collector.batch(source, [{"type": "canary@example.com"}]).text
    by_user = {each.key: each for each in collector.records(source) if each.type == "identify"}
    email, phone = by_user["u0"].identifiers
    assert (email[0], email[2], phone[0]) == ("email", 1, "phone")
    vault = Vault(collector.settings)
    found = vault.reveal([email[1], phone[1]], reader="identity")
    vault.close()
    assert found == {email[1]: "canary0@example.com", phone[1]: "+15551234567"}


def test_an_address_used_as_user_id_becomes_the_source_key_as_a_token(collector: Running) -> None:
    source = collector.source()
    collector.batch(source, [track(userId="Bob@Example.com", anonymousId="a1")])
    (record,) = collector.records(source)
    assert (record.key_type, record.key_version) == ("email", 1)
    assert record.key.startswith("email_1_")
    assert record.identifiers == [("anonymous", "a1", None)]


def test_a_context_keeps_what_is_useful_and_nobodys_address(collector: Running) -> None:
    source = collector.source()
    context = {
        "ip": "203.0.113.9",
        "userAgent": "x",
        "device": {"id": "d", "advertisingId": "ad", "name": "Bob's phone", "type": "ios", "model": "m"},
        "page": {"path": "/p", "title": "P"},
        "locale": "en-GB",
        "timezone": "Europe/Berlin",
        "sessionId": 17,
        "sellerId": "shoes",
        "library": {"name": "l"},
    }
    collector.batch(source, [track(context=context)])
    (record,) = collector.records(source)
    assert record.context == {
        "device": {"type": "ios", "model": "m"},
        "page": {"path": "/p", "title": "P"},
        "locale": "en-GB",
        "timezone": "Europe/Berlin",
        "library": {"name": "l"},
    }
    assert (record.session, record.seller) == ("17", "shoes")


def test_of_what_a_person_writes_only_motives_go_on(collector: Running) -> None:
    source = collector.source("web")
    said = {"text": "The canary costs too much money", "comment": "and it is not luxurious"}
    batch = [
        track("Product Reviewed", properties={"product_id": "p", "rating": 2, **said}),
        track(
            "Complaint Opened", properties={"case_id": "7", "message": "My canary broke", "author": "agent"}
        ),
        # Nobody sends motives: they are recognised, or there are none.
        track("Product Reviewed", properties={"product_id": "p", "_motives": "price", "review": [4, True]}),
        track("Product Viewed", properties={"product_id": "p", "_motives": "price", "text": "a label"}),
    ]
    assert collector.batch(source, batch).status_code == 200
    stored = [each.properties for each in collector.records(source)]
    assert sorted(stored, key=str) == sorted(
        [
            {"product_id": "p", "rating": 2, "_motives": "price -status"},
            {"case_id": "7", "author": "agent"},
            {"product_id": "p", "review": [4, True]},
            {"product_id": "p", "text": "a label"},
        ],
        key=str,
    )


def test_words_are_found_at_whatever_depth_an_sdk_sends_them(collector: Running) -> None:
    source = collector.source("app")
    answers = {
        "q1": {"value": "The canary costs too much money", "score": 3},
        "q2": ["fair trade, please", {"ticked": True, "other": ["my canary"]}],
    }
    batch = [
        track("Survey Submitted", properties={"survey_id": "s", "answers": answers}),
        track(
            "Ticket Opened", properties={"case_id": "7", "notes": [{"message": "canary", "topic": "cage"}]}
        ),
        # no words of a person: a label of a page
        track("Product Viewed", properties={"product_id": "p", "answers": ["seed", "millet"]}),
    ]
    assert collector.batch(source, batch).status_code == 200
    assert {each.name: each.properties for each in collector.records(source)} == {
        "Survey Submitted": {
            "survey_id": "s",
            "answers": {"q1": {"score": 3}, "q2": [{"ticked": True, "other": []}]},
            "_motives": "ethics price",
        },
        "Ticket Opened": {"case_id": "7", "notes": [{"topic": "cage"}]},
        "Product Viewed": {"product_id": "p", "answers": ["seed", "millet"]},
    }


def test_only_the_persons_own_words_are_heard(collector: Running, reader: Texts) -> None:
    source = collector.source("app")
    form = [
        {"question": "How important is a low price to you?", "question_id": "price", "answer": "not at all"},
        {"question": {"text": "Do you buy organic food?"}, "value": "my canary does"},
    ]
    talk = [
        {"author": "agent", "text": "We have cheaper, organic seed", "parts": [{"body": "fair trade"}]},
        {"author": "customer", "text": "where is my parcel, the delivery is late"},
    ]
    sold = [{"product_id": "p", "description": "Organic fair trade seed"}]
    sent = {
        "Survey Submitted": {"survey_id": "s", "answers": form},
        "Ticket Opened": {"case_id": "7", "messages": talk},
        "Complaint Opened": {"case_id": "8", "message": "my canary is ill", "products": sold},
        "Product Reviewed": {
            "product_id": "p",
            "review": {"product_id": "fair trade", "text": "so expensive"},
        },
    }
    batch = [track(name, userId="form", properties=properties) for name, properties in sent.items()]
    assert collector.batch(source, batch).status_code == 200
    assert {each.name: each.properties for each in collector.records(source)} == {
        "Survey Submitted": {"survey_id": "s", "answers": [{}, {"question": {}}]},
        "Ticket Opened": {
            "case_id": "7",
            "messages": [{"author": "agent", "parts": [{}]}, {"author": "customer"}],
            "_motives": "delivery",
        },
        "Complaint Opened": {"case_id": "8", "products": [{"product_id": "p"}]},
        "Product Reviewed": {"product_id": "p", "review": {}, "_motives": "price"},
    }
    assert sorted(each.text for each in written(reader, "form")) == [
        "my canary is ill",
        "not at all\nmy canary does",
        "so expensive",
        "where is my parcel, the delivery is late",
    ]


@pytest.fixture
def reader(collector: Running) -> Iterator[Texts]:
    vault = Vault(collector.settings)
    yield Texts(vault)
    vault.close()


def written(reader: Texts, person: str) -> list[Written]:
    return reader.of([f"user:{person}"], reader="privacy")


def review(person: str, message_id: str, **said: str) -> dict[str, object]:
    return track(
        "Product Reviewed", userId=person, messageId=message_id, properties={"product_id": "p", **said}
    )


def test_what_a_person_writes_lies_sealed_in_the_vault_and_nowhere_else(
    collector: Running, reader: Texts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = collector.source("web")
    batch = [
        review("ann", "r1", text="The kanarie costs too much", comment="write to kanarie@example.com"),
        track(
            "Complaint Opened",
            userId="ann",
            properties={"case_id": "7", "message": "My kanarie", "author": "agent"},
        ),
        # Quarantined for its contract: no text of it is kept but the sealed event itself.
        track("Order Completed", userId="ann", properties={"text": "kanarie"}),
        track("Product Viewed", userId="ann", properties={"product_id": "p", "note": "x"}),
    ]
    assert collector.batch(source, batch).status_code == 200
    (text,) = written(reader, "ann")
    assert text.text == "write to kanarie@example.com\nThe kanarie costs too much"
    assert (text.channel, text.interaction_type, text.motives) == ("web", "Product Reviewed", "price")
    assert text.vocabulary == motives().version
    (record,) = [each for each in collector.records(source) if each.name == "Product Reviewed"]
    assert text.interaction_id == record.interaction_id()
    assert text.received_at.timestamp() == record.received / 1e6
    assert reader.find([record.interaction_id()], reader="vocabulary") == {text.interaction_id: text}
    assert "kanarie" not in json.dumps([str(each) for each in collector.records(source)])
    files = [path for path in collector.settings.home.rglob("*") if path.is_file()]
    assert collector.settings.identity_vault in files
    assert [path.name for path in files if b"kanarie" in path.read_bytes()] == []
    assert "kanarie" not in caplog.text + collector.client.get("/metrics").text


def test_a_text_that_comes_again_is_kept_once_and_the_first_one_stays(
    collector: Running, reader: Texts
) -> None:
    source = collector.source("web")
    for words in ("first and dear", "first and dear", "second and organic"):
        assert collector.batch(source, [review("bob", "r2", text=words)]).status_code == 200
    assert [each.text for each in written(reader, "bob")] == ["first and dear"]
    row = collector.ledger(source)
    assert (row.accepted, row.duplicate, row.quarantined) == (1, 1, 1)


def test_no_event_is_acknowledged_whose_text_is_not_kept(
    collector: Running, reader: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = collector.source("web")

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full: a dear kanarie")

    with monkeypatch.context() as broken:
        broken.setattr(Texts, "put", full)
        answer = collector.batch(source, [review("eve", "r3", text="a dear kanarie")])
    assert answer.status_code == 503
    assert "kanarie" not in answer.text
    assert collector.records(source) == []
    # The sender comes again.
    until_open(collector)
    assert collector.batch(source, [review("eve", "r3", text="a dear kanarie")]).status_code == 200
    assert [each.text for each in written(reader, "eve")] == ["a dear kanarie"]
    assert len(collector.records(source)) == 1


def test_a_text_whose_event_was_not_stored_waits_for_the_next_try(
    collector: Running, reader: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = collector.source("web")

    async def away(*_: object) -> None:
        raise ConnectionError("the store is gone")

    with monkeypatch.context() as broken:
        broken.setattr("genome.collector.commit.Committer._call", away)
        assert collector.batch(source, [review("joe", "r4", text="a dear thing")]).status_code == 503
    assert collector.records(source) == []
    until_open(collector)
    assert collector.batch(source, [review("joe", "r4", text="a dear thing")]).status_code == 200
    assert [each.text for each in written(reader, "joe")] == ["a dear thing"]
    assert [each.message_id for each in collector.records(source)] == ["r4"]


def until_open(collector: Running) -> None:
    """Wait until the collector has its store again."""
    deadline = time.monotonic() + 15
    while collector.client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
