"""Rankers that an ML model has to beat, from what the build publishes beside the outcomes.

`random`, `popularity`, `own days` and its decayed kin are those of the published protocol (docs/model-quality.md);
`plain` is LightGBM on recency, frequency and money, made by models/train.py. `stand_in` is the best of the
simple ones as a ranker that can score: it serves while no ML model has earned to.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.data import SERVICE, Campaign
from models.features import PairFeatures
from models.ranker import Ranker

Floats = npt.NDArray[np.float64]

RANDOM = "random"
POPULARITY = "popularity, 90 days"
OWN = "own days"
OWN_H90 = "own days, half-life 90 d"
OWN_H90_POPULARITY = "own days, half-life 90 d + popularity"
PLAIN = "LightGBM, plain features"
LINEAR = "own days, half-life 90 d + sales"

SIMPLE = (RANDOM, POPULARITY, OWN, OWN_H90, OWN_H90_POPULARITY)

_TINY = 1e-6
"""Popularity only breaks ties."""


def simple(campaigns: Sequence[Campaign], *, seed: int = 0) -> dict[str, Floats]:
    """The score of every pair by each simple ranker, campaign after campaign."""

    def of(name: str) -> Floats:
        return np.concatenate([each.baselines[name].reshape(-1) for each in campaigns])

    popularity, own_h90 = of("customers_d90_count"), of("own_days_h90_sum")
    return {
        RANDOM: np.random.default_rng(seed).random(len(popularity)),
        POPULARITY: popularity,
        OWN: of("own_day_count"),
        OWN_H90: own_h90,
        OWN_H90_POPULARITY: own_h90 + _TINY * popularity,
    }


def stand_in() -> Ranker:
    """Own days with a half-life of 90 days, ties broken by how the covered products sell; not yet calibrated.

    It differs from the published protocol's only in what breaks ties: a feature that scoring has, too.
    """
    columns = ("own_days_h90", "offer_popularity_h180_sum")
    return Ranker(
        name=LINEAR,
        kind="linear",
        service=SERVICE,
        columns=PairFeatures(columns),
        weights=dict(zip(columns, (1.0, 1e-7), strict=True)),
    )
