import numpy as np
import pandas as pd
import pytest

from genome.errors import GenomeError, UsageError
from models import tracking
from models.promote import against_baselines, decide, leads, promote, rollback
from models.ranker import DOCUMENT


def table(pr_auc: dict[str, float], ndcg: dict[str, float], low: float = 0.01) -> dict[str, object]:
    """A comparison on validation; the candidate is `new`."""
    rows = []
    for name in pr_auc:
        row: dict[str, object] = {"ranker": name, "pr_auc": pr_auc[name], "ndcg_at_10": ndcg[name]}
        row["candidate_minus_this"] = None
        if name != "new":
            row["candidate_minus_this"] = {
                "pr_auc": {"difference": pr_auc["new"] - pr_auc[name], "low": low, "high": 0.1},
                "ndcg_at_10": {"difference": ndcg["new"] - ndcg[name], "low": -0.1, "high": 0.1},
            }
        rows.append(row)
    return {"candidate": "new", "rows": rows}


def test_a_candidate_that_surely_leads_every_baseline_passes() -> None:
    verdict = against_baselines(
        table({"own days": 0.03, "plain": 0.05, "new": 0.07}, {"own days": 0.4, "plain": 0.39, "new": 0.43})
    )
    assert verdict.passed
    assert "PR-AUC 0.0700 against 0.0500 of 'plain'" in verdict.reason
    assert "NDCG@10 0.430 against at most 0.400" in verdict.reason


def test_a_lead_that_may_be_chance_does_not_pass() -> None:
    verdict = against_baselines(table({"plain": 0.05, "new": 0.06}, {"plain": 0.39, "new": 0.43}, low=-0.001))
    assert not verdict.passed
    assert "PR-AUC 0.0600 is not surely above 0.0500 of 'plain'" in verdict.reason


def test_a_better_pr_auc_does_not_pay_for_a_worse_order() -> None:
    verdict = against_baselines(table({"plain": 0.05, "new": 0.07}, {"plain": 0.44, "new": 0.43}))
    assert not verdict.passed
    assert "NDCG@10 0.430 is below 0.440 of 'plain'" in verdict.reason


def test_two_rankers_are_compared_on_the_pairs_of_both() -> None:
    random = np.random.default_rng(2)
    rows = 3_000
    labels = random.random(rows) < 0.1
    frame = pd.DataFrame(
        {
            "customer_id": random.integers(80, size=rows).astype(str),
            "campaign_id": "1",
            "is_redeemed": labels,
            "score_champion": random.normal(size=rows) + labels,
        }
    )
    frame["score"] = frame["score_champion"] + labels
    pr_auc, ndcg = leads(frame)
    assert (pr_auc.is_better, ndcg.is_better) == (True, True)
    same, _ = leads(frame.assign(score=frame["score_champion"]))
    assert same.document() == {"difference": 0.0, "low": 0.0, "high": 0.0}


def says(monkeypatch: pytest.MonkeyPatch, passed: bool, reason: str) -> None:
    from models.promote import Verdict

    monkeypatch.setattr("models.promote.against_baselines", lambda _: Verdict(passed, reason))


def test_a_candidate_that_passes_is_champion_and_deciding_twice_changes_nothing(
    trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, True, "It leads.")
    decided = decide(trained.settings, trained.report.run_id)
    assert (decided.promoted, decided.champion.version, decided.reason) == (
        True,
        trained.report.version,
        "It leads.",
    )
    assert decided.champion.aliases == ("champion",)
    again = decide(trained.settings, trained.report.run_id)
    assert (again.promoted, again.champion.version, again.reason) == (
        False,
        trained.report.version,
        "It leads.",
    )


def test_while_nobody_has_earned_it_the_best_baseline_serves(
    trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, False, "it does not lead.")
    decided = decide(trained.settings, trained.report.run_id)
    assert decided.champion.version == trained.report.stand_in_version
    assert decided.champion.name == trained.report.document["stand_in"]
    assert decided.reason.endswith("serves for the time being: it does not lead.")
    assert decided.candidate.aliases == ("challenger",)
    assert decided.candidate.decision == "it does not lead."
    says(monkeypatch, True, "It leads.")
    later = decide(trained.settings, trained.report.run_id)
    assert later.champion.version == trained.report.version
    assert later.champion.aliases == ("champion",)
    back = rollback(trained.settings)
    assert back.champion.version == trained.report.stand_in_version


def test_a_later_candidate_that_fails_leaves_the_champion(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.train import train

    says(monkeypatch, True, "It leads.")
    decide(trained.settings, trained.report.run_id)
    second = train(trained.settings, force=True)
    says(monkeypatch, False, "it is worse.")
    decided = decide(trained.settings, second.run_id)
    assert (decided.promoted, decided.champion.version) == (False, trained.report.version)
    assert decided.reason == f"Version {trained.report.version} stays champion: it is worse."
    says(monkeypatch, True, "It leads.")
    third = decide(trained.settings, second.run_id)
    assert (third.promoted, third.champion.version) == (True, second.version)
    assert "Not worse than the last: against champion version" in third.reason
    assert "PR-AUC +0.0000 (+0.0000 to +0.0000)" in third.reason
    assert rollback(trained.settings).champion.version == trained.report.version


def test_a_person_may_decide_and_go_back(trained) -> None:
    with pytest.raises(GenomeError, match="no earlier champion"):
        rollback(trained.settings)
    first = promote(trained.settings, trained.report.stand_in_version, " the sale ")
    assert (first.promoted, first.reason) == (True, "By hand: the sale")
    promote(trained.settings, trained.report.version, "why not")
    assert not promote(trained.settings, trained.report.version, "again").promoted
    assert rollback(trained.settings).champion.version == trained.report.stand_in_version
    with pytest.raises(GenomeError, match="There is no version '99'"):
        promote(trained.settings, "99", "why not")
    with pytest.raises(UsageError, match="needs a reason"):
        promote(trained.settings, trained.report.version, " ")


def test_an_artefact_that_was_changed_is_never_crowned(trained) -> None:
    mlflow = tracking.client(trained.settings)
    one = tracking.version(mlflow, trained.report.version)
    path = tracking.local(one.source) / DOCUMENT
    path.write_text(path.read_text().replace('"blend": 0.', '"blend": 1.0, "x": 0.'))
    with pytest.raises(GenomeError, match="it was changed after it was registered"):
        promote(trained.settings, trained.report.version, "why not")
    assert tracking.by_alias(mlflow, tracking.CHAMPION) is None


def test_a_run_that_mlflow_does_not_know_is_named(trained) -> None:
    with pytest.raises(GenomeError, match="MLflow has no run 'abc'"):
        decide(trained.settings, "abc")
