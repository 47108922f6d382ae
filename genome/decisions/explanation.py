"""Explanation: the match of customer and offer, said in plain words.

The contributions of `genome/match.py` are quoted, so what is said is what the ML model ate. One gene speaks
for each locus. Genes speak first that are this person's own (that somebody shops in the grocery department
like everybody says nothing; four times the usual share of yoghurt says a lot), that fill the offer, and that
stand in a locus with many alleles (one of 2 brand types says less than one of 300 categories).
"""

import math
from collections.abc import Iterable, Sequence

from genome.decisions.records import GeneMatch, Related

MOST = 0.6
"""From this weight on, an offer is said to be *for* a gene."""

LIFT = 1.2
""""Often" is said from this many times the population's share."""

_PRODUCT = "product"
_LEAST_SHARE = 1e-6
"""Stands for a population's share of 0, so that a ratio exists."""


def strongest(matches: Iterable[GeneMatch], count: int) -> tuple[GeneMatch, ...]:
    """The matches worth quoting: one for each locus, the most telling first."""
    best: dict[str, GeneMatch] = {}
    for match in matches:
        held = best.get(match.locus_id)
        if lift(match) >= LIFT and (held is None or _order(match) < _order(held)):
            best[match.locus_id] = match
    return tuple(sorted(best.values(), key=_order)[:count])


def reasons(matches: Sequence[GeneMatch], related: Related | None = None) -> tuple[str, ...]:
    """What a product of the request says, then one sentence for each match; an honest one where there is none."""
    if related is not None:
        said = f"It {related.in_words}." if related.relation != "premium" else f"It is {related.in_words}."
        return (said, *(reasons(matches) if matches else ()))
    if not matches:
        return (
            "Nothing singular in your own choices points here; it is chosen for what people like you take.",
        )
    return tuple(_sentence(match) for match in matches)


def lift(match: GeneMatch) -> float:
    """How many times the population's share the customer's share is."""
    return match.share / max(match.population_share, _LEAST_SHARE)


def _order(match: GeneMatch) -> tuple[float, str]:
    # √share · log(lift) grows as a z-score does: a share's own spread is in proportion to its root.
    own = math.sqrt(match.share) * math.log2(max(lift(match), 1.0))
    return -own * _filling(match) * math.log2(max(match.alleles, 2)), match.gene_id


def _filling(match: GeneMatch) -> float:
    """How much of the offer the gene is. A product counts whole: buying any of them redeems it."""
    return 1.0 if match.locus_id == _PRODUCT else match.weight


def _sentence(match: GeneMatch) -> str:
    saying = match.sentence[:1].upper() + match.sentence[1:]
    if match.locus_id == _PRODUCT:
        return f"{saying}; this offer includes it."
    if match.weight >= MOST:
        return f"{saying}; that is what this offer is for."
    return f"{saying}; that is {_part(match.weight)} of this offer."


def _part(weight: float) -> str:
    if weight >= 0.4:
        return "about half"
    return "a good part" if weight >= 0.15 else "some"
