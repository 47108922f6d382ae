"""Keyed tokens for personal identifiers: HMAC-SHA-256 of the normalised value, with the key's version in the
token.

Without the key nobody can test a guess against a token, and nobody who has only the lake can turn one back.
The same identifier has one token for each key version; after a rotation the vault knows which tokens are one
identifier's (`Vault.tokens_of`).
"""

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

from genome.errors import GenomeError
from genome.identity import normal
from genome.lake import files
from genome.settings import Settings
from genome.stores.secrets import made_once

Kind = Literal["email", "phone", "name", "address", "card", "device", "account", "ip"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_FILE = "token_keys.json"
_LOOK_SECONDS = 1.0


class Token(NamedTuple):
    """A personal identifier as the platform knows it.

    Attributes:
        kind: what it is.
        text: what stands in the stream and the lake: `<kind>_<key version>_<32 hexadecimal digits>`.
        key_version: which key made it.
        value: the normalised identifier itself, for the vault only.
    """

    kind: Kind
    text: str
    key_version: int
    value: str


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys by version, and the one that new tokens are made with."""

    current: int
    by_version: dict[int, bytes]


class Tokeniser:
    """Makes tokens with the current key; notices a rotation within a second."""

    def __init__(self, settings: Settings, *, calling_code: str | None = None) -> None:
        self._settings = settings
        self._calling_code = calling_code
        self._path = settings.secrets / _FILE
        self._looked = float("-inf")
        self._stamp: tuple[int, int] | None = None
        self._keys = read_keys(settings)

    def frozen(self) -> "Tokeniser":
        """This tokeniser, which from now on stays with its key."""
        self._looked = float("inf")
        return self

    @property
    def key_version(self) -> int:
        """The version of the key that the next token is made with (unless it is exchanged meanwhile)."""
        return self._keys.current

    def token(self, kind: Kind, value: str) -> Token:
        """The token of an identifier; what cannot be normalised is taken as it stands."""
        self._look()
        version = self._keys.current
        clean = self.normalise(kind, value)
        return Token(kind, make(self._keys.by_version[version], kind, version, clean), version, clean)

    def normalise(self, kind: Kind, value: str) -> str:
        """The one spelling of an identifier."""
        found: str | None
        if kind == "email":
            found = normal.email(value)
        elif kind == "phone":
            found = normal.phone(value, self._calling_code)
        elif kind in ("name", "address"):
            found = normal.words(value)
        else:
            found = normal.digits(value)
        return found if found is not None else value.strip()

    def _look(self) -> None:
        moment = time.monotonic()
        if moment - self._looked < _LOOK_SECONDS:
            return
        self._looked = moment
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            self._keys = read_keys(self._settings)
            self._stamp = stamp


def make(key: bytes, kind: Kind, version: int, normalised: str) -> str:
    """The token's text. The kind is part of what is signed: a name never equals an address."""
    digest = hmac.digest(key, f"{kind}\0{normalised}".encode(errors="surrogatepass"), hashlib.sha256)
    return f"{kind}_{version}_{digest[:16].hex()}"


def read_keys(settings: Settings) -> Keys:
    """The keys of this installation, made on first use (readable by their owner only)."""
    first = json.dumps({"current": 1, "keys": {"1": secrets.token_hex(32)}})
    text = made_once(settings, _FILE, lambda: first)
    try:
        document = json.loads(text)
        keys = {int(version): bytes.fromhex(key) for version, key in document["keys"].items()}
        current = int(document["current"])
        if current not in keys:
            raise ValueError("its current version has no key")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GenomeError(
            f"{settings.secrets / _FILE} is damaged ({type(error).__name__}).",
            "Restore it from a backup: without it known customers get new tokens.",
        ) from error
    return Keys(current, keys)


def rotate(settings: Settings) -> int:
    """Make a new key and use it from now on; returns its version.

    Old tokens stay what they are. `Vault.retoken` then notes the new token of every identifier in the vault,
    so that identity resolution sees both as one.
    """
    path = settings.secrets / _FILE
    read_keys(settings)
    with files.exclusive(settings.secrets / ".token_keys.lock"):
        keys = read_keys(settings)
        version = max(keys.by_version) + 1
        document = {
            "current": version,
            "keys": {str(each): key.hex() for each, key in keys.by_version.items()}
            | {str(version): secrets.token_hex(32)},
        }
        files.write_json(path, document)
        path.chmod(0o600)
    return version
