"""The learners: one that says who redeems, one that says which offer.

A pool of all pairs is taught mostly by *who*: some customers redeem, most never do. Among the candidates of one
customer those differences are the same for all, so a second learner sees only groups in which something was
redeemed and no column about the customer alone. `models/ranker.py` blends the two
(docs/adr/two-learners.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models import features
from models.data import Campaign
from models.features import PairFeatures, Rectangle
from models.ranker import lightgbm

if TYPE_CHECKING:
    from lightgbm import Booster

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Learner:
    """One LightGBM learner.

    Attributes:
        columns: what it is told.
        label: `redeemed` or `bought`.
        responders_only: learn only from groups with a redemption.
        rounds: trees.
        seeds: how many boosters are averaged.
        parameters: of LightGBM.
    """

    columns: tuple[str, ...]
    label: str
    responders_only: bool
    rounds: int
    seeds: int
    parameters: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """As MLflow holds it."""
        return {**asdict(self), "columns": len(self.columns), "parameters": dict(self.parameters)}


_COMMON: Mapping[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 63,
    "verbosity": -1,
    "deterministic": True,
    "force_col_wise": True,
}


@dataclass(frozen=True)
class Recipe:
    """Everything that was chosen, on the validation window."""

    who: Learner
    which: Learner
    bought: Learner
    plain: Learner
    plain_bought: Learner
    blend: float = 0.7
    other_groups: float = 0.15
    sample_seed: int = 0

    @property
    def columns(self) -> PairFeatures:
        """Every column that any learner reads."""
        learners = (self.who, self.which, self.bought, self.plain, self.plain_bought)
        return PairFeatures(tuple(dict.fromkeys(name for each in learners for name in each.columns)))

    def document(self) -> dict[str, Any]:
        """As MLflow holds it."""
        return {
            "blend": self.blend,
            "other_groups": self.other_groups,
            "who": self.who.document(),
            "which": self.which.document(),
            "bought": self.bought.document(),
            "plain": self.plain.document(),
            "plain_bought": self.plain_bought.document(),
        }


def default_recipe() -> Recipe:
    """The recipe in use."""
    common, plain = _COMMON, {**_COMMON, "min_data_in_leaf": 100}
    return Recipe(
        who=Learner(features.WHO, "redeemed", False, 120, 2, {**common, "min_data_in_leaf": 300}),
        which=Learner(
            features.WHICH, "redeemed", True, 150, 2, {**common, "num_leaves": 7, "min_data_in_leaf": 50}
        ),
        bought=Learner(
            features.WHO, "bought", False, 150, 1, {**common, "num_leaves": 31, "min_data_in_leaf": 100}
        ),
        plain=Learner(features.PLAIN, "redeemed", False, 120, 1, plain),
        plain_bought=Learner(features.PLAIN, "bought", False, 120, 1, plain),
    )


@dataclass(frozen=True)
class Sample:
    """Rows to learn from: every row of groups with a redemption, some of the others with more weight.

    Attributes:
        matrix: rows × columns.
        labels: for each label, whether the row is positive.
        weight: how many rows each stands for.
        responds: whether its group holds a redemption.
    """

    matrix: Matrix
    labels: Mapping[str, Bools]
    weight: Floats
    responds: Bools

    def __len__(self) -> int:
        return len(self.weight)


def sample(rectangle: Rectangle, campaign: Campaign, recipe: Recipe, matrix: Matrix | None = None) -> Sample:
    """Draw a campaign's rows; the same rows each time, whatever other campaigns there are."""
    customers, offers = campaign.shape
    responds = np.repeat(campaign.redeemed.any(axis=1), offers)
    # The campaign's own name seeds it, so that a campaign more or less changes no other's rows.
    seed = [recipe.sample_seed, *campaign.campaign_id.encode()]
    drawn = np.random.default_rng(seed).random(customers * offers) < recipe.other_groups
    rows = np.flatnonzero(responds | drawn)
    return Sample(
        matrix=recipe.columns.matrix(rectangle, rows) if matrix is None else matrix[rows],
        labels={"redeemed": campaign.redeemed.reshape(-1)[rows], "bought": campaign.bought.reshape(-1)[rows]},
        weight=np.where(responds[rows], 1.0, 1 / recipe.other_groups),
        responds=responds[rows],
    )


def together(samples: Sequence[Sample]) -> Sample:
    """Samples of several campaigns as one."""
    return Sample(
        matrix=np.concatenate([each.matrix for each in samples]),
        labels={name: np.concatenate([each.labels[name] for each in samples]) for name in samples[0].labels},
        weight=np.concatenate([each.weight for each in samples]),
        responds=np.concatenate([each.responds for each in samples]),
    )


def fit(rows: Sample, learner: Learner, names: Sequence[str], threads: int) -> "list[Booster]":
    """Teach one learner; `names` are the sample's columns."""
    package = lightgbm()
    places = np.array([names.index(name) for name in learner.columns])
    some = np.flatnonzero(rows.responds) if learner.responders_only else np.arange(len(rows))
    data = package.Dataset(
        rows.matrix[np.ix_(some, places)],
        rows.labels[learner.label][some].astype(np.float32),
        # Purchases are as frequent among those who redeem nothing: their rows need no more weight.
        weight=None if learner.responders_only or learner.label == "bought" else rows.weight[some],
        feature_name=list(learner.columns),
        free_raw_data=False,
        params={"max_bin": learner.parameters["max_bin"], "verbosity": -1},
    )
    return [
        package.train({**learner.parameters, "seed": seed, "num_threads": threads}, data, learner.rounds)
        for seed in range(learner.seeds)
    ]
