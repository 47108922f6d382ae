"""Signed webhooks of providers: whose they are is proved first, then each event is mapped onto ours.

SendGrid (event webhook, ECDSA), Mailgun (webhooks, HMAC) and Typeform (responses, HMAC). An event that the
mapping does not know is quarantined with its bytes: the provider sends it only once.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from genome.collector.body import Cut
from genome.collector.body import cut as cut_body
from genome.collector.errors import Refusal
from genome.collector.event import Breach

_FRESH_SECONDS: Final = 12 * 3600
"""Providers try again for hours with the same signature; older ones are somebody's copy."""

_json = msgspec.json.Encoder()


def verify(provider: str, secret: str, headers: Mapping[bytes, bytes], body: bytes, arrived: int) -> None:
    """Prove that the provider sent this body, recently.

    Raises:
        Refusal: 401 where it did not.
    """
    if not _VERIFIERS[provider](secret, headers, body, arrived // 1_000_000):
        raise Refusal(
            401, "bad_signature", f"This is not signed by {provider}.", "Check the source's secret."
        )


def cut(provider: str, body: bytes) -> list[bytes]:
    """The provider's events, each as it was sent."""
    if provider == "sendgrid":
        found: Cut = cut_body(b'{"batch":' + body + b"}", "batch")
        return found.events
    return cut_body(body, provider).events


def mapped(provider: str, raw: bytes) -> bytes | Breach:
    """A provider's event as one of ours (JSON), or why it is none."""
    try:
        given = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Breach("not_json")
    if not isinstance(given, dict):
        return Breach("wrong_type", "a provider's event is an object")
    try:
        made = _MAPPERS[provider](given)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        return Breach("unknown_hook_event", f"{provider}: {type(error).__name__} while reading it")
    return made if isinstance(made, Breach) else _json.encode(made)


# Signatures


def _sendgrid_signed(secret: str, headers: Mapping[bytes, bytes], body: bytes, now: int) -> bool:
    """ECDSA on P-256 over time stamp and body; the secret is the public key that SendGrid shows."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    stamp = headers.get(b"x-twilio-email-event-webhook-timestamp", b"")
    if not _fresh(stamp.decode("latin-1"), now):
        return False
    try:
        signature = base64.b64decode(
            headers.get(b"x-twilio-email-event-webhook-signature", b""), validate=True
        )
        key = load_der_public_key(base64.b64decode(secret))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(signature, stamp + body, ec.ECDSA(hashes.SHA256()))
    except (binascii.Error, ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _mailgun_signed(secret: str, headers: Mapping[bytes, bytes], body: bytes, now: int) -> bool:  # noqa: ARG001
    """HMAC-SHA-256 over time stamp and token, both in the body."""
    try:
        given = msgspec.json.decode(body)["signature"]
        stamp, token, signature = str(given["timestamp"]), str(given["token"]), str(given["signature"])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return False
    wanted = hmac.new(secret.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode(errors="replace")) and _fresh(stamp, now)


def _typeform_signed(secret: str, headers: Mapping[bytes, bytes], body: bytes, now: int) -> bool:  # noqa: ARG001
    """HMAC-SHA-256 over the body."""
    wanted = b"sha256=" + base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256))
    return hmac.compare_digest(wanted, headers.get(b"typeform-signature", b""))


def _fresh(stamp: str, now: int) -> bool:
    return stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and abs(now - int(stamp)) <= _FRESH_SECONDS


_VERIFIERS: Final[dict[str, Callable[[str, Mapping[bytes, bytes], bytes, int], bool]]] = {
    "sendgrid": _sendgrid_signed,
    "mailgun": _mailgun_signed,
    "typeform": _typeform_signed,
}


# Mappings

_SENDGRID: Final = {
    "processed": "Email Sent",
    "delivered": "Email Delivered",
    "open": "Email Opened",
    "click": "Email Link Clicked",
    "bounce": "Email Bounced",
    "dropped": "Email Bounced",
    "blocked": "Email Bounced",
    "spamreport": "Email Marked as Spam",
    "unsubscribe": "Unsubscribed",
    "group_unsubscribe": "Unsubscribed",
    "deferred": "Email Deferred",
    "group_resubscribe": "Email Resubscribed",
}
_MAILGUN: Final = {
    "accepted": "Email Sent",
    "delivered": "Email Delivered",
    "opened": "Email Opened",
    "clicked": "Email Link Clicked",
    "failed": "Email Bounced",
    "rejected": "Email Bounced",
    "complained": "Email Marked as Spam",
    "unsubscribed": "Unsubscribed",
}


def _sendgrid(given: dict[str, Any]) -> dict[str, Any] | Breach:
    name = _SENDGRID.get(given["event"])
    if name is None:
        return Breach("unknown_hook_event", "sendgrid: `event`")
    categories = given.get("category")
    return _email(
        name,
        given["email"],
        given.get("sg_event_id"),
        given["timestamp"],
        given.get("user_id"),
        {
            "message_id": given.get("sg_message_id"),
            "campaign_id": given.get("campaign_id") or given.get("marketing_campaign_id"),
            "offer_id": given.get("offer_id"),
            "link_url": given.get("url"),
            "bounce_type": given.get("type") if name == "Email Bounced" else None,
            "topic": categories[0] if isinstance(categories, list) and categories else categories,
        },
    )


def _mailgun(given: dict[str, Any]) -> dict[str, Any] | Breach:
    data = given["event-data"]
    name = _MAILGUN.get(data["event"])
    if name is None:
        return Breach("unknown_hook_event", "mailgun: `event`")
    own = data.get("user-variables") or {}
    message = (data.get("message") or {}).get("headers") or {}
    campaigns = data.get("campaigns") or []
    return _email(
        name,
        data["recipient"],
        data.get("id"),
        data["timestamp"],
        own.get("user_id"),
        {
            "message_id": message.get("message-id"),
            "campaign_id": own.get("campaign_id") or (campaigns[0].get("id") if campaigns else None),
            "offer_id": own.get("offer_id"),
            "link_url": data.get("url"),
            "bounce_type": data.get("severity") if name == "Email Bounced" else None,
        },
    )


def _email(
    name: str, address: str, event_id: Any, timestamp: Any, user_id: Any, properties: dict[str, Any]
) -> dict[str, Any]:
    return {
        "type": "track",
        "event": name,
        "userId": user_id,
        "messageId": event_id,
        "timestamp": float(timestamp),
        "properties": {key: value for key, value in properties.items() if value is not None},
        "context": {"traits": {"email": address}},
    }


def _typeform(given: dict[str, Any]) -> dict[str, Any] | Breach:
    """One interaction for a response: what was chosen by question, its score where the form keeps one.

    What people wrote themselves stands together in `answer`, which is read for motives and goes no further.
    """
    if given.get("event_type") != "form_response":
        return Breach("unknown_hook_event", "typeform: `event_type`")
    response = given["form_response"]
    hidden = response.get("hidden") or {}
    choices: dict[str, Any] = {}
    written: list[str] = []
    email = hidden.get("email")
    phone = None
    for answer in response.get("answers") or []:
        question = answer["field"].get("ref") or answer["field"]["id"]
        kind = answer["type"]
        value = answer.get(kind)
        if kind in ("text", "payment"):
            # of a payment nothing is wanted: it names who paid
            if kind == "text" and isinstance(value, str):
                written.append(value)
            continue
        if kind in ("choice", "choices"):
            if value.get("other"):
                written.append(value["other"])
            value = value.get("label" if kind == "choice" else "labels")
            if value is None:
                continue
        elif kind == "email":
            email = email or value
            continue
        elif kind == "phone_number":
            phone = value
            continue
        choices[question] = value
    return {
        "type": "track",
        "event": "Survey Submitted",
        "userId": hidden.get("user_id"),
        "anonymousId": None if hidden.get("user_id") or email or phone else f"typeform-{response['token']}",
        "messageId": given["event_id"],
        "timestamp": response["submitted_at"],
        "properties": {
            "survey_id": response["form_id"],
            "choices": choices,
            **({"answer": "\n".join(written)} if written else {}),
            **({"score": response["calculated"]["score"]} if response.get("calculated") else {}),
        },
        "context": {"traits": {k: v for k, v in (("email", email), ("phone", phone)) if v}},
    }


_MAPPERS: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any] | Breach]]] = {
    "sendgrid": _sendgrid,
    "mailgun": _mailgun,
    "typeform": _typeform,
}
