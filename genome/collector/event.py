"""One event: from the bytes that were sent to a record of the stream, or the reason why it cannot be one.

Nothing here waits or writes. An event is one of three things: a record to be stored, a breach to be
quarantined, or suppressed by its consent context.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import msgspec

from genome import vocabulary
from genome.collector import contracts, limits
from genome.collector.record import Record
from genome.collector.sources import Source
from genome.collector.words import without_words
from genome.identity import normal
from genome.identity.personal import Scrubber, is_impersonal, is_plain
from genome.identity.texts import Text

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = 86_400_000_000
_OLDEST: Final = (datetime(1900, 1, 1, tzinfo=UTC) - _EPOCH) // MICROSECOND
_NEWEST: Final = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) // MICROSECOND
TYPES: Final = ("track", "identify", "page", "screen", "group", "alias")

_NAMES: Final = {
    "identify": "Profile Updated",
    "page": "Page Viewed",
    "screen": "Screen Viewed",
    "group": "Group Joined",
    "alias": "Identity Linked",
}
CONSENT_EVENTS: Final = frozenset({"Consent Updated", "Segment Consent Preference Updated", "Unsubscribed"})
"""Kept whatever consent they carry: they are what changes it."""


class Device(msgspec.Struct, omit_defaults=True, gc=False):
    """What is kept of a device: neither its ids nor its owner's name for it."""

    type: str | None = None
    manufacturer: str | None = None
    model: str | None = None


class Context(msgspec.Struct, omit_defaults=True, gc=False):
    """What is kept of a context. Everything else (the address on the network, fingerprints) ends here."""

    consent: dict[str, Any] | None = None
    consentManagement: dict[str, Any] | None = None  # noqa: N815 - the senders' names
    sessionId: str | int | None = None  # noqa: N815
    traits: dict[str, Any] | None = None
    page: dict[str, Any] | None = None
    campaign: dict[str, Any] | None = None
    device: Device | None = None
    app: dict[str, Any] | None = None
    os: dict[str, Any] | None = None
    library: dict[str, Any] | None = None
    location: dict[str, Any] | None = None
    referrer: dict[str, Any] | None = None
    locale: str | None = None
    timezone: str | None = None
    sellerId: str | None = None  # noqa: N815


class Incoming(msgspec.Struct, gc=False):
    """An event as clients send it. Fields that it does not name are left out."""

    type: str | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    userId: str | int | None = None  # noqa: N815
    anonymousId: str | int | None = None  # noqa: N815
    previousId: str | int | None = None  # noqa: N815
    groupId: str | int | None = None  # noqa: N815
    messageId: str | int | None = None  # noqa: N815
    timestamp: str | int | float | None = None
    originalTimestamp: str | int | float | None = None  # noqa: N815
    sentAt: str | int | float | None = None  # noqa: N815
    receivedAt: str | int | float | None = None  # noqa: N815
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: Context | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a request says about all of its events.

    Attributes:
        source: who sends.
        path: batch, import, or the one type that its events are.
        arrived: when the request came, in microseconds.
        sent: when it was sent, as it said; each event may say it, too.
        context: for events that have none of their own.
        digest_key: of this installation.
    """

    source: Source
    path: str
    arrived: int
    digest_key: bytes
    sent: str | int | float | None = None
    context: Context | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A record to be stored.

    Attributes:
        record: it.
        body: what makes two messages of one id the same message.
        text: what the person wrote, for the identity vault: the record holds its motives alone.
    """

    record: Record
    body: bytes
    text: Text | None = None


@dataclass(frozen=True, slots=True)
class Breach:
    """Why an event is no record: a stable code, and where (never a value of the event)."""

    code: str
    detail: str = ""

    @property
    def reason(self) -> str:
        """Both in one text."""
        return f"{self.code}: {self.detail}" if self.detail else self.code


@dataclass(frozen=True, slots=True)
class Suppressed:
    """The person did not allow it; it is counted and nothing of it is kept."""


Outcome = Accepted | Breach | Suppressed

_decoder = msgspec.json.Decoder(Incoming)
_LONE = re.compile(rb"\\u[dD][89a-fA-F]")
_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]')


def read(raw: bytes, envelope: Envelope, scrubber: Scrubber) -> Outcome:
    """Read one event as it was sent."""
    if len(raw) > limits.EVENT_BYTES:
        return Breach("too_large", f"{len(raw)} bytes of at most {limits.EVENT_BYTES}")
    if raw.count(b"{") + raw.count(b"[") > limits.DEPTH and depth(raw) > limits.DEPTH:
        return Breach("too_deep", f"more than {limits.DEPTH} objects and arrays inside one another")
    flags: list[str] = []
    try:
        incoming = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        return Breach("wrong_type", str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        repaired = _repaired(raw)
        if repaired is None:
            return Breach("not_json")
        try:
            incoming = _decoder.decode(repaired)
        except msgspec.ValidationError as error:
            return Breach("wrong_type", str(error))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Breach("not_json")
        flags.append("repaired")
    return _accept(incoming, envelope, scrubber, flags, raw)


def _accept(
    incoming: Incoming, envelope: Envelope, scrubber: Scrubber, flags: list[str], raw: bytes
) -> Outcome:
    source = envelope.source
    kind = envelope.path if envelope.path in _TYPE_SET else incoming.type
    if kind not in _TYPE_SET:
        return Breach("unknown_type", "type must be one of " + ", ".join(TYPES))
    context = incoming.context
    if context is None:
        context = envelope.context
    elif envelope.context is not None:
        context = _merged(context, envelope.context)

    properties = incoming.properties or {}
    if kind == "track":
        if not incoming.event or not incoming.event.strip():
            return Breach("no_event_name", "a track call needs `event`")
        if len(incoming.event) > limits.IDENTIFIER_CHARACTERS:
            return Breach("event_name_too_long", f"at most {limits.IDENTIFIER_CHARACTERS} characters")
        name = contracts.canonical_name(incoming.event)
        broken = contracts.breach(name, properties)
        if broken is not None:
            return Breach("contract", f"{name}: {broken}")
    else:
        name = _NAMES[kind]
        if kind == "group":
            if incoming.groupId is None:
                return Breach("no_identifier", "a group call needs `groupId`")
            properties = {**properties, "group_id": str(incoming.groupId)}
        elif kind not in ("identify", "alias"):
            properties = _titled(properties, incoming)

    if name not in CONSENT_EVENTS and not is_allowed(context, source):
        return Suppressed()

    times = _times(incoming, envelope, flags)
    if isinstance(times, Breach):
        return times
    received, occurred, original, sent, assumed = times

    message_id = _message_id(incoming, envelope, flags, raw)
    if isinstance(message_id, Breach):
        return message_id

    # What is personal goes before anything else is made of the event.
    traits = incoming.traits or {}
    words = ""
    if vocabulary.PROPERTY in properties:  # nobody sends motives: they are recognised
        properties = {key: value for key, value in properties.items() if key != vocabulary.PROPERTY}
    if name in vocabulary.TEXT_EVENTS:
        properties, words = without_words(properties)
    plain = is_plain(raw)
    if properties and not (plain and is_impersonal(properties)):
        properties = scrubber.fields(properties)
    found: list[_Identifier] = []
    for value, label in ((incoming.userId, "user"), (incoming.anonymousId, "anonymous")):
        if value is not None:
            identified = _identifier(value, label, scrubber, plain)
            if isinstance(identified, Breach):
                return identified
            if identified is not None:
                found.append(identified)
    if kind == "group":
        traits = scrubber.fields(traits) if traits else traits  # these describe a company
    else:
        if context is not None and context.traits:
            traits = {**context.traits, **traits}
        if traits:
            _contacts(traits, scrubber, found)
            traits = scrubber.fields(traits, person=True)
    if kind == "alias":
        previous = _identifier(incoming.previousId, "user", scrubber, plain)
        if isinstance(previous, Breach):
            return previous
        if previous is None:
            return Breach("no_identifier", "an alias call needs `previousId`")
        found.append(previous)
    if not found or (kind == "alias" and len(found) < 2):
        return Breach(
            "no_identifier", "needs `userId`, `anonymousId`, or an e-mail or phone among its traits"
        )

    (key_type, key, key_version), *others = found
    record = Record(
        source=source.source_id,
        channel=source.channel,
        type=kind,
        name=name if plain else scrubber.text(name),
        message_id=message_id if plain else scrubber.text(message_id),
        received=received,
        occurred=occurred,
        key_type=key_type,
        key=key,
        key_version=key_version,
        arrived=envelope.arrived if envelope.arrived != received else None,
        original=original,
        sent=sent,
        identifiers=others if len(others) < 2 else list(dict.fromkeys(others)),
        seller=(context.sellerId if context is not None else None) or source.seller_id,
        properties=properties,
        traits=traits,
        flags=flags,
        known_assumed=assumed,
    )
    if context is not None:
        if context.sessionId is not None:
            record.session = scrubber.text(str(context.sessionId))
        record.context = _kept(context, scrubber, plain)
    return Accepted(record, _body(incoming, raw), _text(record, words) if words else None)


_TYPE_SET: Final = frozenset(TYPES)
_Identifier = tuple[str, str, int | None]


# Identifiers


def _identifier(
    value: str | int | None, label: str, scrubber: Scrubber, is_plain: bool
) -> _Identifier | Breach | None:
    """An identifier that the sender chose. People put e-mail addresses there: those become tokens."""
    text = value.strip() if type(value) is str else contracts.identifier(value)
    if not text:
        return None
    if len(text) > limits.IDENTIFIER_CHARACTERS:
        return Breach("identifier_too_long", f"at most {limits.IDENTIFIER_CHARACTERS} characters")
    if "@" in text and normal.email(text) is not None:
        token = scrubber.token("email", text)
        return "email", token.text, token.key_version
    if text.startswith("+") and normal.phone(text) is not None:
        token = scrubber.token("phone", text)
        return "phone", token.text, token.key_version
    return label, text if is_plain else scrubber.text(text), None


def _contacts(person: Mapping[str, Any], scrubber: Scrubber, found: list[_Identifier]) -> None:
    """E-mail address and telephone number of the person described: identifiers like any other."""
    for kind, names in (("email", ("email",)), ("phone", ("phone", "mobile"))):
        for name in names:
            value = person.get(name)
            if isinstance(value, str) and value.strip():
                token = scrubber.token(kind, value)  # type: ignore[arg-type]
                found.append((kind, token.text, token.key_version))


def _message_id(incoming: Incoming, envelope: Envelope, flags: list[str], raw: bytes) -> str | Breach:
    text = contracts.identifier(incoming.messageId)
    if text is None:
        flags.append("no_message_id")
        if "no_time" in flags:
            return f"made-{uuid.uuid4().hex}"  # equal bytes without a time may well be two events
        return f"made-{digest(envelope.digest_key, raw, 16).hex()}"  # a second try is recognised
    if len(text) > limits.MESSAGE_ID_CHARACTERS:
        return Breach("message_id_too_long", f"at most {limits.MESSAGE_ID_CHARACTERS} characters")
    return text


def digest(key: bytes, text: bytes, size: int) -> bytes:
    """A keyed digest: what is hashed may be guessable, so nobody without the key can test a guess."""
    return hashlib.blake2b(text, digest_size=size, key=key).digest()


_body_encoder = msgspec.json.Encoder(order="deterministic")


def _body(incoming: Incoming, raw: bytes) -> bytes:
    """What a message says, without when it was sent: a client's second try says the same."""
    if b"sentAt" not in raw:
        return raw
    return _body_encoder.encode(msgspec.structs.replace(incoming, sentAt=None))


# Times


def _times(
    incoming: Incoming, envelope: Envelope, flags: list[str]
) -> tuple[int, int, int | None, int | None, bool] | Breach:
    """(received, occurred, original, sent, is the known time assumed): the sender's clock is set right."""
    arrived = envelope.arrived
    said = incoming.originalTimestamp if incoming.originalTimestamp is not None else incoming.timestamp
    original = None if said is None or said == "" else instant(said, flags)
    sent_said = incoming.sentAt if incoming.sentAt is not None else envelope.sent
    sent = None if sent_said is None or sent_said == "" else instant(sent_said)
    if original is False or sent is False:
        return Breach("bad_time", "times are ISO 8601 or seconds or milliseconds since 1970")
    original = None if original is None else int(original)
    sent = None if sent is None else int(sent)
    if envelope.path == "import":
        return _historical(incoming, arrived, original, sent)
    if original is None:
        flags.append("no_time")
        return arrived, arrived, None, sent, False
    if sent is None:
        flags.append("no_sent_at")
        occurred = original
    else:
        occurred = arrived - (sent - original)
    if not _OLDEST <= occurred <= _NEWEST:
        return Breach("bad_time", "outside 1900 to 2200")
    if occurred > arrived + _DAY:
        flags.append("clock_ahead")
    return arrived, occurred, original, sent, False


def _historical(
    incoming: Incoming, arrived: int, original: int | None, sent: int | None
) -> tuple[int, int, int | None, int | None, bool] | Breach:
    """History was not sent when it happened: its times are taken as they stand."""
    if original is None:
        return Breach("bad_time", "an imported event needs `timestamp`")
    if not _OLDEST <= original <= _NEWEST:
        return Breach("bad_time", "outside 1900 to 2200")
    if incoming.receivedAt is None:
        return min(original, arrived), original, original, sent, True
    known = instant(incoming.receivedAt)
    if known is False:
        return Breach("bad_time", "`receivedAt` is no time")
    return min(int(known), arrived), original, original, sent, False


def instant(said: str | int | float, flags: list[str] | None = None) -> int | bool:
    """A time in microseconds since 1970, UTC; False where it is none."""
    if isinstance(said, str):
        try:
            moment = datetime.fromisoformat(said.strip())
        except ValueError:
            return False
        if moment.tzinfo is None:
            if flags is not None:
                flags.append("no_offset")
            moment = moment.replace(tzinfo=UTC)
        try:
            return (moment - _EPOCH) // MICROSECOND
        except OverflowError:
            return False
    if isinstance(said, bool) or not abs(said) < 1e15:
        return False
    # Seconds until the year 5138, milliseconds after March 1973: clients send either.
    return round(said * (1_000_000 if abs(said) < 1e11 else 1_000))


# Consent


def is_allowed(context: Context | None, source: Source) -> bool:
    """Whether the consent that an event carries allows the source's purpose."""
    wanted = source.consent_category.casefold()
    given: bool | None = None
    if context is not None and context.consent is not None:
        preferences = context.consent.get("categoryPreferences")
        if isinstance(preferences, dict):
            for category, allowed in preferences.items():
                if str(category).casefold() == wanted:
                    given = allowed is True
    if context is not None and context.consentManagement is not None and given is not False:
        allowed_ids = _lowered(context.consentManagement.get("allowedConsentIds"))
        denied_ids = _lowered(context.consentManagement.get("deniedConsentIds"))
        if wanted in denied_ids:
            given = False
        elif wanted in allowed_ids:
            given = True
    if given is None:
        return not source.is_consent_required
    return given


def _lowered(values: Any) -> set[str]:
    return {str(each).casefold() for each in values} if isinstance(values, list) else set()


# Shape


def _text(record: Record, words: str) -> Text:
    return Text(
        interaction_id=record.interaction_id(),
        key_type=record.key_type,
        key=record.key,
        channel=record.channel,
        interaction_type=record.name,
        occurred_at=record.occurred,
        received_at=record.received,
        words=words,
        motives=record.properties.get(vocabulary.PROPERTY),
    )


def _titled(properties: dict[str, Any], incoming: Incoming) -> dict[str, Any]:
    """A page's or screen's name and category, beside its properties."""
    titled = dict(properties)
    if incoming.name:
        titled.setdefault("name", incoming.name)
    if incoming.category:
        titled.setdefault("category", incoming.category)
    return titled


def _merged(own: Context, shared: Context) -> Context:
    return msgspec.structs.replace(
        own,
        **{
            name: getattr(shared, name)
            for name in Context.__struct_fields__
            if getattr(own, name) is None and getattr(shared, name) is not None
        },
    )


_CONTEXT_OBJECTS: Final = ("page", "campaign", "app", "os", "library", "location", "referrer", "consent")


def _kept(context: Context, scrubber: Scrubber, is_plain: bool) -> dict[str, Any]:
    """What the record holds of a context: it is encoded as it stands, so no plain copy of it is made."""
    changes: dict[str, Any] = {}
    for name in _CONTEXT_OBJECTS:
        value = getattr(context, name)
        if value is not None and not (is_plain and is_impersonal(value)):
            changes[name] = scrubber.fields(value)
    if not is_plain:
        for name in ("locale", "timezone"):
            value = getattr(context, name)
            if value is not None:
                changes[name] = scrubber.text(value)
        if context.consentManagement is not None:
            changes["consentManagement"] = scrubber.fields(context.consentManagement)
        if context.device is not None:
            changes["device"] = scrubber.fields(msgspec.to_builtins(context.device))
    for name in ("traits", "sessionId", "sellerId"):  # they have places of their own in the record
        if getattr(context, name) is not None:
            changes[name] = None
    return cast("dict[str, Any]", msgspec.structs.replace(context, **changes) if changes else context)


def depth(raw: bytes | memoryview) -> int:
    """How many objects and arrays are inside one another, brackets in texts not counted."""
    deepest = level = 0
    for found in _BRACKET.finditer(raw):
        mark = found.group()
        if mark in (b"{", b"["):
            level += 1
            deepest = max(deepest, level)
        elif mark in (b"}", b"]"):
            level -= 1
    return deepest


def _repaired(raw: bytes) -> bytes | None:
    """Half of a two-part character (a text cut inside an emoji) becomes "?"; None where that is not the
    fault.
    """
    if not _LONE.search(raw):
        return None
    try:
        document = json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
