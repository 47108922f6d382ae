"""Context: what the products that a request is about (in the basket, looked at, out of stock) say of offers.

A lift is how many times as likely one product is beside another as by itself, so it multiplies a probability. An
offer covers many products: each brings its lift by its weight in the offer, and the others bring 1. What is used is
the lift's lower bound, so that few cases move little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genome.decisions.records import Candidate, Related

WANTED: Mapping[str, frozenset[str]] = {
    "cross_sell": frozenset({"complement", "substitute"}),
    "substitute": frozenset({"substitute"}),
    "up_sell": frozenset({"premium"}),
}
"""Kind of offer → the relations that recommend it."""

MOST = 10.0
"""No lift counts for more than this."""


@dataclass(frozen=True)
class Link:
    """A relation from a product of the request to another one.

    Attributes:
        relation: complement, substitute or premium.
        product_id: of the request.
        other_product_id: what it is related to.
        lift: lower bound of the lift.
        in_words: as an explanation says it.
    """

    relation: str
    product_id: str
    other_product_id: str
    lift: float
    in_words: str


def in_context(
    candidate: Candidate, links: Sequence[Link], weights: Mapping[str, float], about: frozenset[str]
) -> Candidate:
    """The candidate as the request's products make it: its score times the offer's lift, and why.

    Args:
        candidate: as the ML model scored it.
        links: of the request's products.
        weights: product → its weight in the offer, of related products.
        about: the request's products; one of them is no complement of another that is there already.
    """
    wanted = WANTED.get(candidate.kind or "", frozenset())
    best: dict[str, Link] = {}
    for link in links:
        other = link.other_product_id
        if link.relation not in wanted or other not in weights or other in about or link.lift <= 1:
            continue
        if other not in best or (link.lift, link.product_id) > (best[other].lift, best[other].product_id):
            best[other] = link
    if not best:
        return candidate
    gains = {other: weights[other] * (min(link.lift, MOST) - 1) for other, link in best.items()}
    lift = 1 + sum(gains[other] for other in sorted(gains))
    most = best[max(gains, key=lambda other: (gains[other], other))]
    related = Related(
        relation=most.relation,
        product_id=most.product_id,
        other_product_id=most.other_product_id,
        lift=lift,
        score_alone=candidate.score,
        in_words=most.in_words,
    )
    return candidate.model_copy(update={"score": candidate.score * lift, "related": related})
