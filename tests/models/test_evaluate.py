import numpy as np
import pytest

from models import baselines, evaluate
from models.metrics import Draws, measure
from tests.models.test_data import campaign


def test_the_candidate_comes_last_and_is_compared_with_its_rivals() -> None:
    random = np.random.default_rng(7)
    groups = evaluate.Groups.of(random.integers(40, size=2_000), random.integers(3, size=2_000))
    labels = random.random(2_000) < 0.1
    rankers = {
        "new": random.normal(size=2_000) + 2 * labels,
        "old": random.normal(size=2_000) + labels,
        "random": random.random(2_000),
    }
    found = evaluate.compare("redeemed", labels, groups, rankers, "new", Draws.of(40, draws=200), ["old"])
    assert [row.ranker for row in found.rows] == ["old", "random", "new"]
    assert [row.pr_auc is None for row in found.rows] == [False, True, True]
    lead = found.row("old").pr_auc
    assert lead is not None
    assert lead.is_better
    expected = measure(labels, rankers["new"], groups).pr_auc - measure(labels, rankers["old"], groups).pr_auc
    assert lead.difference == pytest.approx(expected)
    assert (found.pairs, found.positives) == (2_000, int(labels.sum()))
    assert found.rows[0].published == {}


def test_published_figures_stand_beside_ours_only_for_the_same_pairs() -> None:
    assert evaluate.PUBLISHED["redeemed", 244_509, 761][baselines.PLAIN]["pr_auc"] == 0.111
    assert {name for table in evaluate.PUBLISHED.values() for name in table} <= {
        *baselines.SIMPLE,
        baselines.PLAIN,
    }


def test_pairs_labels_and_baselines_are_in_one_order() -> None:
    one, other = campaign("7", "2017-03-01", "2017-03-31", 3), campaign("8", "2017-04-01", "2017-04-30", 5)
    grid = {
        name: np.arange(700.0).reshape(700, 1)
        for name in ("own_day_count", "own_days_h90_sum", "customers_d90_count")
    }
    some = [_with(one, grid), _with(other, grid)]
    groups = evaluate.pairs_of(some)
    labels = evaluate.labels_of(some, "redeemed")
    scores = baselines.simple(some)
    assert len(groups.group) == len(labels) == 1_400
    assert labels.sum() == 8
    assert np.flatnonzero(labels).tolist() == [0, 1, 2, 700, 701, 702, 703, 704]
    assert scores[baselines.OWN][701] == 1.0
    assert scores[baselines.OWN_H90_POPULARITY][701] == pytest.approx(1.000001)


def _with(one: evaluate.Campaign, grid: dict[str, np.ndarray]) -> evaluate.Campaign:
    from dataclasses import replace

    return replace(one, baselines=grid)
