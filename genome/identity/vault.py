"""The identity vault: the raw identifiers behind tokens. Its own file, encrypted, readable by its owner only.

Identity resolution, the delivery adapters and privacy requests read it; nothing else may, and each reading
says who reads. A row's value is sealed with the vault's key and its own token, so rows cannot be swapped.
Payment cards and the secrets beside them are never kept: their tokens can be compared, not turned back.

What people wrote lies in the same file, sealed in the same way: `genome/identity/texts.py` puts it there and reads it.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, get_args

import structlog

from genome import clock
from genome.errors import UsageError
from genome.identity import tokens
from genome.identity.tokens import Token
from genome.lake.vault import KEY_VERSION
from genome.lake.vault import Vault as Cipher
from genome.settings import Settings

Reader = Literal["identity", "delivery", "privacy", "service", "vocabulary"]
READERS: Final[tuple[Reader, ...]] = get_args(Reader)

NEVER_KEPT: Final = frozenset({"card", "ip"})
"""Kinds whose raw value nobody needs back (and a card's may not lie anywhere)."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identifiers (
  token TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  token_key_version INTEGER NOT NULL,
  vault_key_version INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  first_seen_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS equals (
  token TEXT PRIMARY KEY,
  other TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (
  interaction_id TEXT PRIMARY KEY,
  key_type TEXT NOT NULL,
  key TEXT NOT NULL,
  channel TEXT NOT NULL,
  interaction_type TEXT NOT NULL,
  occurred_at INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  heard TEXT,
  motives TEXT,
  vocabulary TEXT NOT NULL,
  vault_key_version INTEGER NOT NULL,
  sealed BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS texts_by_key ON texts (key, key_type);
CREATE INDEX IF NOT EXISTS texts_by_vocabulary ON texts (vocabulary);
CREATE INDEX IF NOT EXISTS texts_by_age ON texts (occurred_at);
CREATE INDEX IF NOT EXISTS texts_corrected ON texts (interaction_id) WHERE motives IS NOT heard;
"""
_KNOWN = 200_000

log = structlog.get_logger(__name__)


def may_read(reader: Reader) -> None:
    """Let a reader pass.

    Raises:
        UsageError: it is none of `READERS`.
    """
    if reader not in READERS:
        raise UsageError(f"'{reader}' may not read the identity vault.", f"Readers: {', '.join(READERS)}.")


class Vault:
    """The vault of one installation. Safe to share between threads and processes.

    Attributes:
        cipher: seals what the file holds.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.cipher = Cipher(settings)
        self._lock = threading.Lock()
        self._known: dict[str, None] = {}
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def lacks(self, made: Iterable[Token]) -> list[Token]:
        """Those that this process has not put into the vault yet (cheap: no file is read)."""
        known = self._known
        return [each for each in made if each.kind not in NEVER_KEPT and each.text not in known]

    def put(self, made: Iterable[Token]) -> int:
        """Keep the raw values of tokens; on disk when it returns. Returns how many were new to the vault."""
        wanted = {each.text: each for each in made if each.kind not in NEVER_KEPT}
        if not wanted:
            return 0
        now = clock.now(self._settings).isoformat()
        rows = [
            (
                each.text,
                each.kind,
                each.key_version,
                KEY_VERSION,
                self.cipher.seal(each.value.encode(errors="surrogatepass"), f"identity:{each.text}"),
                now,
            )
            for each in wanted.values()
        ]
        with self.transaction() as connection:
            before = connection.total_changes
            connection.executemany("INSERT OR IGNORE INTO identifiers VALUES (?, ?, ?, ?, ?, ?)", rows)
            new = connection.total_changes - before
        for text in wanted:
            self._known[text] = None
        while len(self._known) > _KNOWN:
            self._known.pop(next(iter(self._known)))
        return new

    def reveal(self, wanted: Iterable[str], *, reader: Reader) -> dict[str, str]:
        """The normalised identifiers behind tokens; tokens that are not here are left out.

        Args:
            wanted: tokens' texts.
            reader: who reads, and so may.
        """
        may_read(reader)
        found: dict[str, str] = {}
        asked = list(wanted)
        with self.transaction() as connection:
            for text in asked:
                row = connection.execute(
                    "SELECT sealed FROM identifiers WHERE token = ?", (self._first(connection, text),)
                ).fetchone()
                if row is not None:
                    found[text] = self._open(self._first(connection, text), row[0])
        log.info("identity_vault_read", reader=reader, asked=len(asked), found=len(found))
        return found

    def reveal_all(self, kinds: Iterable[str], *, reader: Reader) -> tuple[list[str], list[str]]:
        """Every token of some kinds and the normalised identifiers behind them, in two lists of one order.

        A token that a rotation made is here too. For identity resolution, which compares everybody with everybody;
        who needs one identifier asks `reveal`.

        Args:
            kinds: of identifiers: name, address, email …
            reader: who reads, and so may.
        """
        may_read(reader)
        wanted = list(kinds)
        places = ", ".join("?" * len(wanted))
        with self.transaction() as connection:
            sealed = connection.execute(
                f"SELECT token, sealed FROM identifiers WHERE kind IN ({places}) ORDER BY token",  # noqa: S608
                wanted,
            ).fetchall()
            others = connection.execute("SELECT token, other FROM equals ORDER BY token").fetchall()
        plain = {text: self._open(text, value) for text, value in sealed}
        tokens = list(plain)
        values = list(plain.values())
        for token, other in others:
            if other in plain and token not in plain:
                tokens.append(token)
                values.append(plain[other])
        log.info("identity_vault_read", reader=reader, asked=len(tokens), found=len(tokens))
        return tokens, values

    def equals(self) -> list[tuple[str, str]]:
        """Pairs of tokens of one identifier that rotations made: (token, the first one that was made of it)."""
        with self.transaction() as connection:
            return connection.execute("SELECT token, other FROM equals ORDER BY token").fetchall()

    def tokens_of(self, text: str) -> set[str]:
        """Every token of the same identifier, whatever key made it; the token itself is always among them."""
        with self.transaction() as connection:
            first = self._first(connection, text)
            others = connection.execute("SELECT token FROM equals WHERE other = ?", (first,)).fetchall()
        return {text, first} | {row[0] for row in others}

    def retoken(self) -> int:
        """After a rotation: note the current key's token of every identifier kept; returns how many were
        new.
        """
        keys = tokens.read_keys(self._settings)
        key = keys.by_version[keys.current]
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT token, kind, sealed FROM identifiers WHERE token_key_version < ?", (keys.current,)
            ).fetchall()
            before = connection.total_changes
            for text, kind, sealed in rows:
                new = tokens.make(key, kind, keys.current, self._open(text, sealed))
                if new != text:
                    first = self._first(connection, text)
                    connection.execute("INSERT OR IGNORE INTO equals VALUES (?, ?)", (new, first))
            return connection.total_changes - before

    def forget(self, texts: Iterable[str]) -> int:
        """Remove identifiers with all their tokens, and what was written under any of them; the freed bytes are
        overwritten. Returns how many identifiers were kept.
        """
        removed = 0
        with self.transaction() as connection:
            for text in texts:
                first = self._first(connection, text)
                connection.execute(
                    "DELETE FROM texts WHERE key IN (?, ?) OR key IN (SELECT token FROM equals WHERE other = ?)",
                    (text, first, first),
                )
                removed += connection.execute("DELETE FROM identifiers WHERE token = ?", (first,)).rowcount
                for (other,) in connection.execute(
                    "SELECT token FROM equals WHERE other = ?", (first,)
                ).fetchall():
                    connection.execute("DELETE FROM identifiers WHERE token = ?", (other,))
                    self._known.pop(other, None)
                connection.execute("DELETE FROM equals WHERE other = ?", (first,))
                self._known.pop(first, None)
                self._known.pop(text, None)
        return removed

    def count(self) -> int:
        """How many identifiers are kept."""
        with self.transaction() as connection:
            return int(connection.execute("SELECT count(*) FROM identifiers").fetchone()[0])

    @staticmethod
    def _first(connection: sqlite3.Connection, text: str) -> str:
        row = connection.execute("SELECT other FROM equals WHERE token = ?", (text,)).fetchone()
        return row[0] if row else text

    def _open(self, text: str, sealed: bytes) -> str:
        return self.cipher.open(sealed, f"identity:{text}").decode(errors="surrogatepass")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The vault's file, with nobody else writing; on disk when the block ends, or as before after an error."""
        with self._lock:
            if self._connection is None:
                self._connection = self._opened()
            with self._connection:  # commits, or rolls back on an error
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection

    def _opened(self) -> sqlite3.Connection:
        path = self._settings.identity_vault
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))  # SQLite's own files take this one's mode
        connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # on disk before an event is acknowledged
        connection.execute("PRAGMA secure_delete = ON")
        connection.executescript(_SCHEMA)
        return connection
