"""What a published table is made of: rows as one build made them, then the rows that later builds made anew.

    part 0   the whole table                             v=<epoch>/part-00000.parquet
    part 1   what the next build made, and the keys      v=<epoch>/part-00000.parquet
             whose rows in part 0 are dead by it         v=<epoch>/keys.parquet
    part 2   …

Most tables are one part, written whole in each version. A large one that is whole is several (`part-00001.parquet` …),
of one build. `genome/lake/whole.py` puts the others together.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from genome.lake.present import Fading

KEYS: Final = "keys.parquet"
"""Beside a part's rows: the keys whose rows in earlier parts are dead, and of which all rows are (`is_whole`)."""
IS_WHOLE: Final = "is_whole"


@dataclass(frozen=True)
class Part:
    """Rows that one build made.

    Attributes:
        file: its Parquet file, relative to the lake.
        rows: how many.
        sha256: of the file.
        as_of: the cut-off of the build that made them; None where nothing in the table moves with the clock.
        keys: the Parquet file of the keys whose earlier rows are dead, relative to the lake; None where none are.
        keys_sha256: of that file.
    """

    file: str
    rows: int
    sha256: str
    as_of: str | None = None
    keys: str | None = None
    keys_sha256: str | None = None

    def document(self) -> dict[str, Any]:
        """As the pointer holds it."""
        told = {
            "file": self.file,
            "rows": self.rows,
            "sha256": self.sha256,
            "as_of": self.as_of,
            "keys": self.keys,
            "keys_sha256": self.keys_sha256,
        }
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class Made:
    """What is known of a staged table beside its own files.

    Attributes:
        rows: how many the whole table has for its readers.
        fading: what of it moves with the clock, up to the cut-off of the build that made it.
        earlier: the parts that go before the staged one.
    """

    rows: int
    fading: Fading
    earlier: tuple[Part, ...] = ()


@dataclass(frozen=True)
class PublishedTable:
    """One table of a publication.

    Attributes:
        name: what readers call it.
        path: the folder of its own files, relative to the lake.
        rows: how many it has for its readers.
        sha256: it changes whenever they would read something else.
        parts: in the order in which they were made.
        fading: what of it moves with the clock; None where it is published whole each time.
    """

    name: str
    path: str
    rows: int
    sha256: str
    parts: tuple[Part, ...]
    fading: Fading | None = None

    @property
    def has_deltas(self) -> bool:
        """Whether a reader has to put the rows of several builds together."""
        return self.fading is not None and self.builds > 1

    @property
    def builds(self) -> int:
        """How many builds its parts are of: one may have written several files."""
        return len({PurePosixPath(part.file).parent for part in self.parts})

    @property
    def present(self) -> str:
        """The folder of the whole table as of its publication, relative to the lake, where it has deltas."""
        own = PurePosixPath(self.path)
        return str(own.parent / "present" / own.name)

    def document(self) -> dict[str, Any]:
        """As the pointer holds it."""
        return {
            "path": self.path,
            "rows": self.rows,
            "sha256": self.sha256,
            "parts": [part.document() for part in self.parts],
            "fading": self.fading.document() if self.fading is not None else None,
        }


def table_of(name: str, path: str, own: tuple[Part, ...], made: Made | None) -> PublishedTable:
    """A table from its own files and what is known beside them."""
    parts = (*(made.earlier if made else ()), *own)
    hashes = [*(part.sha256 for part in parts), *(part.keys_sha256 or "" for part in parts)]
    if made is not None and made.earlier:
        hashes.append(made.fading.as_of)
    return PublishedTable(
        name=name,
        path=path,
        rows=made.rows if made else sum(part.rows for part in parts),
        # One part: the file's own hash. Several: the hash of their hashes, and of the cut-off they are read at.
        sha256=hashes[0] if len(parts) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest(),
        parts=parts,
        fading=made.fading if made else None,
    )


def read_table(name: str, document: Mapping[str, Any]) -> PublishedTable:
    """A table from its entry in the pointer."""
    told = document.get("fading")
    return PublishedTable(
        name=name,
        path=document["path"],
        rows=document["rows"],
        sha256=document["sha256"],
        parts=tuple(_part(document["path"], each) for each in document["parts"]),
        fading=Fading.read(told) if told else None,
    )


def _part(folder: str, document: Mapping[str, Any] | str) -> Part:
    if isinstance(document, str):  # a pointer from before there were deltas names files only
        return Part(f"{folder}/{document}", 0, "")
    return Part(**document)
