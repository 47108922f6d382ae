import numpy as np
import pytest

from models import calibrate
from models.calibrate import Calibration


def world(rows: int = 60_000, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores whose true log-odds are 2 · score − 5."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=rows)
    truth = 1 / (1 + np.exp(5 - 2 * scores))
    return random.random(rows) < truth, scores, truth


def test_probabilities_are_near_the_truth_that_made_the_labels() -> None:
    labels, scores, truth = world()
    found = calibrate.fit(labels, scores).probabilities(scores)
    assert found.mean() == pytest.approx(labels.mean(), rel=0.1)
    top = scores > np.quantile(scores, 0.9)
    assert found[top].mean() == pytest.approx(truth[top].mean(), rel=0.1)


def test_the_map_never_changes_an_order() -> None:
    labels, scores, _ = world()
    fitted = calibrate.fit(labels, scores)
    everywhere = np.linspace(-30, 30, 5_000)
    assert (np.diff(fitted.probabilities(everywhere)[1500:3500]) > 0).all()
    assert (np.argsort(fitted.probabilities(scores)) == np.argsort(scores)).all()
    assert ((fitted.probabilities(everywhere) >= 0) & (fitted.probabilities(everywhere) <= 1)).all()


def test_rates_out_of_order_are_pooled() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(size=20_000)
    labels = random.random(20_000) < 0.1
    fitted = calibrate.fit(labels, scores)
    assert len(fitted.scores) < 20
    assert (np.diff(fitted.log_odds) > 0).all()
    assert fitted.probabilities(scores).mean() == pytest.approx(0.1, rel=0.1)


def test_a_score_that_many_share_is_not_cut_in_two() -> None:
    scores = np.repeat([0.0, 1.0, 2.0], 1_000)
    labels = np.zeros(3_000, dtype=bool)
    labels[[*range(0, 1_000, 100), *range(1_000, 2_000, 20), *range(2_000, 3_000, 4)]] = True
    fitted = calibrate.fit(labels, scores)
    assert fitted.scores == (0.0, 1.0, 2.0)
    assert fitted.probabilities(np.array([0.0, 1.0, 2.0])) == pytest.approx([0.01, 0.05, 0.25], rel=0.06)


def test_beyond_the_knots_log_odds_run_on_with_slope_one() -> None:
    fitted = Calibration((0.0, 1.0), (-4.0, -1.0))
    p = fitted.probabilities(np.array([-1.0, 0.0, 0.5, 1.0, 3.0]))
    assert np.log(p / (1 - p)) == pytest.approx([-5.0, -4.0, -2.5, -1.0, 1.0])


def test_a_score_in_other_units_than_log_odds_runs_on_as_steeply_as_it_did() -> None:
    labels, scores, _ = world()
    # Days, of which ten mean what one of the score meant: log-odds rise by 0.2 for each.
    fitted = calibrate.fit(labels, 10 * scores, in_log_odds=False)
    assert fitted.slope == pytest.approx(0.2, rel=0.05)
    assert calibrate.fit(labels, 10 * scores).slope == 1.0
    beyond = fitted.probabilities(np.array([fitted.scores[-1] + 10.0]))
    assert np.log(beyond / (1 - beyond)) == pytest.approx([fitted.log_odds[-1] + 10 * fitted.slope])
    # What says nothing of the label promises nothing beyond what was seen.
    noise = np.random.default_rng(9).normal(size=len(labels)) * 100
    far = calibrate.fit(labels, noise, in_log_odds=False).probabilities(np.array([1_000.0]))
    assert far == pytest.approx([labels.mean()], rel=0.5)


@pytest.mark.parametrize(
    ("scores", "log_odds"),
    [((1.0, 0.0), (0.0, 1.0)), ((0.0, 1.0), (1.0, 1.0)), ((), ()), ((0.0, float("nan")), (0.0, 1.0))],
)
def test_knots_that_do_not_ascend_are_refused(scores: tuple[float, ...], log_odds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must be finite and ascend strictly"):
        Calibration(scores, log_odds)


@pytest.mark.parametrize("positive", [True, False])
def test_labels_that_are_all_alike_have_no_rate_to_fit(positive: bool) -> None:
    with pytest.raises(ValueError, match="no rate to fit"):
        calibrate.fit(np.full(10, positive), np.arange(10.0))


def test_quality_says_what_was_promised_and_what_came_true() -> None:
    labels, _, truth = world()
    honest = calibrate.quality(labels, truth)
    assert honest["mean_probability"] == pytest.approx(honest["rate"], rel=0.05)
    assert sum(each["pairs"] for each in honest["bins"]) == len(labels)
    boastful = calibrate.quality(labels, np.minimum(3 * truth, 1.0))
    assert boastful["error"] > 5 * honest["error"]
