"""How a file appears in the lake: whole, on disk, and under its name, or not at all.

Temporary name → fsync → rename → fsync of the folder. A reader that lists the folder sees the old state or
the new one; a power cut loses neither. Temporary names start with a dot and end in `.tmp`: no glob for
`*.parquet` or `*.json` finds them, and `sweep` removes what a killed process left.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genome.errors import GenomeError, UnavailableError

TEMPORARY = ".tmp"


def temporary(final: Path) -> Path:
    """The name under which `final` is written: beside it, hidden, and this process's own."""
    return final.with_name(f".{final.name}.{os.getpid()}{TEMPORARY}")


def fsync(path: Path) -> None:
    """Ask the disk to keep a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each entry kept by the disk."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        fsync(each.parent)


def commit(written: Path, final: Path) -> None:
    """Give a fully written file its final name, durably; an older file of that name is replaced."""
    fsync(written)
    os.replace(written, final)
    fsync(final.parent)


def write(final: Path, content: bytes) -> None:
    """Write `content` to `final` so that it is there whole or not at all."""
    make_folder(final.parent)
    part = temporary(final)
    part.write_bytes(content)
    commit(part, final)


def write_json(final: Path, document: Any) -> None:
    """Write a JSON document to `final` so that it is there whole or not at all."""
    write(final, (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON document of the lake's own; damage is an error that names the file."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise GenomeError(
            f"{path} is damaged ({error}).",
            "The lake writes it whole, so something else changed it: restore it from a backup.",
        ) from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(folder: Path, prefix: str = "") -> int:
    """Remove the temporary files below `folder` that a killed process left; returns how many.

    Call it only where the caller holds the lock of those files: it cannot tell a dead writer from a live one.

    Args:
        folder: where to look.
        prefix: only files whose final names begin so, where a folder has several writers.
    """
    left = list(folder.rglob(f".{prefix}*{TEMPORARY}")) if folder.is_dir() else []
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


@contextmanager
def exclusive(lock: Path, *, patience_seconds: float = 600.0) -> Iterator[None]:
    """Hold a lock file while the block runs; others on this machine wait for their turn.

    The kernel drops the lock when its holder dies, however it dies, so a stale lock cannot exist and the file
    itself may stay.
    """
    make_folder(lock.parent)
    with lock.open("a") as file:
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"{lock} has been held by another process for {patience_seconds:.0f} seconds.",
                        "Wait for the other run to end, or end it, and try again.",
                    ) from None
                time.sleep(0.02)
        yield
