"""No raw identifier reaches the stream, the store's files, a log or a figure; the vault has them all (32)."""

import json
import logging

import pytest
from support.collecting import Running, track

from genome.identity.vault import Vault


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
        track("Product Reviewed", properties={"product_id": "p", "_motives": "price", "review": ["no text"]}),
        track("Product Viewed", properties={"product_id": "p", "_motives": "price", "text": "a label"}),
    ]
    assert collector.batch(source, batch).status_code == 200
    stored = [each.properties for each in collector.records(source)]
    assert sorted(stored, key=str) == sorted(
        [
            {"product_id": "p", "rating": 2, "_motives": "price -status"},
            {"case_id": "7", "author": "agent"},
            {"product_id": "p", "review": ["no text"]},
            {"product_id": "p", "text": "a label"},
        ],
        key=str,
    )
