"""The helix: a genome as a picture, and its history as another. Plain SVG, no script, any page may include it.

A rung is a gene. Its upper end stands for what the customer chose over months, its lower end for the last weeks:
the larger the dot, the larger the share within the locus. A faint rung rests on little evidence; a ring marks a
gene that is distinctive; an arrow says that it rises or falls.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from html import escape

from genome.customers.view import SINGULAR_Z, GeneView, LocusView

RUNGS_BY_LOCUS = 3
_STEP = 44.0
_GAP = 20.0
_MARGIN = 34.0
_MIDDLE = 108.0
_AMPLITUDE = 54.0
_TURN = 8.0
"""Rungs to a full turn of the helix."""
_HEIGHT = 262
_LEAST, _MOST = 2.5, 9.0

COLOURS = ("#7c3aed", "#2f62d9", "#0e8fa8", "#15803d", "#8a7a00", "#c2410c", "#be123c", "#6b4b3e")
"""By locus, in order; chosen to be told apart on white, by most colour-blind people too."""


def helix(loci: Sequence[LocusView], by_locus: int = RUNGS_BY_LOCUS) -> str:
    """The strongest genes of each locus as the rungs of a double helix."""
    groups = [(locus, locus.genes[:by_locus]) for locus in loci if locus.genes]
    if not groups:
        return "<p>No gene yet: this customer has revealed nothing.</p>"
    placed: list[tuple[float, GeneView, LocusView, str]] = []
    heads = []
    x = _MARGIN
    for number, (locus, genes) in enumerate(groups):
        colour = COLOURS[number % len(COLOURS)]
        start = x
        for gene in genes:
            placed.append((x, gene, locus, colour))
            x += _STEP
        middle = (start + x - _STEP) / 2
        heads.append(
            f'<text class="locus" x="{middle:.1f}" y="22" fill="{colour}">{_text(locus.label)}</text>'
        )
        x += _GAP
    width = x - _GAP + 70
    rungs = "".join(_rung(at, gene, locus, colour) for at, gene, locus, colour in placed)
    return (
        f'<svg class="helix" viewBox="0 0 {width:.0f} {_HEIGHT}" role="img" '
        f'aria-label="{_text(_said(groups))}">'
        f"{_strand(width, 0.0)}{_strand(width, math.pi)}{''.join(heads)}{rungs}</svg>"
    )


def _phase(x: float) -> float:
    return 2 * math.pi * (x - _MARGIN) / (_STEP * _TURN) + math.pi / 5


def _strand(width: float, shift: float) -> str:
    points = " ".join(
        f"{x:.0f},{_MIDDLE - _AMPLITUDE * math.cos(_phase(x) + shift):.1f}"
        for x in range(4, int(width) - 4, 6)
    )
    return f'<polyline class="strand{" back" if shift else ""}" points="{points}"/>'


def _rung(x: float, gene: GeneView, locus: LocusView, colour: str) -> str:
    swing = _AMPLITUDE * math.cos(_phase(x))
    months, weeks = _MIDDLE - swing, _MIDDLE + swing
    longest = max(max(each.share_now or 0.0, each.share_character or 0.0) for each in locus.genes) or 1.0
    # Areas, not radii, are what people compare.
    sizes = [
        _LEAST + (_MOST - _LEAST) * math.sqrt((share or 0.0) / longest)
        for share in (gene.share_character, gene.share_now)
    ]
    confidence = gene.confidence or 0.0
    opacity = 0.35 + 0.65 * min(1.0, confidence / 12.0)
    ring = (
        f'<circle class="ring" cx="{x:.1f}" cy="{months:.1f}" r="{sizes[0] + 3.5:.1f}" stroke="{colour}"/>'
        if (gene.distinctiveness or 0.0) >= SINGULAR_Z
        else ""
    )
    arrow = {"rising": "▲ ", "falling": "▼ "}.get(gene.direction or "", "")
    label_x, label_y = x - 3, _MIDDLE + _AMPLITUDE + 26
    return (
        f'<g opacity="{opacity:.2f}"><title>{_text(_gene_said(gene))}</title>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{months:.1f}" y2="{weeks:.1f}" stroke="{colour}"/>'
        f'<circle cx="{x:.1f}" cy="{months:.1f}" r="{sizes[0]:.1f}" fill="{colour}"/>'
        f'<circle class="weeks" cx="{x:.1f}" cy="{weeks:.1f}" r="{sizes[1]:.1f}" stroke="{colour}"/>{ring}'
        f'<text class="gene" transform="translate({label_x:.1f} {label_y:.1f}) rotate(38)">'
        f"{arrow}{_text(_short(gene.label))}</text></g>"
    )


def _gene_said(gene: GeneView) -> str:
    said = [f"{gene.label}: {_percent(gene.share_character)} over months, {_percent(gene.share_now)} lately"]
    if gene.direction in {"rising", "falling"}:
        said.append(str(gene.direction))
    if (gene.distinctiveness or 0.0) >= SINGULAR_Z:
        said.append(f"distinctive, z = {gene.distinctiveness:.1f}")
    if gene.confidence is not None:
        said.append(f"evidence worth {gene.confidence:.0f} equal pieces")
    return "; ".join(said)


def _said(groups: Iterable[tuple[LocusView, Sequence[GeneView]]]) -> str:
    return "Strongest genes: " + "; ".join(
        f"{locus.label}: {', '.join(gene.label for gene in genes)}" for locus, genes in groups
    )


_CHART_WIDTH, _CHART_HEIGHT = 860, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 190, 14, 28
_NAME_HEIGHT = 15


def lines(months: Sequence[date], shares: Mapping[str, Sequence[float | None]]) -> str:
    """Shares of some genes over time, one line each, named at their ends.

    Args:
        months: when each value holds.
        shares: label → its share at each of `months`; None where the locus had no evidence.
    """
    known = [value for values in shares.values() for value in values if value is not None]
    if len(months) < 2 or not known:
        return ""
    top = max(known) * 1.08 or 1.0
    across, down = _CHART_WIDTH - _LEFT - _RIGHT, _CHART_HEIGHT - _TOP - _BOTTOM

    def x(place: int) -> float:
        return _LEFT + across * place / (len(months) - 1)

    def y(value: float) -> float:
        return _TOP + down * (1 - value / top)

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + across}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        f'<text class="axis" x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1%}</text>'
        for value in (0.0, top / 2, top)
    )
    every = max(1, math.ceil(len(months) / 8))
    named = "".join(
        f'<text class="axis" x="{x(place):.1f}" y="{_CHART_HEIGHT - 8}" text-anchor="middle">{month:%b %y}</text>'
        for place, month in enumerate(months)
        if place % every == 0
    )
    drawn, ends = [], []
    for number, (label, values) in enumerate(shares.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(
            f"{x(place):.1f},{y(value):.1f}" for place, value in enumerate(values) if value is not None
        )
        drawn.append(f'<polyline class="line" points="{points}" stroke="{colour}"/>')
        ends.append((y(values[-1] or 0.0), label, colour))
    ends.sort()
    for (_, label, colour), at in zip(ends, _apart([at for at, _, _ in ends], _TOP + down), strict=True):
        drawn.append(
            f'<text class="end" x="{_LEFT + across + 8}" y="{at + 4:.1f}" fill="{colour}">'
            f"{_text(_short(label, 26))}</text>"
        )
    said = "Shares over time of " + ", ".join(shares)
    return (
        f'<svg class="lines" viewBox="0 0 {_CHART_WIDTH} {_CHART_HEIGHT}" role="img" '
        f'aria-label="{_text(said)}">{grid}{named}{"".join(drawn)}</svg>'
    )


def _apart(heights: Sequence[float], floor: float) -> list[float]:
    """Where names stand beside their lines' ends, ascending: so far apart that none covers another, above the floor."""
    lowest = [floor - _NAME_HEIGHT * place for place in range(len(heights) - 1, -1, -1)]
    found: list[float] = []
    for at, most in zip(heights, lowest, strict=True):
        found.append(min(max(at, found[-1] + _NAME_HEIGHT if found else at), most))
    return found


def _short(label: str, most: int = 18) -> str:
    return label if len(label) <= most else label[: most - 1].rstrip() + "…"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _text(value: object) -> str:
    return escape(str(value), quote=True)
