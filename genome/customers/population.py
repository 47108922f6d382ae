"""How a gene is distributed over customers: who shows it at all, and how much of their choices it is."""

import html
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from pydantic import AwareDatetime, Field

from genome.api.published import Catalogue
from genome.customers import segments
from genome.customers.view import Frozen
from genome.errors import UsageError
from genome.rules.conditions import Field as Asked
from genome.settings import Settings

BANDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Edges of the bands of a share: narrow where most people are."""
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


class Band(Frozen):
    """The customers whose share of the gene lies in one band."""

    above: float = Field(description="exclusive; of the first band 0")
    up_to: float = Field(description="inclusive")
    customers: int
    weight: float = Field(
        description="their part of all confidence: who shows a gene by one purchase counts little"
    )


class Distribution(Frozen):
    """How one gene is distributed over customers."""

    gene_id: str
    label: str
    as_of: AwareDatetime
    customers: int = Field(description="everybody")
    showing: int = Field(description="those with a share above 0")
    knowing: int = Field(description="those of whom anything in its locus is known")
    mean_share: float | None = Field(description="over those of whom anything in its locus is known")
    weighted_share: float | None = Field(description="over those who show it, by confidence")
    quantiles: dict[str, float] = Field(description="of the share among those who show it")
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class _Shown:
    share: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]


def distribution(settings: Settings, catalogue: Catalogue, gene_id: str) -> Distribution:
    """The distribution of a gene at the present cut-off, by the long half-life.

    Raises:
        GenomeError: nothing is published yet.
        UsageError: there is no such gene.
    """
    people = segments.read(settings, catalogue)
    if gene_id not in people.genes:
        raise UsageError(
            f"There is no gene '{gene_id}'.", "A gene is <locus>:<allele>, as `genome show --json` lists."
        )
    share, there = people.column(Asked("gene", gene_id))
    shows = there & (share > 0)
    rows = people.publication.read(
        "genome", ["customer_id", "confidence"], [("gene_hash", "=", people.genes[gene_id])]
    )
    places = pc.index_in(people.customers, value_set=rows.column("customer_id").combine_chunks())
    place = pc.fill_null(places, -1).to_numpy().astype(np.int64)
    confidence = np.zeros(len(people))
    known = place >= 0
    confidence[known] = np.nan_to_num(rows.column("confidence").to_numpy()[place[known]])
    at = catalogue.gene_ids.index(gene_id)
    locus = catalogue.index.loci == catalogue.index.loci[at]
    knowing = people.knowing(catalogue.index.hashes[locus])
    shown = _Shown(share[shows], confidence[shows])
    total = float(shown.confidence.sum())
    return Distribution(
        gene_id=gene_id,
        label=catalogue.labels[at],
        as_of=people.as_of,
        customers=len(people),
        showing=int(shows.sum()),
        knowing=int(knowing.sum()),
        mean_share=float(np.where(shows, share, 0.0)[knowing].mean()) if knowing.any() else None,
        weighted_share=float((shown.share * shown.confidence).sum() / total) if total else None,
        quantiles={
            f"{each:g}": float(np.quantile(shown.share, each)) for each in QUANTILES if len(shown.share)
        },
        bands=tuple(_bands(shown, total)),
    )


def _bands(shown: _Shown, total: float) -> list[Band]:
    """Customers and confidence by band."""
    # A float32 share of 1 may be a hair above it.
    at = np.clip(np.searchsorted(BANDS, shown.share, side="left") - 1, 0, len(BANDS) - 2)
    counts = np.bincount(at, minlength=len(BANDS) - 1)
    weights = np.bincount(at, shown.confidence, minlength=len(BANDS) - 1)
    return [
        Band(
            above=low,
            up_to=high,
            customers=int(counts[place]),
            weight=float(weights[place] / total) if total else 0.0,
        )
        for place, (low, high) in enumerate(pairwise(BANDS))
    ]


def picture(found: Distribution) -> str:
    """The distribution as an SVG: a bar for each band, customers dark and confidence light beside it."""
    width, height, gap = 640, 260, 64
    most = max([1, *(band.customers for band in found.bands)])
    step = (width - 20) / len(found.bands)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{html.escape(found.label, quote=True)}: customers by share">'
    ]
    for place, band in enumerate(found.bands):
        left, room = 10 + place * step, height - gap - 20
        for number, part in enumerate((band.customers / most, band.weight)):
            tall = room * part
            parts.append(
                f'<rect class="{("people", "weight")[number]}" x="{left + 4 + number * step * 0.4:.1f}" '
                f'y="{height - gap - tall:.1f}" width="{step * 0.36:.1f}" height="{tall:.1f}"/>'
            )
        middle = left + step / 2
        parts.append(
            f'<text x="{middle:.1f}" y="{height - gap + 18}" text-anchor="middle">≤ {band.up_to:.0%}</text>'
            f'<text class="count" x="{middle:.1f}" y="{height - gap + 36}" text-anchor="middle">'
            f"{band.customers:,}</text>"
        )
    return "".join([*parts, "</svg>"])
