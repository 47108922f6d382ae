"""Recovered tastes: the correlation is the textbook's, and the sums are by person and category."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from genome.simulate import tastes


def seen(**columns: list[float]) -> tastes._Seen:
    return tastes._Seen(
        person=np.array(columns["person"], np.int64),
        category=np.array(columns["category"], np.int64),
        day=np.array(columns["day"], float),
        net=np.array(columns["net"], float),
        amount=np.array(columns["amount"], float),
        is_line=np.array(columns["is_line"], bool),
        people=2,
        categories=("milk", "cheese", "wine"),
        now=100.0,
    )


def test_the_correlation_is_spearmans_with_ties() -> None:
    random = np.random.default_rng(1)
    scores = random.integers(0, 4, (20, 12)).astype(float)
    truth = random.random((20, 12))
    found = tastes._spearman(scores, rankdata(truth, axis=1))
    for row, value in enumerate(found):
        assert value == pytest.approx(spearmanr(scores[row], truth[row]).statistic)


def test_who_shows_nothing_correlates_with_nothing() -> None:
    assert tastes._spearman(np.zeros((1, 3)), rankdata(np.array([[1.0, 2.0, 3.0]]), axis=1)).tolist() == [0.0]


def test_recency_frequency_and_money_count_purchases_only() -> None:
    rows = seen(
        person=[0, 0, 0, 1],
        category=[0, 0, 1, 2],
        day=[10, 90, 95, 50],
        net=[0.5, 0.5, 0.15, 0.5],
        amount=[3.0, 4.0, 0.0, 9.0],
        is_line=[1, 1, 0, 1],
    )
    lines = rows.sums(rows.is_line.astype(float))
    assert lines.tolist() == [[2, 0, 0], [0, 0, 1]]
    ranks = tastes._rfm(rows, lines)
    assert ranks[0].argmax() == 0
    assert ranks[0, 1] == ranks[0, 2]  # a view alone is no purchase
    assert ranks[1].argmax() == 2
