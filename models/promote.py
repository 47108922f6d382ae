"""Who serves: decided on the held-out campaigns of the rehearsals, never on the tests.

A candidate becomes champion when, on validation, its PR-AUC is above that of every baseline with the whole
bootstrap interval of the difference, its NDCG@10 is not below any of theirs, and neither is surely worse than
the present champion's on the campaigns that both were held out from. Otherwise the champion stays; while no
candidate has ever earned it, the best baseline serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genome.errors import GenomeError, UsageError
from genome.settings import Settings
from models import tracking, train
from models.metrics import (
    Draws,
    Groups,
    Interval,
    average_precision,
    drawn_average_precision,
    drawn_ndcg,
    group_values,
    interval,
)
from models.tracking import Version

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient


@dataclass(frozen=True)
class PromotionReport:
    """What was decided.

    Attributes:
        champion: who serves now.
        candidate: who was judged.
        promoted: whether the champion is another one than before.
        reason: why, in one sentence.
    """

    champion: Version
    candidate: Version
    promoted: bool
    reason: str

    def summary(self) -> dict[str, Any]:
        """What a task returns."""
        return {
            "champion": self.champion.version,
            "ranker": self.champion.name,
            "kind": self.champion.kind,
            "run_id": self.champion.run_id,
            "candidate": self.candidate.version,
            "promoted": self.promoted,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate passed, and why."""

    passed: bool
    reason: str


def decide(settings: Settings, run_id: str) -> PromotionReport:
    """Judge the candidate of a run and set the aliases; deciding twice changes nothing.

    Raises:
        GenomeError: there is no such run, or it did not finish.
    """
    mlflow = tracking.client(settings)
    report = train.read_report(mlflow, run_id)
    candidate = tracking.version(mlflow, report.version)
    champion = tracking.by_alias(mlflow, tracking.CHAMPION)
    if champion is not None and champion.version == candidate.version:
        return PromotionReport(champion, candidate, False, champion.decision)
    verdict = against_baselines(report.document["comparisons"]["validation_redeemed"])
    # A baseline that stands in has been met in the table; it need not be met again.
    if verdict.passed and champion is not None and champion.kind == "boosted":
        verdict = _against_champion(mlflow, candidate, champion, verdict)
    if verdict.passed:
        # What cannot be loaded must not serve.
        tracking.load(settings, candidate)
        tracking.crown(mlflow, candidate, verdict.reason)
        return PromotionReport(tracking.version(mlflow, candidate.version), candidate, True, verdict.reason)
    tracking.refuse(mlflow, candidate, verdict.reason)
    candidate = tracking.version(mlflow, candidate.version)
    if champion is not None:
        reason = f"Version {champion.version} stays champion: {verdict.reason}"
        return PromotionReport(champion, candidate, False, reason)
    stand_in = tracking.version(mlflow, report.stand_in_version)
    tracking.load(settings, stand_in)
    reason = f"The baseline '{stand_in.name}' serves for the time being: {verdict.reason}"
    tracking.crown(mlflow, stand_in, reason)
    return PromotionReport(tracking.version(mlflow, stand_in.version), candidate, True, reason)


def against_baselines(comparison: Mapping[str, Any]) -> Verdict:
    """Judge a candidate by the table of all rankers on validation."""
    rows, candidate = comparison["rows"], comparison["candidate"]
    own = next(row for row in rows if row["ranker"] == candidate)
    others = [row for row in rows if row["ranker"] != candidate]
    for row in others:
        lead = row["candidate_minus_this"]
        if lead["pr_auc"]["low"] <= 0:
            return Verdict(
                False,
                f"on validation its PR-AUC {own['pr_auc']:.4f} is not surely above {row['pr_auc']:.4f} of "
                f"'{row['ranker']}' (95 % interval of the lead from {lead['pr_auc']['low']:+.4f}).",
            )
        if lead["ndcg_at_10"]["difference"] < 0:
            return Verdict(
                False,
                f"on validation its NDCG@10 {own['ndcg_at_10']:.3f} is below {row['ndcg_at_10']:.3f} of "
                f"'{row['ranker']}'.",
            )
    nearest = max(others, key=lambda row: row["pr_auc"])
    lead = nearest["candidate_minus_this"]["pr_auc"]
    return Verdict(
        True,
        f"On validation '{candidate}' leads every baseline: PR-AUC {own['pr_auc']:.4f} against "
        f"{nearest['pr_auc']:.4f} of '{nearest['ranker']}' (95 % interval of the lead {lead['low']:+.4f} to "
        f"{lead['high']:+.4f}), NDCG@10 {own['ndcg_at_10']:.3f} against at most "
        f"{max(row['ndcg_at_10'] for row in others):.3f}.",
    )


def _against_champion(
    mlflow: "MlflowClient", candidate: Version, champion: Version, verdict: Verdict
) -> Verdict:
    """Both were rehearsed: their out-of-time scores of the same pairs are compared."""
    new, old = _held_out(mlflow, candidate), _held_out(mlflow, champion)
    keys = ["campaign_id", "customer_id", "offer_id"]
    both = new.merge(old[[*keys, "score"]], on=keys, suffixes=("", "_champion"), validate="one_to_one")
    if not both["is_redeemed"].any():
        return Verdict(
            True,
            f"{verdict.reason} Version {champion.version} was rehearsed on other campaigns: no comparison.",
        )
    pr_auc, ndcg = leads(both)
    said = (
        f"against champion version {champion.version} PR-AUC {pr_auc.difference:+.4f} "
        f"({pr_auc.low:+.4f} to {pr_auc.high:+.4f}), NDCG@10 {ndcg.difference:+.3f} "
        f"({ndcg.low:+.3f} to {ndcg.high:+.3f}) on {both['campaign_id'].nunique()} campaigns"
    )
    if pr_auc.high < 0 or ndcg.high < 0:
        return Verdict(False, f"on validation it is surely worse: {said}.")
    return Verdict(True, f"{verdict.reason} Not worse than the last: {said}.")


def leads(both: "pd.DataFrame") -> tuple[Interval, Interval]:
    """The lead of `score` over `score_champion` in PR-AUC and NDCG@10."""
    groups = Groups.of(both["customer_id"].astype(str), both["campaign_id"].astype(str))
    labels = both["is_redeemed"].to_numpy(dtype=bool)
    draws = Draws.of(int(groups.customer.max()) + 1)
    new, old = (both[name].to_numpy(dtype=np.float64) for name in ("score", "score_champion"))
    values = [group_values(labels, scores, groups) for scores in (new, old)]
    return (
        interval(
            drawn_average_precision(labels, new, groups, draws),
            drawn_average_precision(labels, old, groups, draws),
            average_precision(labels, new) - average_precision(labels, old),
        ),
        interval(
            drawn_ndcg(values[0], groups, draws),
            drawn_ndcg(values[1], groups, draws),
            float(values[0].ndcg.mean() - values[1].ndcg.mean()),
        ),
    )


def _held_out(mlflow: "MlflowClient", one: Version) -> "pd.DataFrame":
    import pyarrow.parquet as pq

    path = tracking.run_folder(mlflow, one.run_id) / train.VALIDATION
    if not path.is_file():
        raise GenomeError(
            f"Run {one.run_id} has no {train.VALIDATION}.", "Train anew: `genome train --force`."
        )
    column = tracking.local(one.source).name
    table = pq.read_table(path, columns=["campaign_id", "customer_id", "offer_id", "is_redeemed", column])
    frame: pd.DataFrame = table.to_pandas().rename(columns={column: "score"})
    return frame


# By hand


def promote(settings: Settings, number: str, reason: str) -> PromotionReport:
    """Make a version champion because a person says so; the reason is kept with it.

    Raises:
        GenomeError: there is no such version, or its artefact is not what was registered.
    """
    if not reason.strip():
        raise UsageError("A promotion by hand needs a reason.", "Say it with --reason.")
    mlflow = tracking.client(settings)
    one = tracking.version(mlflow, number)
    if tracking.CHAMPION in one.aliases:
        return PromotionReport(one, one, False, f"Version {number} is champion already.")
    tracking.load(settings, one)
    reason = f"By hand: {reason.strip()}"
    tracking.crown(mlflow, one, reason)
    return PromotionReport(tracking.version(mlflow, number), one, True, reason)


def rollback(settings: Settings) -> PromotionReport:
    """Give the alias back to who was champion before.

    Raises:
        GenomeError: there is no champion, or none before.
    """
    mlflow = tracking.client(settings)
    champion = tracking.by_alias(mlflow, tracking.CHAMPION)
    before = tracking.previous(mlflow, champion) if champion else None
    if champion is None or before is None:
        raise GenomeError(
            "There is no earlier champion to go back to.", "`genome models list` shows the versions."
        )
    tracking.load(settings, before)
    tracking.restore(mlflow, champion, before)
    reason = f"Rolled back from version {champion.version}."
    return PromotionReport(tracking.version(mlflow, before.version), champion, True, reason)
