"""Keys and passwords of this installation: made once, readable by their owner only."""

import os
import tempfile
from collections.abc import Callable

from genome.settings import Settings


def made_once(settings: Settings, name: str, make: Callable[[], str]) -> str:
    """The secret called `name`; the first caller makes it, also when many call at once.

    Args:
        settings: where secrets lie.
        name: the file's name under `settings.secrets`.
        make: makes the secret's text, for example `lambda: secrets.token_hex(32)`.

    Returns:
        The text that every process of this installation gets.
    """
    path = settings.secrets / name
    if not path.exists():
        settings.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A link appears whole or not at all and never replaces another's: nobody reads half a secret,
        # and of two makers one wins.
        handle, temporary = tempfile.mkstemp(dir=settings.secrets, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(make())
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:
                return path.read_text(encoding="utf-8")
            finally:
                folder = os.open(settings.secrets, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
        finally:
            os.unlink(temporary)
    return path.read_text(encoding="utf-8")
