"""Are motives recognised? What the platform holds of the mall's texts, beside what each was written for."""

import json
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genome import channels
from genome.errors import GenomeError
from genome.lake import layout
from genome.lake.manifest import Manifest
from genome.settings import Settings
from genome.simulate.truth import Truth
from genome.vocabulary import PROPERTY

WRITTEN_FOR: Final = {
    "price": ("price",),
    "quality": ("quality", "praise"),
    "delivery": ("delivery",),
    "availability": ("out_of_stock",),
    "being_left_in_peace": ("too_many_messages",),
    "no_pressure": ("pushed_to_dearer",),
}
"""Motive → what the mall calls texts that speak of it. Praise is of a product's quality; who finds a thing all
right ("average") names no motive."""


@dataclass(frozen=True)
class Recognised:
    """One motive over all texts that the platform holds.

    Attributes:
        motive: the gene's allele.
        written_for: the mall's names for it.
        true: texts written for it.
        recognised: texts in which the platform found it, for or against.
        both: texts of both.
    """

    motive: str
    written_for: tuple[str, ...]
    true: int
    recognised: int
    both: int

    @property
    def precision(self) -> float | None:
        """The part of the recognised that is true; None where nothing was."""
        return self.both / self.recognised if self.recognised else None

    @property
    def recall(self) -> float | None:
        """The part of the true that was recognised; None where there is none."""
        return self.both / self.true if self.true else None

    def cells(self) -> list[str]:
        """As tables show it."""
        shown = ["–" if each is None else f"{each:.3f}" for each in (self.precision, self.recall)]
        names = ", ".join(self.written_for) or "(none in the mall)"
        return [
            self.motive,
            names,
            *(f"{each:,}" for each in (self.true, self.recognised, self.both)),
            *shown,
        ]


def measure(settings: Settings, folder: Path) -> list[Recognised]:
    """The table, one row for each motive that the mall writes for or that the platform found.

    Raises:
        GenomeError: the platform holds none of the mall's texts.
    """
    truth = Truth(folder).read("motives", ["channel", "message_id", "motive"])
    ids = [
        _interaction(channel, message)
        for channel, message in zip(
            truth["channel"].to_pylist(), truth["message_id"].to_pylist(), strict=True
        )
    ]
    written = pa.table({"interaction_id": pa.array(ids), "motive": truth["motive"]})
    paths = Manifest.read(settings, layout.INTERACTIONS).files()
    names = ["interaction_id", "channel", "properties"]
    wanted = pc.field("channel").isin(pc.unique(truth["channel"]))
    held = pa.concat_tables([pq.read_table(path, columns=names, filters=wanted) for path in paths])
    read = written.join(held.select(["interaction_id", "properties"]), "interaction_id", join_type="inner")
    if not len(read):
        raise GenomeError(
            "The platform holds none of the mall's texts.",
            "Point GENOME_HOME to the home that ingested this mall.",
        )
    return table(
        read["motive"].to_pylist(),
        [json.loads(said or "{}").get(PROPERTY) for said in read["properties"].to_pylist()],
    )


def table(motives: list[str], found: list[str | None]) -> list[Recognised]:
    """The table of texts: what each was written for, and what was recognised in it."""
    named = [{word.removeprefix("-") for word in (said or "").split()} for said in found]
    rows = []
    for motive in (*WRITTEN_FOR, *sorted(set().union(*named) - WRITTEN_FOR.keys())):
        written_for = WRITTEN_FOR.get(motive, ())
        is_true = [each in written_for for each in motives]
        is_found = [motive in each for each in named]
        both = sum(a and b for a, b in zip(is_true, is_found, strict=True))
        rows.append(Recognised(motive, written_for, sum(is_true), sum(is_found), both))
    return rows


def _interaction(channel: str, message: str) -> str:
    """The lake's id of a message: as connectors make it."""
    source = channels.connector(channel).source_id
    return md5("\x1f".join((channel, source, message)).encode(), usedforsecurity=False).hexdigest()
