"""Signed webhooks of SendGrid, Mailgun and Typeform."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.collecting import Running

from genome.collector import hooks, quarantine, sources
from genome.errors import UsageError

PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(
    PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


def sendgrid(running: Running, source: str, events: Any, age: int = 0) -> httpx.Response:
    body = json.dumps(events).encode()
    stamp = str(int(time.time()) - age)
    signature = PRIVATE.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return running.client.post(
        f"/v1/hooks/{source}",
        content=body,
        headers={
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        },
    )


def test_sendgrids_events_become_ours(collector: Running) -> None:
    source = collector.source("email", provider="sendgrid", secret=PUBLIC)
    base = {
        "email": "bob@example.com",
        "timestamp": 1_700_000_000,
        "sg_message_id": "m1",
        "campaign_id": "c7",
    }
    names = ["processed", "delivered", "open", "click", "bounce", "spamreport", "unsubscribe"]
    events = [
        base | {"event": name, "sg_event_id": f"e{n}", "url": "https://x.example/?e=bob%40example.com"}
        for n, name in enumerate(names)
    ]
    answer = sendgrid(collector, source, [*events, base | {"event": "surprise"}, {"event": "open"}])
    assert (answer.status_code, answer.content) == (200, b'{"success":true}')
    row = collector.ledger(source)
    assert (row.accepted, row.quarantined) == (7, 2)
    records = sorted(collector.records(source), key=lambda each: each.message_id)
    assert [each.name for each in records] == [
        "Email Sent",
        "Email Delivered",
        "Email Opened",
        "Email Link Clicked",
        "Email Bounced",
        "Email Marked as Spam",
        "Unsubscribed",
    ]
    assert {each.key_type for each in records} == {"email"}
    assert {(each.occurred, each.properties["campaign_id"]) for each in records} == {
        (1_700_000_000_000_000, "c7")
    }
    assert "bob" not in str(records)
    # It comes again, as webhooks do.
    sendgrid(collector, source, events)
    assert collector.ledger(source).duplicate == 7
    for entry in collector.quarantined(source):
        assert entry.why.reason.startswith("unknown_hook_event")
        assert b"event" in quarantine.open_entry(collector.settings, entry.quarantine_id)[1]


def test_mailguns_event_becomes_ours(collector: Running) -> None:
    source = collector.source("email", provider="mailgun", secret="signing-key")
    stamp, token = str(int(time.time())), "token"
    signature = hmac.new(b"signing-key", (stamp + token).encode(), hashlib.sha256).hexdigest()
    data = {
        "event": "failed",
        "id": "e1",
        "timestamp": 1_700_000_000.25,
        "recipient": "bob@example.com",
        "severity": "permanent",
        "user-variables": {"campaign_id": "c7", "user_id": "u9"},
        "message": {"headers": {"message-id": "m1"}},
    }
    body = {"signature": {"timestamp": stamp, "token": token, "signature": signature}, "event-data": data}
    assert collector.client.post(f"/v1/hooks/{source}", json=body).status_code == 200
    (record,) = collector.records(source)
    assert (record.name, record.source_key, record.occurred) == (
        "Email Bounced",
        "user:u9",
        1_700_000_000_250_000,
    )
    assert record.properties == {"message_id": "m1", "campaign_id": "c7", "bounce_type": "permanent"}
    assert record.identifiers[0][0] == "email"
    body["signature"] |= {"signature": signature[:-1] + "x"}
    assert collector.client.post(f"/v1/hooks/{source}", json=body).status_code == 401


def test_typeforms_response_becomes_a_survey(collector: Running) -> None:
    source = collector.source("survey", provider="typeform", secret="shared")
    response = {
        "event_id": "e1",
        "event_type": "form_response",
        "form_response": {
            "form_id": "f1",
            "token": "t1",
            "submitted_at": "2026-01-02T03:04:05Z",
            "hidden": {"user_id": "u1"},
            "calculated": {"score": 8},
            "answers": [
                {"type": "number", "number": 9, "field": {"id": "q1", "ref": "nps"}},
                {"type": "choice", "choice": {"label": "Price"}, "field": {"id": "q2"}},
                {"type": "choices", "choices": {"labels": ["A", "B"]}, "field": {"id": "q3"}},
                {"type": "text", "text": "far too expensive, bob@example.com", "field": {"id": "q4"}},
                {"type": "choice", "choice": {"other": "my own words"}, "field": {"id": "q6"}},
                {
                    "type": "choices",
                    "choices": {"labels": ["C"], "other": "more words"},
                    "field": {"id": "q7"},
                },
                {"type": "email", "email": "bob@example.com", "field": {"id": "q5"}},
                {"type": "text", "text": None, "field": {"id": "q8"}},
                {
                    "type": "payment",
                    "payment": {"name": "Robert Paulson", "last4": "4242"},
                    "field": {"id": "q9"},
                },
            ],
        },
    }
    body = json.dumps(response).encode()
    signature = "sha256=" + base64.b64encode(hmac.digest(b"shared", body, "sha256")).decode()
    answer = collector.client.post(
        f"/v1/hooks/{source}", content=body, headers={"Typeform-Signature": signature}
    )
    assert answer.status_code == 200
    (record,) = collector.records(source)
    assert (record.name, record.source_key) == ("Survey Submitted", "user:u1")
    # Of what people wrote themselves only the motives go on.
    assert record.properties["choices"] == {"nps": 9, "q2": "Price", "q3": ["A", "B"], "q7": ["C"]}
    assert record.properties["_motives"] == "price"
    assert not any(
        each in repr(record) for each in ("expensive", "own words", "more words", "bob@", "Paulson")
    )
    assert (record.properties["survey_id"], record.properties["score"]) == ("f1", 8)
    assert record.identifiers[0][0] == "email"
    changed = body.replace(b"Price", b"Taste")
    assert (
        collector.client.post(
            f"/v1/hooks/{source}", content=changed, headers={"Typeform-Signature": signature}
        ).status_code
        == 401
    )


@pytest.mark.parametrize("fault", ["old", "unsigned", "changed", "rubbish"])
def test_a_hook_that_is_not_the_providers_is_401_and_stores_nothing(collector: Running, fault: str) -> None:
    source = collector.source("email", provider="sendgrid", secret=PUBLIC)
    event = {"event": "open", "email": "a@b.cd", "timestamp": 1}
    if fault == "old":
        answer = sendgrid(collector, source, [event], age=13 * 3600)
    else:
        headers = {"X-Twilio-Email-Event-Webhook-Timestamp": str(int(time.time()))}
        if fault == "changed":
            headers["X-Twilio-Email-Event-Webhook-Signature"] = base64.b64encode(
                PRIVATE.sign(b"other", ec.ECDSA(hashes.SHA256()))
            ).decode()
        elif fault == "rubbish":
            headers["X-Twilio-Email-Event-Webhook-Signature"] = "!"
        answer = collector.client.post(f"/v1/hooks/{source}", json=[event], headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert collector.ledger(source).received == 0


def test_a_hook_that_nobody_registered_is_404(collector: Running) -> None:
    web = collector.source("web")
    for name in ("nobody", web):
        answer = collector.client.post(f"/v1/hooks/{name}", content=b"[]")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_such_hook")


def test_a_hook_needs_its_secret_when_it_is_registered(collector: Running) -> None:
    with pytest.raises(UsageError, match="needs the provider's signing secret"):
        sources.add(collector.settings, "unsigned", "email", provider="sendgrid")


def test_every_mapped_name_keeps_its_contract() -> None:
    for provider, names in (("sendgrid", hooks._SENDGRID), ("mailgun", hooks._MAILGUN)):
        for name in names:
            given: dict[str, Any] = {"event": name, "email": "a@b.cd", "recipient": "a@b.cd", "timestamp": 1}
            mapped = hooks.mapped(provider, json.dumps(given | {"event-data": given}).encode())
            assert isinstance(mapped, bytes), (provider, name)
            assert json.loads(mapped)["event"] == names[name]
