"""How good a ranking is, and how sure we are of it (docs/model-quality.md says which protocol).

Ranking metrics are means over groups (one customer in one campaign) that hold at least one positive; AUC and
PR-AUC pool all rows. Ties are broken by a seeded random permutation, so that the order of rows earns nothing.
Intervals come from a bootstrap over customers: their groups and rows stay together, as they depend on each
other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

AT = 10
"""The depth of NDCG, recall and hits."""

DRAWS = 2_000
"""Bootstrap draws."""

_CELLS = 4_000_000
"""Cells of the dense positives × draws block held at once."""


@dataclass(frozen=True, slots=True)
class Measures:
    """A ranking's figures on one label over some campaigns."""

    auc: float
    pr_auc: float
    ndcg_at_10: float
    recall_at_10: float
    hit_at_10: float
    mrr: float

    def document(self, digits: int | None = None) -> dict[str, float]:
        """As JSON and MLflow hold it."""
        values = {name: float(getattr(self, name)) for name in self.__slots__}
        return values if digits is None else {name: round(value, digits) for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference between two rankings and its 95 % bootstrap interval."""

    difference: float
    low: float
    high: float

    @property
    def is_better(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    def document(self) -> dict[str, float]:
        """As JSON holds it."""
        return {
            "difference": round(self.difference, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


@dataclass(frozen=True, slots=True)
class Groups:
    """Which rows compete with each other, and whose they are.

    Attributes:
        group: for each row, its group; 0 … count − 1.
        customer: for each row, its customer; 0 … customers − 1.
        owner: for each group, its customer.
    """

    group: Ints
    customer: Ints
    owner: Ints

    @classmethod
    def of(cls, customers: npt.ArrayLike, campaigns: npt.ArrayLike) -> "Groups":
        """Groups of rows by customer and campaign."""
        _, customer = np.unique(np.asarray(customers), return_inverse=True)
        names, campaign = np.unique(np.asarray(campaigns), return_inverse=True)
        pairs = customer.astype(np.int64) * len(names) + campaign
        found, group = np.unique(pairs, return_inverse=True)
        return cls(group.astype(np.int64), customer.astype(np.int64), found // max(1, len(names)))


@dataclass(frozen=True, slots=True)
class GroupValues:
    """A metric of each group that has a positive."""

    groups: Ints
    ndcg: Floats
    recall: Floats
    hit: Floats
    reciprocal_rank: Floats


def group_values(labels: Bools, scores: Floats, groups: Groups, *, seed: int = 0) -> GroupValues:
    """NDCG, recall, hit and reciprocal rank of each group with a positive."""
    if not labels.any():
        empty = np.empty(0)
        return GroupValues(np.empty(0, np.int64), empty, empty, empty, empty)
    # Groups without a positive say nothing here: leave them out before sorting.
    rows = np.flatnonzero((np.bincount(groups.group, labels) > 0)[groups.group])
    shuffled = np.random.default_rng(seed).permutation(rows)
    order = shuffled[np.lexsort((-scores[shuffled], groups.group[shuffled]))]
    relevant, group = labels[order], groups.group[order]
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    rank = np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
    top = relevant & (rank < AT)
    positives = np.add.reduceat(relevant.astype(np.int64), starts)
    gain = np.add.reduceat(np.where(top, 1 / np.log2(rank + 2.0), 0.0), starts)
    hits = np.add.reduceat(top.astype(np.int64), starts)
    first = np.maximum.reduceat(np.where(relevant, 1 / (rank + 1.0), 0.0), starts)
    ideal = np.r_[0.0, np.cumsum(1 / np.log2(np.arange(AT) + 2.0))]
    some = positives > 0
    return GroupValues(
        groups=group[starts][some],
        ndcg=gain[some] / ideal[np.minimum(AT, positives[some])],
        recall=hits[some] / positives[some],
        hit=(hits[some] > 0).astype(np.float64),
        reciprocal_rank=first[some],
    )


def measure(labels: Bools, scores: Floats, groups: Groups, *, seeds: Sequence[int] = (0,)) -> Measures:
    """Every figure of one ranking; `nan` where no row, or every row, is positive.

    Args:
        labels: for each row, whether it is positive.
        scores: for each row, higher is better.
        groups: which rows compete.
        seeds: ways to break ties; ranking figures are means over them (rankers that know little tie a lot).
    """
    if len(np.unique(scores)) == len(scores):
        seeds = seeds[:1]
    values = [group_values(labels, scores, groups, seed=seed) for seed in seeds]
    both = labels.any() and not labels.all()

    def mean(name: str) -> float:
        found = np.concatenate([getattr(each, name) for each in values])
        return float(found.mean()) if len(found) else float("nan")

    return Measures(
        auc=_auc(labels, scores) if both else float("nan"),
        pr_auc=average_precision(labels, scores) if labels.any() else float("nan"),
        ndcg_at_10=mean("ndcg"),
        recall_at_10=mean("recall"),
        hit_at_10=mean("hit"),
        mrr=mean("reciprocal_rank"),
    )


def _auc(labels: Bools, scores: Floats) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(labels: Bools, scores: Floats) -> float:
    """Area under precision over recall; rows of one score enter together."""
    order, ends = _positives_in_order(labels, scores)
    found = np.searchsorted(ends, ends, side="right")  # positives down to the end of one's block of ties
    return float((found / (ends + 1)).mean()) if len(order) else float("nan")


def _positives_in_order(labels: Bools, scores: Floats) -> tuple[Ints, Ints]:
    """Rows of positives, best score first, and the last place (from 0) that shares each one's score."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    places = np.flatnonzero(labels[order])
    ends = np.searchsorted(-sorted_scores, -sorted_scores[places], side="right") - 1
    return order[places].astype(np.int64), ends.astype(np.int64)


# How sure: a bootstrap over customers


@dataclass(frozen=True, slots=True)
class Draws:
    """How often each customer was drawn, in each of many draws; shared by all comparisons of a report."""

    weights: npt.NDArray[np.float32]

    @classmethod
    def of(cls, customers: int, *, draws: int = DRAWS, seed: int = 1) -> "Draws":
        """Draw as many customers as there are, with replacement, many times."""
        chance = np.full(customers, 1 / max(1, customers))
        weights = np.random.default_rng(seed).multinomial(customers, chance, size=draws)
        return cls(weights.astype(np.float32))


def drawn_ndcg(values: GroupValues, groups: Groups, draws: Draws) -> Floats:
    """NDCG@10 in each draw."""
    customers = draws.weights.shape[1]
    owner = groups.owner[values.groups]
    total = np.bincount(owner, values.ndcg, minlength=customers)
    count = np.bincount(owner, minlength=customers)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((draws.weights @ total) / (draws.weights @ count), dtype=np.float64)


def drawn_average_precision(labels: Bools, scores: Floats, groups: Groups, draws: Draws) -> Floats:
    """PR-AUC in each draw.

    Precision is needed at positives only. Between two of them, only how many rows each customer has matters,
    and that is the same in every draw: one sparse product gives the weights of all draws.
    """
    from scipy import sparse

    customers = draws.weights.shape[1]
    drawn = np.ascontiguousarray(draws.weights.T)
    positive_rows, ends = _positives_in_order(labels, scores)
    if not len(ends):
        return np.full(drawn.shape[1], np.nan)
    owners = groups.customer[np.argsort(-scores, kind="stable")[: ends[-1] + 1]]
    blocks, block = np.unique(ends, return_inverse=True)
    segment = np.searchsorted(blocks, np.arange(len(owners)))
    own = groups.customer[positive_rows]
    shape = (len(blocks), customers)
    rows = sparse.csr_array((np.ones(len(owners), np.float32), (segment, owners)), shape=shape)
    hits = sparse.csr_array((np.ones(len(own), np.float32), (block, own)), shape=shape)
    precision_sum = np.zeros(drawn.shape[1])
    rows_above = np.zeros(drawn.shape[1])
    hits_above = np.zeros(drawn.shape[1])
    step = max(1, _CELLS // drawn.shape[1])
    for first in range(0, len(blocks), step):
        new_hits = np.asarray(hits[first : first + step] @ drawn, dtype=np.float64)
        row_sums = np.cumsum(rows[first : first + step] @ drawn, axis=0, dtype=np.float64) + rows_above
        hit_sums = np.cumsum(new_hits, axis=0) + hits_above
        precision = np.divide(hit_sums, row_sums, out=np.zeros_like(row_sums), where=row_sums > 0)
        precision_sum += (new_hits * precision).sum(axis=0)
        rows_above, hits_above = row_sums[-1], hit_sums[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(precision_sum / hits_above, dtype=np.float64)


def interval(one: Floats, other: Floats, difference: float) -> Interval:
    """The interval of a difference from the two rankings' figures in the same draws."""
    spread: Any = np.nanquantile(one - other, [0.025, 0.975]) if len(one) else [np.nan, np.nan]
    return Interval(difference, float(spread[0]), float(spread[1]))
