"""One training, from published features to a registered version.

    rehearse on the folds ─► calibrate, compare on what was held out ─► learn from all before the tests
        ─► report the tests ─► MLflow: run, artefact, version

Nothing is decided here: `models/promote.py` does, on the validation figures alone.
"""

import hashlib
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from genome import clock
from genome.errors import GenomeError
from genome.lake.publish import Publication
from genome.settings import PROJECT_ROOT, Settings
from models import baselines, calibrate, data, evaluate, learn, plots, ranker, tracking
from models.data import Campaign, Split
from models.features import PairFeatures
from models.learn import Recipe, Sample
from models.metrics import Draws, average_precision
from models.ranker import Ranker

if TYPE_CHECKING:
    from mlflow import MlflowClient

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

CANDIDATE = "next best offer"
"""The candidate's name in every table."""

REPORT = "report.json"
VALIDATION = "validation.parquet"
ARTEFACT = "ranker"
STAND_IN = "stand_in"

_READ = (
    "feat_customer_traits",
    "feat_customer_genome",
    "feat_customer_purchases",
    "feat_offer_dna",
    "fct_offer_outcomes",
    "fct_offer_baselines",
    "dim_offers",
    "dim_genes",
)
"""The published tables that training reads: their hashes are the data's version."""


@dataclass(frozen=True)
class TrainReport:
    """What a training came to.

    Attributes:
        run_id: in MLflow.
        version: of the registered model: the candidate.
        stand_in_version: of the best baseline, which serves if no candidate earns to.
        skipped: nothing had changed, so this is an earlier run.
        document: figures, splits and provenance, as `report.json` holds them.
        seconds: how long it took.
    """

    run_id: str
    version: str
    stand_in_version: str
    skipped: bool
    document: Mapping[str, Any] = field(repr=False)
    seconds: float

    def summary(self) -> dict[str, Any]:
        """What a task returns: a table for each label and split, and where the rest is."""
        figures = {}
        for name, comparison in self.document["comparisons"].items():
            figures[_title(name, self.document["split"])] = [
                {
                    "ranker": row["ranker"],
                    **{key: row[key] for key in ("auc", "pr_auc", "ndcg_at_10", "recall_at_10")},
                    "published": row["published"] or None,
                    "candidate_minus_this": row["candidate_minus_this"],
                }
                for row in comparison["rows"]
            ]
        return {
            "run_id": self.run_id,
            "version": self.version,
            "stand_in_version": self.stand_in_version,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 1),
            "peak_rss_mb": self.document["peak_rss_mb"],
            "feature_hash": self.document["feature_hash"],
            "rows": self.document["rows"],
            "calibration": self.document["calibration"],
            "figures": figures,
        }


def _title(name: str, split: Mapping[str, Any]) -> str:
    part, label = name.split("_", 1)
    folds = split["folds"] if label == "redeemed" else split["folds"][:1]
    ids = [each for fold in folds for each in fold["held_out"]] if part == "validation" else split["test"]
    return f"{label}, {part} (campaigns {', '.join(ids)})"


def train(settings: Settings, *, force: bool = False, recipe: Recipe | None = None) -> TrainReport:
    """Train, evaluate, log and register; where data, code and parameters are those of an earlier run, return it.

    Args:
        settings: where things are.
        force: train in any case.
        recipe: in place of the one in use.

    Raises:
        GenomeError: nothing is published, or there are too few campaigns with a known outcome.
    """
    began = time.monotonic()
    recipe = recipe or learn.default_recipe()
    published = data.publication(settings)
    fingerprint = training_fingerprint(settings, published, recipe)
    mlflow = tracking.client(settings)
    experiment = tracking.experiment_id(settings, mlflow)
    earlier = None if force else tracking.finished_run(mlflow, experiment, fingerprint)
    if earlier is not None:
        return replace(read_report(mlflow, earlier), skipped=True, seconds=time.monotonic() - began)
    found = data.campaigns(published)
    split = data.split(found, data.first_order_at(published), _timestamp(settings), data.Windows.of(settings))
    prepared = _prepare(settings, published, split, recipe)
    outcome = _learn(settings, split, prepared, recipe)
    outcome.document.update(
        {
            "fingerprint": fingerprint,
            "split": split.document(),
            "feature_hash": outcome.candidate.columns.hash,
            "service": data.SERVICE,
            "epoch": published.epoch,
            "recipe": recipe.document(),
            "trained_until": str(max(each.ends_at for each in split.train)),
        }
    )
    return _log(settings, mlflow, experiment, published, split, outcome, began)


def training_fingerprint(settings: Settings, published: Publication, recipe: Recipe) -> str:
    """A hash of everything that a training's outcome depends on."""
    from importlib.metadata import version

    parts = {
        "tables": {name: published.table(name).sha256 for name in _READ},
        "code": _code_hash(),
        "recipe": recipe.document(),
        "columns": recipe.columns.hash,
        "now": clock.now(settings).date().isoformat(),
        "windows": asdict(data.Windows.of(settings)),
        "lightgbm": version("lightgbm"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


_CODE = ("baselines", "calibrate", "data", "evaluate", "features", "learn", "metrics", "ranker", "train")
"""The modules on which figures and artefacts depend, beside `genome/match.py`."""


def _code_hash() -> str:
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in [*(folder / f"{name}.py" for name in _CODE), PROJECT_ROOT / "genome" / "match.py"]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _timestamp(settings: Settings) -> Any:
    import pandas as pd

    return pd.Timestamp(clock.now(settings))


# Preparing: every rectangle is described once


@dataclass(frozen=True)
class _Prepared:
    """Columns of each campaign: rows to learn from, and all pairs of those to evaluate."""

    columns: PairFeatures
    samples: Mapping[str, Sample]
    whole: Mapping[str, Matrix]


def _prepare(settings: Settings, published: Publication, split: Split, recipe: Recipe) -> _Prepared:
    held_out = {each.campaign_id for each in (*split.validation, *split.test)}
    teaching = {each.campaign_id for each in split.train}
    wanted = {each.campaign_id: each for each in (*split.train, *split.test)}
    samples: dict[str, Sample] = {}
    whole: dict[str, Matrix] = {}
    for one in data.labelled(settings, published, list(wanted.values())):
        name = one.campaign.campaign_id
        if name in held_out:
            whole[name] = recipe.columns.matrix(one.rectangle)
        if name in teaching:
            samples[name] = learn.sample(one.rectangle, one.campaign, recipe, whole.get(name))
    return _Prepared(recipe.columns, samples, whole)


# Learning


@dataclass
class _Outcome:
    candidate: Ranker
    stand_in: Ranker
    bought: "list[Any]"
    validation: Mapping[str, Floats]
    test: Mapping[str, Floats]
    document: dict[str, Any]


def _learn(settings: Settings, split: Split, prepared: _Prepared, recipe: Recipe) -> _Outcome:
    threads, names = settings.threads, prepared.columns.names
    held: list[dict[str, Floats]] = []
    for number, fold in enumerate(split.folds):
        rows = learn.together([prepared.samples[each.campaign_id] for each in fold.train])
        # Purchases are rehearsed on the latest fold alone: nothing is decided by them.
        fitted = _fit(rows, recipe, names, threads, purchases=number == 0)
        held.append(_predict(fitted, fold.held_out, prepared, threads))
    validation = {name: np.concatenate([each[name] for each in held]) for name in held[-1]}
    rows = learn.together([prepared.samples[each.campaign_id] for each in split.train])
    final = _fit(rows, recipe, names, threads)
    test = _predict(final, split.test, prepared, threads) if split.test else {}

    comparisons = _compare("validation", "redeemed", split.validation, validation)
    comparisons |= _compare("validation", "bought", split.folds[0].held_out, held[0])
    for label in ("redeemed", "bought"):
        comparisons |= _compare("test", label, split.test, test)
    # The latest rehearsal is the nearest to the release: it learned from the most.
    latest = evaluate.labels_of(split.folds[0].held_out, "redeemed")
    calibrations = {
        name: calibrate.fit(latest, held[0][name], in_log_odds=final[name].kind == "boosted")
        for name in _CAN_SERVE
    }
    redeemed = evaluate.labels_of(split.validation, "redeemed")
    best = max(
        (baselines.LINEAR, baselines.PLAIN),
        key=lambda name: average_precision(redeemed, validation[name]),
    )
    candidate, stand_in = (replace(final[name], calibration=calibrations[name]) for name in (CANDIDATE, best))
    to_probability = calibrations[CANDIDATE].probabilities
    quality = {"validation": calibrate.quality(latest, to_probability(held[0][CANDIDATE]))}
    if split.test:
        quality["test"] = calibrate.quality(
            evaluate.labels_of(split.test, "redeemed"), to_probability(test[CANDIDATE])
        )
    return _Outcome(
        candidate=candidate,
        stand_in=stand_in,
        bought=list(final[_BOUGHT].who),
        validation=validation,
        test=test,
        document={
            "comparisons": {name: each.document() for name, each in comparisons.items()},
            "calibration": quality,
            "candidate": CANDIDATE,
            "stand_in": best,
            "rows": {
                "learned_from": len(rows),
                "validation": len(redeemed),
                "test": len(next(iter(test.values()))) if test else 0,
            },
        },
    )


def _compare(
    part: str, label: str, some: Sequence[Campaign], scores: Mapping[str, Floats]
) -> dict[str, evaluate.Comparison]:
    """One table, by its name; none where nothing is positive."""
    labels = evaluate.labels_of(some, label) if some else np.empty(0, dtype=bool)
    if not labels.any():
        return {}
    groups = evaluate.pairs_of(some)
    draws = Draws.of(int(groups.customer.max()) + 1)
    rivals = None if label == "redeemed" else (baselines.OWN_H90_POPULARITY, baselines.PLAIN)
    shown = _shown(scores, label)
    return {f"{part}_{label}": evaluate.compare(label, labels, groups, shown, CANDIDATE, draws, rivals)}


_BOUGHT = "who buys"
_PLAIN_BOUGHT = "who buys, plain features"
_CAN_SERVE = (CANDIDATE, baselines.LINEAR, baselines.PLAIN)


def _fit(
    rows: Sample, recipe: Recipe, names: Sequence[str], threads: int, *, purchases: bool = True
) -> dict[str, Ranker]:
    """Every ranker that can score, fitted to the same rows (the linear one has nothing to fit)."""

    def boosted(name: str, who: learn.Learner, which: learn.Learner | None = None) -> Ranker:
        columns = dict.fromkeys([*who.columns, *(which.columns if which else ())])
        return Ranker(
            name=name,
            kind="boosted",
            service=data.SERVICE,
            columns=PairFeatures(tuple(columns)),
            who=tuple(learn.fit(rows, who, names, threads)),
            which=tuple(learn.fit(rows, which, names, threads)) if which else (),
            blend=recipe.blend if which else 0.0,
        )

    fitted = {
        CANDIDATE: boosted(CANDIDATE, recipe.who, recipe.which),
        baselines.PLAIN: boosted(baselines.PLAIN, recipe.plain),
        baselines.LINEAR: baselines.stand_in(),
    }
    if purchases:
        fitted[_BOUGHT] = boosted(_BOUGHT, recipe.bought)
        fitted[_PLAIN_BOUGHT] = boosted(_PLAIN_BOUGHT, recipe.plain_bought)
    return fitted


def _predict(
    fitted: Mapping[str, Ranker], some: Sequence[Campaign], prepared: _Prepared, threads: int
) -> dict[str, Floats]:
    """The score of every pair of some campaigns by every ranker, simple ones included."""
    scores = baselines.simple(some)
    for name, one in fitted.items():
        of_each = [
            one.scores(prepared.whole[each.campaign_id], prepared.columns.names, each.shape, threads=threads)
            for each in some
        ]
        scores[name] = np.concatenate(of_each)
    return scores


def _shown(scores: Mapping[str, Floats], label: str) -> dict[str, Floats]:
    """The rankers of one label's table: what learned from redemptions does not claim to know purchases."""
    simple = {name: scores[name] for name in baselines.SIMPLE}
    if label == "bought":
        return {**simple, baselines.PLAIN: scores[_PLAIN_BOUGHT], CANDIDATE: scores[_BOUGHT]}
    return {**simple, baselines.PLAIN: scores[baselines.PLAIN], CANDIDATE: scores[CANDIDATE]}


# Logging


def _log(
    settings: Settings,
    mlflow: "MlflowClient",
    experiment: str,
    published: Publication,
    split: Split,
    outcome: _Outcome,
    began: float,
) -> TrainReport:
    document = outcome.document
    git = _git_sha()
    run = mlflow.create_run(
        experiment,
        run_name=f"{CANDIDATE} {published.epoch}",
        tags={
            "mlflow.source.name": "models/train.py",
            "mlflow.source.git.commit": git,
            "service": data.SERVICE,
            "feature_hash": document["feature_hash"],
            "epoch": published.epoch,
        },
    )
    run_id = run.info.run_id
    folder = tracking.local(run.info.artifact_uri)
    status = "FAILED"
    try:
        with tempfile.TemporaryDirectory(dir=_scratch(settings)) as name:
            made = Path(name)
            ranker.write(outcome.candidate, made / ARTEFACT)
            ranker.write(outcome.stand_in, made / STAND_IN)
            for number, booster in enumerate(outcome.bought):
                (made / "bought").mkdir(exist_ok=True)
                (made / "bought" / f"who-{number}.txt").write_text(booster.model_to_string())
            _write_validation(made / VALIDATION, split, outcome)
            (made / "requirements.txt").write_text(_requirements())
            plots.draw(made / "plots", split, outcome.validation, outcome.test, document, outcome.candidate)
            mlflow.log_artifacts(run_id, str(made))
        version = tracking.register(mlflow, run_id, folder / ARTEFACT, outcome.candidate)
        stand_in = tracking.register(mlflow, run_id, folder / STAND_IN, outcome.stand_in)
        document.update(
            {
                "run_id": run_id,
                "version": version.version,
                "stand_in_version": stand_in.version,
                "git_sha": git,
                "tables": {name: published.table(name).sha256 for name in _READ},
                "seconds": round(time.monotonic() - began, 1),
                "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
        mlflow.log_dict(run_id, document, REPORT)
        _log_figures(mlflow, run_id, document)
        # Last, so that a run with this tag holds everything.
        mlflow.set_tag(run_id, "fingerprint", document["fingerprint"])
        status = "FINISHED"
    finally:
        mlflow.set_terminated(run_id, status)
    return _report(document, skipped=False, seconds=time.monotonic() - began)


def _log_figures(mlflow: "MlflowClient", run_id: str, document: Mapping[str, Any]) -> None:
    """Metrics `<split>_<metric>` of the candidate (redeemed), `<split>_bought_<metric>`, and parameters."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    values: dict[str, float] = {"seconds": document["seconds"], "peak_rss_mb": document["peak_rss_mb"]}
    for name, comparison in document["comparisons"].items():
        part, label = name.split("_", 1)
        prefix = part if label == "redeemed" else f"{part}_{label}"
        row = comparison["rows"][-1]
        for metric in ("auc", "pr_auc", "ndcg_at_10", "recall_at_10", "hit_at_10", "mrr"):
            values[f"{prefix}_{metric}"] = row[metric]
    for part, found in document["calibration"].items():
        values[f"{part}_calibration_error"] = found["error"]
        values[f"{part}_mean_probability"] = found["mean_probability"]
    recipe = document["recipe"]
    parameters: dict[str, Any] = {
        name: value for name, value in recipe.items() if not isinstance(value, dict)
    }
    for learner, said in recipe.items():
        if isinstance(said, dict):
            parameters |= {f"{learner}.{key}": value for key, value in said.items() if key != "parameters"}
            parameters |= {f"{learner}.{key}": value for key, value in said["parameters"].items()}
    parameters |= {
        "service": document["service"],
        "feature_hash": document["feature_hash"],
        "epoch": document["epoch"],
        "trained_until": document["trained_until"],
        "train": ", ".join(document["split"]["train"]),
        "test": ", ".join(document["split"]["test"]),
        "folds": "; ".join(", ".join(fold["held_out"]) for fold in document["split"]["folds"]),
        **{f"sha256.{name}": value for name, value in document["tables"].items()},
    }
    mlflow.log_batch(
        run_id,
        metrics=[Metric(key, float(value), now, 0) for key, value in values.items() if np.isfinite(value)],
        params=[Param(key, str(value)) for key, value in parameters.items()],
    )


def _write_validation(path: Path, split: Split, outcome: _Outcome) -> None:
    """Out-of-time scores of every held-out pair: a later candidate is compared with them, pair by pair."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    some = split.validation
    table = pa.table(
        {
            "campaign_id": np.concatenate([np.full(each.redeemed.size, each.campaign_id) for each in some]),
            "customer_id": np.concatenate([np.repeat(each.customers, len(each.offers)) for each in some]),
            "offer_id": np.concatenate([np.tile(each.offers, len(each.customers)) for each in some]),
            "is_redeemed": evaluate.labels_of(some, "redeemed"),
            ARTEFACT: outcome.validation[CANDIDATE],
            STAND_IN: outcome.validation[outcome.document["stand_in"]],
        }
    )
    pq.write_table(table, path, compression="zstd", use_dictionary=["campaign_id", "customer_id", "offer_id"])


def _scratch(settings: Settings) -> Path:
    folder = settings.mlflow / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _requirements() -> str:
    from importlib.metadata import version

    return "".join(
        f"{name}=={version(name)}\n" for name in ("lightgbm", "numpy", "scipy", "pyarrow", "pandas")
    )


def _git_sha() -> str:
    """The commit of the code, or `unknown` where it is no checkout."""
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() if found.returncode == 0 else "unknown"


def read_report(mlflow: "MlflowClient", run_id: str) -> TrainReport:
    """The report of an earlier run.

    Raises:
        GenomeError: the run is not there, or was not finished.
    """
    path = tracking.run_folder(mlflow, run_id) / REPORT
    if not path.is_file():
        raise GenomeError(f"Run {run_id} has no {REPORT}: it did not finish.", "Run `genome train`.")
    return _report(json.loads(path.read_text()), skipped=False, seconds=0.0)


def _report(document: Mapping[str, Any], *, skipped: bool, seconds: float) -> TrainReport:
    return TrainReport(
        run_id=document["run_id"],
        version=document["version"],
        stand_in_version=document["stand_in_version"],
        skipped=skipped,
        document=document,
        seconds=seconds,
    )
