"""Who may call what: the table of routes and scopes, and the keys.

A key opens the routes of its scopes and nothing else; no scope contains another. Keys are 256 random bits, so
their plain SHA-256 is a safe thing to store (slow hashes protect guessable passwords), and every stored hash
is compared in constant time on each call.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from genome.errors import GenomeError
from genome.settings import Settings

Scope = Literal["ingest", "decide", "agent", "privacy", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

ROUTE_SCOPES: Final[Mapping[tuple[str, str], Scope | None]] = {
    ("GET", "/"): None,
    ("GET", "/openapi.json"): None,
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/metrics"): None,
    ("POST", "/v1/track"): "ingest",
    ("POST", "/v1/identify"): "ingest",
    ("POST", "/v1/page"): "ingest",
    ("POST", "/v1/screen"): "ingest",
    ("POST", "/v1/group"): "ingest",
    ("POST", "/v1/alias"): "ingest",
    ("POST", "/v1/batch"): "ingest",
    ("POST", "/v1/import"): "ingest",
    ("POST", "/v1/hooks/{source}"): "ingest",
    ("GET", "/v1/pixel"): "ingest",
    ("POST", "/v1/decisions"): "decide",
    ("GET", "/v1/decisions/{decision_id}"): "decide",
    ("POST", "/v1/decisions/{decision_id}/feedback"): "decide",
    ("GET", "/v1/features/{service}"): "decide",
    ("POST", "/v1/features/{service}"): "decide",
    ("GET", "/v1/products/{product_id}/relations"): "decide",
    ("GET", "/v1/population"): "agent",
    ("GET", "/v1/customers"): "agent",
    ("GET", "/v1/customers/{customer_id}"): "agent",
    ("GET", "/v1/customers/{customer_id}/genome"): "agent",
    ("GET", "/v1/customers/{customer_id}/why"): "agent",
    ("GET", "/v1/customers/{customer_id}/segments"): "agent",
    ("GET", "/v1/customers/{customer_id}/decisions"): "agent",
    ("POST", "/v1/customers/{customer_id}/merge"): "agent",
    ("POST", "/v1/customers/{customer_id}/unmerge"): "agent",
}
"""(method, path) → the scope a key needs; None: open to anybody who reaches the port (no personal data).

The app refuses to start with a route that is missing here. The keys of scope `ingest` are the write keys of
the sources (`genome sources add`); the collector looks at them itself, because it takes them as the tracking
clients send them: as the user name of Basic, in the body, in the query. A provider signs its webhook instead.
"""

MADE_SCOPES: Final[tuple[Scope, ...]] = ("decide", "agent", "privacy", "admin")
"""Scopes for which a first key is made."""

BROWSER_ROUTES: Final = frozenset(
    {("GET", "/v1/population"), ("GET", "/v1/customers"), ("GET", "/v1/customers/{customer_id}")}
)
"""Pages for people: a browser sends the key as the password of HTTP Basic. Only reads are here, because a
browser repeats Basic credentials on requests that other sites make it send."""

_FILE = "api_keys.json"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is stored."""

    key_id: str
    sha256: str
    scopes: frozenset[str]


def ensure_keys(settings: Settings) -> None:
    """Make one key for each scope but `ingest` where it is missing: `secrets/<scope>.key`, readable by its owner only.

    `secrets/api_keys.json` holds the hashes. Only the key files' texts open anything; give them to callers,
    delete them here if you like, and the hashes stay valid. To withdraw a key, remove its entry.
    """
    from genome.lake import files
    from genome.stores.secrets import made_once

    path = settings.secrets / _FILE
    with files.exclusive(settings.secrets / ".api_keys.lock"):
        settings.secrets.chmod(0o700)
        entries = _entries(settings)
        named = {entry["key_id"] for entry in entries}
        missing = [scope for scope in MADE_SCOPES if f"first-{scope}" not in named]
        for scope in missing:
            text = made_once(settings, f"{scope}.key", lambda scope=scope: new_key(scope))  # type: ignore[misc]
            entries.append(
                {"key_id": f"first-{scope}", "sha256": hash_of(text), "scopes": [scope]},
            )
        if missing:
            files.write_json(path, {"keys": entries})
            path.chmod(0o600)


def new_key(scope: str) -> str:
    """A fresh key; the scope in its name only helps people to tell keys apart."""
    return f"cg_{scope}_{secrets.token_urlsafe(32)}"


def hash_of(text: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(text.strip().encode()).hexdigest()


class KeyRing:
    """The keys in force; it notices when the file changes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    def find(self, text: str) -> Key | None:
        """The key of this text, or None; the time it takes says nothing about how near a guess was."""
        presented = hash_of(text)
        found = None
        for key in self._current():
            if hmac.compare_digest(key.sha256, presented):
                found = key
        return found

    def _current(self) -> tuple[Key, ...]:
        path = self._settings.secrets / _FILE
        try:
            status = path.stat()
        except FileNotFoundError:
            return ()
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            with self._lock:
                self._keys = tuple(
                    Key(entry["key_id"], entry["sha256"], frozenset(entry["scopes"]))
                    for entry in _entries(self._settings)
                )
                self._stamp = stamp
        return self._keys


def presented_key(authorization: str | None, *, basic: bool) -> str | None:
    """The key in an `Authorization` header: Bearer, or (where `basic`) the password of Basic."""
    scheme, _, rest = (authorization or "").partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return rest
    if basic and scheme.lower() == "basic":
        try:
            _, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return password or None
    return None


def _entries(settings: Settings) -> list[dict[str, Any]]:
    path = settings.secrets / _FILE
    try:
        document = json.loads(path.read_bytes())
        return [
            {"key_id": str(e["key_id"]), "sha256": str(e["sha256"]), "scopes": [str(s) for s in e["scopes"]]}
            for e in document["keys"]
        ]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise GenomeError(
            f"{path} is damaged ({type(error).__name__}).",
            "Delete it and the *.key files beside it; `genome api` makes new keys.",
        ) from error
