"""Where events come from: each source has a channel, a write key, and what it promises.

A write key opens the collector's writing routes for its source and nothing else. It is 256 random bits, shown
once; its SHA-256 is what is kept. `secrets/sources.json`, readable by its owner only, holds them; running
collectors notice a change within a second.
"""

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genome.errors import GenomeError, UsageError
from genome.lake import files
from genome.settings import Settings

CHANNELS: Final = (
    "web",
    "app",
    "email",
    "sms_push",
    "pos",
    "loyalty",
    "crm",
    "survey",
    "social",
    "location",
    "service",
    "direct_mail",
)
Provider = Literal["sendgrid", "mailgun", "typeform"]

_FILE = "sources.json"
_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,62}$")
_LOOK_SECONDS = 1.0


class Source(BaseModel):
    """One sender of events.

    Attributes:
        source_id: its name; part of the identity of its messages.
        channel: which of the platform's channels its events are.
        seller_id: whose shop it is, in a mall.
        key_hashes: SHA-256 of the write keys in force (two while a key is being exchanged).
        consent_category: the purpose that a consent context must allow for events to be kept.
        is_consent_required: without a consent context events are suppressed, too.
        calling_code: country code of telephone numbers written without one.
        provider: for webhooks: whose format and signature.
        secret: for webhooks: the provider's signing secret, or SendGrid's public key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source_id: str = Field(pattern=_NAME.pattern)
    channel: Literal[CHANNELS]  # type: ignore[valid-type]
    seller_id: str | None = None
    key_hashes: tuple[str, ...] = ()
    consent_category: str = "analytics"
    is_consent_required: bool = False
    calling_code: str | None = Field(None, pattern=r"^[1-9]\d{0,2}$")
    provider: Provider | None = None
    secret: str | None = Field(None, repr=False)


def add(settings: Settings, source_id: str, channel: str, **promises: Any) -> str:
    """Register a source; returns its write key, which is shown this once.

    Raises:
        UsageError: the name is taken or wrong, there is no such channel, a promise is wrong.
    """
    key = new_key()
    try:
        source = Source(source_id=source_id, channel=channel, key_hashes=(hash_of(key),), **promises)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UsageError(
            f"A source cannot have this {first['loc'][0]}: {first['msg']}.",
            f"Names are lower-case letters, digits, _ and -; channels: {', '.join(CHANNELS)}.",
        ) from None
    if source.provider is not None and not source.secret:
        raise UsageError(
            f"A {source.provider} webhook needs the provider's signing secret.", "Give it with --secret-file."
        )
    with _changing(settings) as known:
        if source_id in known:
            raise UsageError(f"The source '{source_id}' exists.", "Choose another name, or exchange its key.")
        known[source_id] = source
    return key


def exchange_key(settings: Settings, source_id: str) -> str:
    """Give a source a new write key beside its newest; older ones stop opening anything."""
    key = new_key()
    with _changing(settings) as known:
        source = _existing(known, source_id)
        known[source_id] = source.model_copy(
            update={"key_hashes": (*source.key_hashes[-1:], hash_of(key))},
        )
    return key


def remove(settings: Settings, source_id: str) -> None:
    """Close a source: its keys open nothing from now on; its events stay."""
    with _changing(settings) as known:
        _existing(known, source_id)
        del known[source_id]


def read(settings: Settings) -> dict[str, Source]:
    """The sources by name."""
    path = settings.secrets / _FILE
    try:
        document = json.loads(path.read_bytes())
        return {each["source_id"]: Source(**each) for each in document["sources"]}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise GenomeError(
            f"{path} is damaged ({type(error).__name__}).",
            "Restore it from a backup, or register the sources again.",
        ) from error


def new_key() -> str:
    """A fresh write key; its beginning only helps people to tell keys apart."""
    return f"cg_write_{secrets.token_urlsafe(32)}"


def hash_of(key: str) -> str:
    """What is stored of a write key."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


class Sources:
    """The sources in force, as a running collector sees them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._looked = float("-inf")
        self._stamp: tuple[int, int] | None = None
        self._by_name: dict[str, Source] = {}

    def of_key(self, key: str) -> Source | None:
        """The source of a write key; the time it takes says nothing about how near a guess was."""
        presented = hash_of(key)
        found = None
        for source in self.all().values():
            for known in source.key_hashes:
                if hmac.compare_digest(known, presented):
                    found = source
        return found

    def named(self, source_id: str) -> Source | None:
        """The source of this name."""
        return self.all().get(source_id)

    def all(self) -> dict[str, Source]:
        """Every source by name."""
        moment = time.monotonic()
        if moment - self._looked >= _LOOK_SECONDS:
            self._looked = moment
            path = self._settings.secrets / _FILE
            try:
                status = path.stat()
                stamp: tuple[int, int] | None = (status.st_mtime_ns, status.st_ino)
            except FileNotFoundError:
                stamp = None
            if stamp != self._stamp or not self._by_name:
                self._by_name = read(self._settings)
                self._stamp = stamp
        return self._by_name


def _existing(known: dict[str, Source], source_id: str) -> Source:
    if source_id not in known:
        raise UsageError(
            f"There is no source '{source_id}'.", f"Known: {', '.join(sorted(known)) or 'none yet'}."
        )
    return known[source_id]


@contextlib.contextmanager
def _changing(settings: Settings) -> Iterator[dict[str, Source]]:
    settings.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.secrets.chmod(0o700)
    path = settings.secrets / _FILE
    with files.exclusive(settings.secrets / ".sources.lock"):
        known = read(settings)
        yield known
        files.write_json(path, {"sources": [each.model_dump(mode="json") for each in known.values()]})
        path.chmod(0o600)
