"""What the request's products say of an offer: lifts by hand, and who is not asked."""

import pytest

from genome.decisions.context import MOST, Link, in_context
from genome.decisions.records import Candidate

NOBODY: frozenset[str] = frozenset()


def candidate(kind: str = "cross_sell") -> Candidate:
    return Candidate(offer_id="o", score=0.01, kind=kind)


def link(other: str, lift: float, relation: str = "complement", product: str = "bread") -> Link:
    return Link(relation, product, other, lift, f"goes with {product}")


def test_an_offer_s_lift_is_its_products_lifts_by_weight() -> None:
    links = [link("butter", 5.0), link("jam", 3.0), link("soap", 9.0)]
    found = in_context(candidate(), links, {"butter": 0.25, "jam": 0.5, "milk": 0.25}, NOBODY)
    # 0.25 × 5 + 0.5 × 3 + 0.25 × 1
    assert found.score == pytest.approx(0.01 * 3.0)
    assert found.related is not None
    assert found.related.lift == pytest.approx(3.0)
    assert found.related.score_alone == 0.01
    # Butter and jam add 1.0 each: the later name speaks, so that the answer is always the same.
    assert found.related.other_product_id == "jam"


def test_of_two_products_of_the_request_the_stronger_speaks() -> None:
    links = [link("butter", 2.0, product="jam"), link("butter", 4.0, product="bread")]
    found = in_context(candidate(), links, {"butter": 1.0}, NOBODY)
    assert found.related is not None
    assert (found.related.product_id, found.score) == ("bread", pytest.approx(0.04))


def test_a_lift_counts_for_no_more_than_the_most() -> None:
    assert in_context(candidate(), [link("butter", 400.0)], {"butter": 1.0}, NOBODY).score == pytest.approx(
        0.01 * MOST
    )


@pytest.mark.parametrize(
    ("kind", "relation", "speaks"),
    [
        ("cross_sell", "complement", True),
        ("cross_sell", "substitute", True),
        ("cross_sell", "premium", False),
        ("up_sell", "premium", True),
        ("up_sell", "complement", False),
        ("substitute", "substitute", True),
        ("retention", "complement", False),
    ],
)
def test_each_kind_of_offer_is_recommended_by_its_own_relations(
    kind: str, relation: str, speaks: bool
) -> None:
    found = in_context(candidate(kind), [link("butter", 2.0, relation)], {"butter": 1.0}, NOBODY)
    assert (found.related is not None) is speaks
    assert found.score == pytest.approx(0.02 if speaks else 0.01)


def test_what_is_in_the_basket_already_is_no_complement_of_it() -> None:
    links = [link("butter", 5.0)]
    assert in_context(candidate(), links, {"butter": 1.0}, frozenset({"butter"})) == candidate()


def test_a_lift_below_one_changes_nothing() -> None:
    assert in_context(candidate(), [link("butter", 0.4)], {"butter": 1.0}, NOBODY) == candidate()
