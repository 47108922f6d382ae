import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from models.metrics import (
    Draws,
    Groups,
    average_precision,
    drawn_average_precision,
    drawn_ndcg,
    group_values,
    interval,
    measure,
)

CUSTOMERS = ["a", "a", "a", "b", "b", "b", "a", "a"]
CAMPAIGNS = ["1", "1", "1", "1", "1", "1", "2", "2"]


def world(
    rows: int = 4000, customers: int = 60, ties: bool = True, seed: int = 5
) -> tuple[np.ndarray, np.ndarray, Groups]:
    random = np.random.default_rng(seed)
    scores = random.normal(size=rows)
    if ties:
        scores = np.round(scores, 1)
    labels = random.random(rows) < 1 / (1 + np.exp(4 - scores))
    return (
        labels,
        scores,
        Groups.of(random.integers(customers, size=rows), random.integers(4, size=rows).astype(str)),
    )


def test_a_group_is_a_customer_in_a_campaign() -> None:
    groups = Groups.of(CUSTOMERS, CAMPAIGNS)
    assert groups.group.tolist() == [0, 0, 0, 2, 2, 2, 1, 1]
    assert groups.customer.tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert groups.owner.tolist() == [0, 0, 1]


def test_ranking_figures_are_those_worked_out_by_hand() -> None:
    labels = np.array([False, True, True, False, False, True, False, False])
    scores = np.array([3.0, 2.0, 1.0, 3.0, 2.0, 1.0, 1.0, 2.0])
    values = group_values(labels, scores, Groups.of(CUSTOMERS, CAMPAIGNS))
    # Customer a, campaign 1: hits at places 2 and 3 of 3; customer b: one hit at place 3; campaign 2 has none.
    first = (1 / math.log2(3) + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert values.groups.tolist() == [0, 2]
    assert values.ndcg == pytest.approx([first, 1 / math.log2(4)])
    assert values.recall.tolist() == [1.0, 1.0]
    assert values.reciprocal_rank == pytest.approx([1 / 2, 1 / 3])


def test_only_ten_places_count_and_the_ideal_has_no_more() -> None:
    labels = np.ones(24, dtype=bool)
    labels[:12] = False
    groups = Groups.of(["a"] * 24, ["1"] * 24)
    best = group_values(labels, labels.astype(float), groups)
    assert (best.ndcg.tolist(), best.recall.tolist()) == ([pytest.approx(1.0)], [10 / 12])
    worst = group_values(labels, -labels.astype(float), groups)
    assert (worst.ndcg.tolist(), worst.hit.tolist(), worst.reciprocal_rank.tolist()) == (
        [0.0],
        [0.0],
        [1 / 13],
    )


def test_the_order_of_rows_earns_nothing_where_scores_are_tied() -> None:
    labels = np.tile([True] + [False] * 19, 400)
    groups = Groups.of(np.repeat(np.arange(400), 20), np.repeat("1", 8000))
    found = measure(labels, np.zeros(8000), groups, seeds=(0, 1, 2))
    assert found.hit_at_10 == pytest.approx(0.5, abs=0.05)
    assert (found.auc, found.pr_auc) == (0.5, pytest.approx(1 / 20))


@pytest.mark.parametrize("ties", [True, False])
def test_pooled_figures_are_those_of_scikit_learn(ties: bool) -> None:
    labels, scores, groups = world(ties=ties)
    found = measure(labels, scores, groups)
    assert found.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found.pr_auc == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert average_precision(labels, scores) == found.pr_auc


def test_without_a_positive_there_is_no_figure() -> None:
    labels, scores, groups = world()
    found = measure(np.zeros(len(labels), dtype=bool), scores, groups)
    assert [math.isnan(value) for value in found.document().values()] == [True] * 6


@pytest.mark.parametrize("ties", [True, False])
def test_each_draw_is_what_scikit_learn_says_of_customers_drawn_as_often(ties: bool) -> None:
    labels, scores, groups = world(ties=ties)
    draws = Draws.of(60, draws=20)
    assert draws.weights.sum(axis=1).tolist() == [60.0] * 20
    found = drawn_average_precision(labels, scores, groups, draws)
    for drawn, weights in zip(found, draws.weights, strict=True):
        expected = average_precision_score(labels, scores, sample_weight=weights[groups.customer])
        assert drawn == pytest.approx(expected, abs=1e-6)


def test_blocks_of_positives_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores, groups = world(ties=True)
    draws = Draws.of(60, draws=30)
    whole = drawn_average_precision(labels, scores, groups, draws)
    monkeypatch.setattr("models.metrics._CELLS", 60)
    assert drawn_average_precision(labels, scores, groups, draws) == pytest.approx(whole, abs=1e-12)


def test_drawn_ndcg_repeats_the_groups_of_a_customer_that_was_drawn_twice() -> None:
    labels, scores, groups = world()
    values = group_values(labels, scores, groups)
    draws = Draws.of(60, draws=10)
    found = drawn_ndcg(values, groups, draws)
    owner = groups.owner[values.groups]
    for drawn, weights in zip(found, draws.weights, strict=True):
        assert drawn == pytest.approx(np.average(values.ndcg, weights=weights[owner]), abs=1e-6)


def test_an_interval_of_a_ranker_with_itself_is_zero_and_of_a_better_one_above_it() -> None:
    labels, scores, groups = world()
    draws = Draws.of(60, draws=200)
    own = drawn_average_precision(labels, scores, groups, draws)
    assert interval(own, own, 0.0).document() == {"difference": 0.0, "low": 0.0, "high": 0.0}
    better = drawn_average_precision(labels, scores + 3.0 * labels, groups, draws)
    lead = interval(better, own, float(better.mean() - own.mean()))
    assert lead.is_better
    assert lead.low < lead.difference < lead.high
    assert not interval(own, better, 0.0).is_better
