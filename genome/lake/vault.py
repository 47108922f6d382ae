"""What may hold anybody's data and is not meant to be read: encrypted with the vault's key.

AES-256-GCM. The context (which row, which file) is authenticated with the text, so bytes moved to another
row's place do not open. A file is cut into chunks, each authenticated with its number and whether it is the
last, so that it cannot be shortened or reordered unnoticed.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from genome.errors import GenomeError
from genome.settings import Settings
from genome.stores.secrets import made_once

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_VERSION = 1
_NONCE = 12
_CHUNK = 1 << 20
_TAG = 16


class Vault:
    """Encrypts and decrypts with this installation's key, which it makes on first use (mode 0600)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cipher: AESGCM | None = None

    def _aes(self) -> "AESGCM":
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._cipher = AESGCM(
                bytes.fromhex(made_once(self._settings, "vault.key", lambda: secrets.token_hex(32)).strip())
            )
        return self._cipher

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypt; only the same context opens it again."""
        nonce = os.urandom(_NONCE)
        return nonce + self._aes().encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` made with this key and this context."""
        return self._decrypt(sealed[:_NONCE], sealed[_NONCE:], context)

    def seal_file(self, source: BinaryIO, target: BinaryIO, context: str) -> None:
        """Encrypt a whole file, chunk by chunk, in constant memory."""
        for number, last, chunk in _chunks(source, _CHUNK):
            nonce = os.urandom(_NONCE)
            target.write(nonce + self._aes().encrypt(nonce, chunk, f"{context}:{number}:{last}".encode()))

    def open_file(self, source: BinaryIO, target: BinaryIO, context: str) -> None:
        """Decrypt what `seal_file` made."""
        for number, last, chunk in _chunks(source, _NONCE + _CHUNK + _TAG):
            target.write(self._decrypt(chunk[:_NONCE], chunk[_NONCE:], f"{context}:{number}:{last}"))

    def _decrypt(self, nonce: bytes, text: bytes, context: str) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return self._aes().decrypt(nonce, text, context.encode())
        except (InvalidTag, ValueError) as error:
            raise GenomeError(
                f"The sealed bytes of {context} do not open with {self.key_file}.",
                "Restore the vault.key that was in force when they were sealed.",
            ) from error

    @property
    def key_file(self) -> Path:
        """Where the key lies; whoever has it can read the quarantine."""
        return self._settings.secrets / "vault.key"


def _chunks(source: BinaryIO, size: int) -> Iterator[tuple[int, bool, bytes]]:
    number, chunk = 0, source.read(size)
    while True:
        following = source.read(size)
        yield number, not following, chunk
        if not following:
            return
        number, chunk = number + 1, following
