"""What people wrote, in the identity vault: sealed, found by interaction and by source key, and read anew when the
vocabulary has changed.

A text is put here before the interaction that it came with is acknowledged (live) or committed (by file). Whatever is
killed between the two, no interaction counts whose text is lost; and a text whose interaction did not come to count is
met again when its source sends it again. The first text of an interaction stays, as its first delivery does, so nothing
that comes again changes anything. Agents' answers are not kept: they are nobody's motives.

A text is kept as the vocabulary reads it: the first `vocabulary.LONGEST` characters. What lies beyond is left out, as
it has always been left unread. The digits of payment cards are zeros.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

import structlog

from genome.identity.personal import without_cards
from genome.identity.vault import Reader, Vault, may_read
from genome.lake.vault import KEY_VERSION
from genome.vocabulary import LONGEST

_ROWS: Final = 5_000
"""Texts of one transaction: the file is never held for longer than a moment."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger(__name__)


class Text(NamedTuple):
    """A text as it came in, with its interaction's own facts.

    Attributes:
        interaction_id: the interaction that it came with.
        key_type: what the interaction's source key is: user, email …
        key: the source key itself, a token where it is personal.
        channel: by which channel.
        interaction_type: what happened: Product Reviewed, Message Sent …
        occurred_at: when, in microseconds since 1970, UTC.
        received_at: known time, likewise.
        words: the text.
        motives: what the vocabulary recognised in it ("ethics -price"), None: nothing.
    """

    interaction_id: str
    key_type: str
    key: str
    channel: str
    interaction_type: str
    occurred_at: int
    received_at: int
    words: str
    motives: str | None


@dataclass(frozen=True)
class Written:
    """A text as a reader gets it.

    Attributes:
        interaction_id: the interaction that it came with.
        source_key: `<type>:<key>` of the interaction.
        channel: by which channel.
        interaction_type: what happened.
        occurred_at: when.
        received_at: known time.
        text: the words.
        motives: what was recognised in them when they were last read.
        vocabulary: the version of the vocabulary that they were last read with.
    """

    interaction_id: str
    source_key: str
    channel: str
    interaction_type: str
    occurred_at: datetime
    received_at: datetime
    text: str
    motives: str | None
    vocabulary: str


_SELECT: Final = (
    "SELECT interaction_id, key_type, key, channel, interaction_type, occurred_at, received_at, motives, vocabulary, "
    "sealed FROM texts WHERE "
)
_CORRECTED: Final = (
    "SELECT interaction_id, motives FROM texts WHERE motives IS NOT heard AND interaction_id > ? "
)


class Texts:
    """The texts of one vault. Safe to share between threads and processes, as the vault is."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def put(self, texts: Iterable[Text], *, vocabulary: str) -> int:
        """Keep texts; on disk when it returns. Returns how many interactions were new.

        Args:
            texts: in the order in which they came; blank ones are passed over.
            vocabulary: the version of the vocabulary that their motives were recognised with.
        """
        new = 0
        each = (text for text in texts if text.words.strip())
        while some := list(islice(each, _ROWS)):
            rows = [
                (*text[:7], text.motives, text.motives, vocabulary, KEY_VERSION, self._seal(text))
                for text in some
            ]
            with self._vault.transaction() as connection:
                before = connection.total_changes
                connection.executemany(
                    "INSERT OR IGNORE INTO texts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
                )
                new += connection.total_changes - before
        return new

    def of(self, source_keys: Iterable[str], *, reader: Reader) -> list[Written]:
        """What was written under source keys, the newest first.

        A key that a rotation made of the same identifier counts as well.

        Args:
            source_keys: `<type>:<key>`.
            reader: who reads, and so may.
        """
        may_read(reader)
        wanted = self._keys(source_keys)
        found: list[Written] = []
        with self._vault.transaction() as connection:
            for pair in wanted:
                rows = connection.execute(_SELECT + "key_type = ? AND key = ?", pair)
                found += [self._opened(*row) for row in rows]
        log.info("identity_vault_read", reader=reader, asked=len(wanted), found=len(found))
        return sorted(found, key=lambda text: (text.occurred_at, text.interaction_id), reverse=True)

    def find(self, interaction_ids: Iterable[str], *, reader: Reader) -> dict[str, Written]:
        """The texts of interactions, by their ids; interactions without one are left out.

        Args:
            interaction_ids: as the lake has them.
            reader: who reads, and so may.
        """
        may_read(reader)
        wanted = list(interaction_ids)
        found: dict[str, Written] = {}
        with self._vault.transaction() as connection:
            for interaction_id in wanted:
                row = connection.execute(_SELECT + "interaction_id = ?", (interaction_id,)).fetchone()
                if row is not None:
                    found[interaction_id] = self._opened(*row)
        log.info("identity_vault_read", reader=reader, asked=len(wanted), found=len(found))
        return found

    def forget(self, source_keys: Iterable[str]) -> int:
        """Remove what was written under source keys, and under every other token of the same identifiers; the freed
        bytes are overwritten. Returns how many texts there were.

        What the lake holds of them goes with `genome.identity.rereading.forget`, which calls this.
        """
        wanted = self._keys(source_keys)
        with self._vault.transaction() as connection:
            return sum(
                connection.execute("DELETE FROM texts WHERE key_type = ? AND key = ?", pair).rowcount
                for pair in wanted
            )

    def forget_before(self, instant: datetime) -> int:
        """Remove what was written before an instant, as its interactions leave the lake. Returns how many texts."""
        with self._vault.transaction() as connection:
            return connection.execute(
                "DELETE FROM texts WHERE occurred_at < ?", ((instant - _EPOCH) // timedelta(microseconds=1),)
            ).rowcount

    def count(self) -> int:
        """How many texts are kept."""
        with self._vault.transaction() as connection:
            return int(connection.execute("SELECT count(*) FROM texts").fetchone()[0])

    # Reading anew

    def unread(self, vocabulary: str) -> int:
        """How many texts were last read with another version of the vocabulary."""
        with self._vault.transaction() as connection:
            read = connection.execute(
                "SELECT count(*) FROM texts WHERE vocabulary = ?", (vocabulary,)
            ).fetchone()[0]
            return int(connection.execute("SELECT count(*) FROM texts").fetchone()[0]) - int(read)

    def next_unread(self, vocabulary: str, *, reader: Reader) -> list[Written]:
        """Some thousands of the texts that were last read with another version; none when all are read.

        Args:
            vocabulary: the version that they are to be read with.
            reader: who reads, and so may.
        """
        may_read(reader)
        with self._vault.transaction() as connection:
            # Not `<>`: two ranges of the index are read from their beginnings, and no further than is asked for.
            rows = connection.execute(
                _SELECT + "vocabulary < ? OR vocabulary > ? LIMIT ?", (vocabulary, vocabulary, _ROWS)
            ).fetchall()
        return [self._opened(*row) for row in rows]

    def note(self, readings: Iterable[tuple[str, str | None]], *, vocabulary: str) -> None:
        """Write down how texts read now: (interaction_id, motives).

        Args:
            readings: of texts that are kept; one that was forgotten meanwhile stays forgotten.
            vocabulary: the version that read them.
        """
        with self._vault.transaction() as connection:
            connection.executemany(
                "UPDATE texts SET motives = ?, vocabulary = ? WHERE interaction_id = ?",
                [(motives, vocabulary, interaction_id) for interaction_id, motives in readings],
            )

    def corrected(self, channels: Iterable[str]) -> Iterator[Sequence[tuple[str, str | None]]]:
        """(interaction_id, motives) of the texts that read otherwise than when they came in, in pages, by their ids.

        Args:
            channels: only of these.
        """
        wanted = sorted(channels)
        places = ", ".join("?" * len(wanted))
        last = ""
        while True:
            with self._vault.transaction() as connection:
                page: list[tuple[str, str | None]] = connection.execute(
                    _CORRECTED + f"AND channel IN ({places}) ORDER BY interaction_id LIMIT ?",
                    (last, *wanted, _ROWS),
                ).fetchall()
            if not page:
                return
            yield page
            last = page[-1][0]

    def _keys(self, source_keys: Iterable[str]) -> list[tuple[str, str]]:
        """Source keys as (type, key), with every other token of the same identifiers."""
        found: dict[tuple[str, str], None] = {}
        for source_key in source_keys:
            key_type, _, key = source_key.partition(":")
            found |= dict.fromkeys((key_type, token) for token in sorted(self._vault.tokens_of(key)))
        return list(found)

    def _seal(self, text: Text) -> bytes:
        words = without_cards(text.words)[:LONGEST]
        return self._vault.cipher.seal(
            words.encode(errors="surrogatepass"), _place(text.interaction_id, text.key_type, text.key)
        )

    def _opened(
        self,
        interaction_id: str,
        key_type: str,
        key: str,
        channel: str,
        interaction_type: str,
        occurred_at: int,
        received_at: int,
        motives: str | None,
        vocabulary: str,
        sealed: bytes,
    ) -> Written:
        words = self._vault.cipher.open(sealed, _place(interaction_id, key_type, key))
        return Written(
            interaction_id=interaction_id,
            source_key=f"{key_type}:{key}",
            channel=channel,
            interaction_type=interaction_type,
            occurred_at=_EPOCH + timedelta(microseconds=occurred_at),
            received_at=_EPOCH + timedelta(microseconds=received_at),
            text=words.decode(errors="surrogatepass"),
            motives=motives,
            vocabulary=vocabulary,
        )


def _place(interaction_id: str, key_type: str, key: str) -> str:
    """What a text is sealed with: neither another interaction's nor another person's place opens it."""
    return f"text:{interaction_id}:{key_type}:{key}"
