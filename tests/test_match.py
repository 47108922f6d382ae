"""Match against a brute-force oracle, on literal rows and on random ones."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genome.match import GeneIndex, GeneVectors, contributions, match_all, match_pairs

GENES = {11: "brand", 12: "brand", 21: "department", 22: "department", 31: "price_tier"}
INDEX = GeneIndex.of(GENES.keys(), GENES.values())
BRAND, DEPARTMENT, PRICE_TIER = 0, 1, 2


def brute_force(person: dict[int, float], offer: dict[int, float], locus: str) -> float:
    mine = {
        gene: share for gene, share in person.items() if GENES.get(gene) == locus and not math.isnan(share)
    }
    theirs = {gene: weight for gene, weight in offer.items() if GENES.get(gene) == locus}
    if not mine or not theirs:
        return math.nan
    return sum(share * theirs.get(gene, 0.0) for gene, share in mine.items())


def test_match_adds_share_times_weight_within_each_locus() -> None:
    people = GeneVectors.from_lists(INDEX, [[11, 12, 21]], [[0.75, 0.25, 1.0]])
    offers = GeneVectors.from_lists(INDEX, [[11, 12, 21]], [[0.2, 0.8, 0.5]])
    # brand: .75 x .2 + .25 x .8 = .35; department: 1 x .5; price tier: nobody knows
    assert match_all(people, offers)[0, 0] == pytest.approx([0.35, 0.5, math.nan], nan_ok=True)


def test_a_locus_without_a_known_share_is_nan_and_a_known_share_elsewhere_is_zero() -> None:
    people = GeneVectors.from_lists(INDEX, [[11], None, [11, 21]], [[1.0], None, [None, 1.0]])
    offers = GeneVectors.from_lists(INDEX, [[12, 22]], [[1.0, 1.0]])
    found = match_all(people, offers)[:, 0]
    assert found[0] == pytest.approx([0.0, math.nan, math.nan], nan_ok=True)
    assert np.isnan(found[1]).all()
    assert found[2] == pytest.approx([math.nan, 0.0, math.nan], nan_ok=True)


def test_genes_of_a_later_build_are_left_out() -> None:
    people = GeneVectors.from_lists(INDEX, [[11, 99]], [[0.5, 0.5]])
    offers = GeneVectors.from_lists(INDEX, [[11, 99]], [[1.0, 1.0]])
    assert match_all(people, offers)[0, 0, BRAND] == 0.5


def test_an_empty_index_knows_nothing() -> None:
    nothing = GeneIndex.of([], [])
    people = GeneVectors.from_lists(nothing, [[11]], [[1.0]])
    assert match_all(people, people).shape == (1, 1, 0)


def test_lists_that_are_not_aligned_are_refused() -> None:
    with pytest.raises(ValueError, match="not aligned"):
        GeneVectors.from_lists(INDEX, [[11, 12]], [[1.0]])


def test_a_hash_that_stands_for_two_genes_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        GeneIndex.of([1, 1], ["brand", "brand"])


vectors = st.dictionaries(
    st.sampled_from([*GENES, 99]), st.one_of(st.just(math.nan), st.floats(0, 1, width=32)), max_size=6
)


@given(st.lists(vectors, min_size=1, max_size=6), st.lists(vectors, min_size=1, max_size=4), st.data())
@settings(max_examples=150)
def test_pairs_matrix_and_arrow_agree_with_brute_force(people, offers, data) -> None:
    offers = [{gene: weight for gene, weight in offer.items() if not math.isnan(weight)} for offer in offers]
    mine = GeneVectors.from_lists(INDEX, [list(p) for p in people], [list(p.values()) for p in people])
    theirs = GeneVectors.from_lists(INDEX, [list(o) for o in offers], [list(o.values()) for o in offers])
    oracle = np.array(
        [[[brute_force(p, o, locus) for locus in INDEX.locus_ids] for o in offers] for p in people]
    )
    np.testing.assert_allclose(match_all(mine, theirs), oracle, rtol=1e-12, atol=1e-15)

    pair = st.tuples(st.integers(0, len(people) - 1), st.integers(0, len(offers) - 1))
    pairs = data.draw(st.lists(pair, max_size=12))
    left, right = [p for p, _ in pairs], [o for _, o in pairs]
    expected = oracle[left, right] if pairs else np.empty((0, 3))
    np.testing.assert_allclose(match_pairs(mine, theirs, left, right), expected, rtol=1e-12, atol=1e-15)

    arrow = GeneVectors.from_arrow(
        INDEX,
        pa.array([list(p) for p in people], pa.list_(pa.int64())),
        pa.chunked_array([pa.array([list(p.values()) for p in people], pa.list_(pa.float64()))]),
    )
    np.testing.assert_allclose(match_all(arrow, theirs), oracle, rtol=1e-12, atol=1e-15)


def test_pairs_are_the_same_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    genes = list(GENES)
    people = GeneVectors.from_lists(INDEX, [genes] * 40, rng.random((40, 5)))
    offers = GeneVectors.from_lists(INDEX, [genes] * 9, rng.random((9, 5)))
    left, right = rng.integers(0, 40, 300), rng.integers(0, 9, 300)
    whole = match_pairs(people, offers, left, right)
    monkeypatch.setattr("genome.match._BLOCK_CELLS", 60)
    assert np.array_equal(whole, match_pairs(people, offers, left, right))
    assert whole == pytest.approx(match_all(people, offers)[left, right])


@given(vectors, vectors)
@settings(max_examples=100)
def test_contributions_add_up_to_the_match_and_come_strongest_first(person, offer) -> None:
    mine = GeneVectors.from_lists(INDEX, [list(person)], [list(person.values())])
    theirs = GeneVectors.from_lists(INDEX, [list(offer)], [list(offer.values())])
    match = np.nan_to_num(match_all(mine, theirs)[0, 0])
    found = contributions(mine, theirs)
    for place, locus in enumerate(INDEX.locus_ids):
        assert sum(c.product for c in found if c.locus_id == locus) == pytest.approx(match[place], abs=1e-12)
    assert [c.product for c in found] == sorted((c.product for c in found), reverse=True)
    assert all(c.product > 0 for c in found)


def test_equal_contributions_are_ordered_by_gene() -> None:
    people = GeneVectors.from_lists(INDEX, [[], [22, 11, 12]], [[], [0.5, 0.5, 0.5]])
    offers = GeneVectors.from_lists(INDEX, [[12, 11, 22]], [[0.5, 0.5, 0.5]])
    assert contributions(people, offers) == ()
    found = contributions(people, offers, customer_row=1)
    assert [c.gene_hash for c in found] == [11, 12, 22]
