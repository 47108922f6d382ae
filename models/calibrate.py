"""From a ranking score to a probability: a strictly increasing map, fitted on out-of-time predictions.

Rows are cut into blocks that hold about as many positives each; neighbours whose rates are out of order are
pooled (PAV); between the blocks' centres the log-odds run in straight lines, beyond them with one slope: 1 for a
score that is in log-odds itself, a fitted one for any other. Strictly increasing, so the ranking stays as it was; a
short list of numbers, so the artefact holds it as JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

POSITIVES = 25
"""Positives that a block holds before pooling: fewer would follow the noise."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Knots of the map from score to log-odds; both ascend strictly. Beyond them it runs on with `slope`."""

    scores: tuple[float, ...]
    log_odds: tuple[float, ...]
    slope: float = 1.0

    def __post_init__(self) -> None:
        for name in ("scores", "log_odds"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if not len(values) or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
                raise ValueError(f"calibration.{name} must be finite and ascend strictly: {values.tolist()}")
        if len(self.scores) != len(self.log_odds):
            raise ValueError(f"{len(self.scores)} scores, but {len(self.log_odds)} log-odds")
        if not 0 < self.slope < np.inf:
            raise ValueError(f"calibration.slope must be positive and finite: {self.slope}")

    def probabilities(self, scores: Floats) -> Floats:
        """The probability of each score."""
        x, y = np.asarray(self.scores), np.asarray(self.log_odds)
        inner = np.interp(scores, x, y)
        below, above = y[0] + self.slope * (scores - x[0]), y[-1] + self.slope * (scores - x[-1])
        outer = np.where(scores < x[0], below, np.where(scores > x[-1], above, inner))
        return np.asarray(1 / (1 + np.exp(-outer)), dtype=np.float64)


def fit(labels: Bools, scores: Floats, *, in_log_odds: bool = True) -> Calibration:
    """Fit on labelled scores that the scorer had not learned from.

    Args:
        labels: what happened.
        scores: what was said before.
        in_log_odds: the scores are log-odds already (a boosted ranker's), so that one more is one more.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], labels[order]
    positives = int(hits.sum())
    if not positives or positives == len(hits):
        raise ValueError(f"{positives} of {len(hits)} rows are positive: there is no rate to fit")
    blocks = max(1, positives // POSITIVES)
    # Best first; the last block takes all rows below the last positives.
    targets = (np.arange(1, blocks) * positives) // blocks
    edges = np.searchsorted(np.cumsum(hits), targets, side="left") + 1
    # Rows of one score stay in one block.
    edges = np.unique(np.searchsorted(-sorted_scores, -sorted_scores[edges - 1], side="right"))
    bounds = np.r_[0, edges[edges < len(hits)], len(hits)].astype(np.int64)
    count = np.diff(bounds).astype(np.float64)
    found = np.add.reduceat(hits.astype(np.float64), bounds[:-1])
    centre = np.add.reduceat(sorted_scores, bounds[:-1]) / count
    return _knots(centre[::-1], found[::-1], count[::-1], 1.0 if in_log_odds else _slope(labels, scores))


_FLATTEST = 1e-6
"""Of a fitted slope, for each standard deviation of the score: the map never falls."""


def _slope(labels: Bools, scores: Floats, steps: int = 30) -> float:
    """Log-odds for each unit of the score: logistic regression by Newton's method, never more than 1."""
    spread = float(scores.std())
    if not spread:
        return 1.0
    x = np.stack([np.ones(len(scores)), (scores - scores.mean()) / spread], axis=1)
    rate = labels.mean()
    beta = np.array([np.log(rate / (1 - rate)), 0.0])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-x @ beta))
        information = x.T @ (x * (p * (1 - p))[:, None]) + 1e-9 * np.eye(2)
        step = np.clip(np.linalg.solve(information, x.T @ (labels - p)), -1, 1)
        beta = beta + step
        if np.abs(step).max() < 1e-9:
            break
    return float(min(1.0, max(_FLATTEST, beta[1]) / spread))


def _knots(centre: Floats, found: Floats, count: Floats, slope: float) -> Calibration:
    """Pool adjacent violators, worst block first."""
    pooled: list[tuple[float, float, float]] = []
    for block in zip(centre * count, found, count, strict=True):
        pooled.append(block)
        while len(pooled) > 1 and _rate(pooled[-1]) <= _rate(pooled[-2]):
            one, other = pooled.pop(), pooled.pop()
            pooled.append((one[0] + other[0], one[1] + other[1], one[2] + other[2]))
    scores = [total / size for total, _, size in pooled]
    rates = [_rate(block) for block in pooled]
    return Calibration(tuple(scores), tuple(float(np.log(rate / (1 - rate))) for rate in rates), slope)


def _rate(block: Sequence[float]) -> float:
    # Half a positive more: no block is certain.
    return (block[1] + 0.5) / (block[2] + 1.0)


def quality(labels: Bools, probabilities: Floats, *, bins: int = 10) -> dict[str, Any]:
    """How far probabilities are from what happened, over bins that expect about as many positives each."""
    order = np.argsort(probabilities, kind="stable")
    p, hits = probabilities[order], labels[order].astype(np.float64)
    share = np.cumsum(p) / p.sum()
    bounds = np.unique(np.r_[0, np.searchsorted(share, np.arange(1, bins) / bins) + 1, len(p)])
    count = np.diff(bounds)
    predicted = np.add.reduceat(p, bounds[:-1])
    observed = np.add.reduceat(hits, bounds[:-1])
    return {
        "mean_probability": round(float(p.mean()), 6),
        "rate": round(float(hits.mean()), 6),
        "error": round(float(np.abs(predicted - observed).sum() / len(p)), 6),
        "bins": [
            {"pairs": int(n), "predicted": round(float(e / n), 6), "observed": round(float(o / n), 6)}
            for n, e, o in zip(count, predicted, observed, strict=True)
        ],
    }
