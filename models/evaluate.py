"""How rankers did on some campaigns: their figures, the differences to a candidate, and how sure these are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.data import Campaign
from models.metrics import (
    Draws,
    Groups,
    Interval,
    Measures,
    drawn_average_precision,
    drawn_ndcg,
    group_values,
    interval,
    measure,
)

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TIE_SEEDS = (0, 1, 2, 3)
"""Figures are means over so many ways to break ties: simple rankers know nothing of most pairs."""

PUBLISHED: Mapping[tuple[str, int, int], Mapping[str, Mapping[str, float]]] = {
    # label, pairs, positives -> ranker -> figure: completejourney, campaigns 16 to 19.
    ("redeemed", 244_509, 761): {
        "random": {"auc": 0.503, "pr_auc": 0.003, "ndcg_at_10": 0.104, "recall_at_10": 0.183},
        "popularity, 90 days": {"auc": 0.793, "pr_auc": 0.015, "ndcg_at_10": 0.320, "recall_at_10": 0.506},
        "own days": {"auc": 0.863, "pr_auc": 0.034, "ndcg_at_10": 0.461, "recall_at_10": 0.633},
        "own days, half-life 90 d": {
            "auc": 0.863,
            "pr_auc": 0.036,
            "ndcg_at_10": 0.468,
            "recall_at_10": 0.633,
        },
        "own days, half-life 90 d + popularity": {
            "auc": 0.887,
            "pr_auc": 0.037,
            "ndcg_at_10": 0.473,
            "recall_at_10": 0.644,
        },
        "LightGBM, plain features": {
            "auc": 0.944,
            "pr_auc": 0.111,
            "ndcg_at_10": 0.474,
            "recall_at_10": 0.659,
        },
    },
    ("bought", 244_509, 13_857): {
        "popularity, 90 days": {"auc": 0.880, "pr_auc": 0.533, "ndcg_at_10": 0.734, "recall_at_10": 0.625},
        "own days": {"auc": 0.857, "pr_auc": 0.604, "ndcg_at_10": 0.802, "recall_at_10": 0.671},
        "own days, half-life 90 d + popularity": {
            "auc": 0.916,
            "pr_auc": 0.660,
            "ndcg_at_10": 0.811,
            "recall_at_10": 0.678,
        },
        "LightGBM, plain features": {
            "auc": 0.923,
            "pr_auc": 0.673,
            "ndcg_at_10": 0.814,
            "recall_at_10": 0.682,
        },
    },
}
"""Figures of an independent script on the demo's data, shown beside ours where the pairs are the same."""


@dataclass(frozen=True)
class Row:
    """One ranker on one label of one split.

    Attributes:
        ranker: its name.
        measures: its figures.
        pr_auc: the candidate's PR-AUC minus this one's; None for the candidate itself.
        ndcg: the same of NDCG@10.
        published: what an independent script found for the same ranker and pairs.
    """

    ranker: str
    measures: Measures
    pr_auc: Interval | None = None
    ndcg: Interval | None = None
    published: Mapping[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "ranker": self.ranker,
            **self.measures.document(4),
            "candidate_minus_this": None
            if self.pr_auc is None or self.ndcg is None
            else {"pr_auc": self.pr_auc.document(), "ndcg_at_10": self.ndcg.document()},
            "published": dict(self.published),
        }


@dataclass(frozen=True)
class Comparison:
    """All rankers on one label of one split; the candidate comes last."""

    label: str
    pairs: int
    positives: int
    groups: int
    candidate: str
    rows: tuple[Row, ...]

    def row(self, ranker: str) -> Row:
        """One ranker's row."""
        return next(row for row in self.rows if row.ranker == ranker)

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "label": self.label,
            "pairs": self.pairs,
            "positives": self.positives,
            "groups_with_a_positive": self.groups,
            "candidate": self.candidate,
            "rows": [row.document() for row in self.rows],
        }


def pairs_of(campaigns: Sequence[Campaign]) -> Groups:
    """Groups of all pairs of some campaigns, campaign after campaign."""
    customers = [np.repeat(each.customers, len(each.offers)) for each in campaigns]
    names = [np.full(each.redeemed.size, each.campaign_id) for each in campaigns]
    return Groups.of(np.concatenate(customers), np.concatenate(names))


def labels_of(campaigns: Sequence[Campaign], label: str) -> Bools:
    """`redeemed` or `bought` of all pairs, in the same order."""
    return np.concatenate([getattr(each, label).reshape(-1) for each in campaigns])


def compare(
    label: str,
    labels: Bools,
    groups: Groups,
    rankers: Mapping[str, Floats],
    candidate: str,
    draws: Draws,
    rivals: Sequence[str] | None = None,
) -> Comparison:
    """Measure every ranker, and the candidate against each other one.

    Args:
        label: the name of the label.
        labels: for each pair, whether it is positive.
        groups: which pairs compete.
        rankers: name -> the score of each pair.
        candidate: the one that the others are compared with.
        draws: of customers; the same for all, so that differences are paired.
        rivals: whom an interval is made for; None: all.
    """
    published = PUBLISHED.get((label, len(labels), int(labels.sum())), {})
    rivals = [name for name in rankers if name != candidate] if rivals is None else rivals
    drawn = {
        name: (
            drawn_average_precision(labels, rankers[name], groups, draws),
            drawn_ndcg(group_values(labels, rankers[name], groups), groups, draws),
        )
        for name in (*rivals, candidate)
    }
    measures = {name: measure(labels, scores, groups, seeds=TIE_SEEDS) for name, scores in rankers.items()}
    best = measures[candidate]
    rows = []
    for name in [*(name for name in rankers if name != candidate), candidate]:
        own = measures[name]
        rows.append(
            Row(
                ranker=name,
                measures=own,
                pr_auc=None
                if name not in rivals
                else interval(drawn[candidate][0], drawn[name][0], best.pr_auc - own.pr_auc),
                ndcg=None
                if name not in rivals
                else interval(drawn[candidate][1], drawn[name][1], best.ndcg_at_10 - own.ndcg_at_10),
                published=published.get(name, {}),
            )
        )
    return Comparison(
        label=label,
        pairs=len(labels),
        positives=int(labels.sum()),
        groups=len(group_values(labels, rankers[candidate], groups).groups),
        candidate=candidate,
        rows=tuple(rows),
    )
