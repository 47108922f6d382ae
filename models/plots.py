"""Pictures of a training for MLflow: precision over recall, calibration, rankers, columns that matter."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models import evaluate
from models.data import Split
from models.ranker import Ranker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

_COLUMNS_SHOWN = 30


def draw(
    folder: Path,
    split: Split,
    validation: Mapping[str, Floats],
    test: Mapping[str, Floats],
    document: Mapping[str, Any],
    candidate: Ranker,
) -> None:
    """Write the pictures into a folder."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    parts = {"validation": (split.validation, validation)} | (
        {"test": (split.test, test)} if split.test else {}
    )

    figure = Figure(figsize=(5 * len(parts), 4), layout="constrained")
    for axes, (part, (some, scores)) in zip(_row(figure, len(parts)), parts.items(), strict=True):
        labels = evaluate.labels_of(some, "redeemed")
        for row in document["comparisons"][f"{part}_redeemed"]["rows"]:
            _precision_over_recall(axes, labels, scores[row["ranker"]], row["ranker"])
        axes.set(title=part, xlabel="recall", ylabel="precision")
        axes.legend(fontsize=7)
    figure.savefig(folder / "precision_recall.png", dpi=110)

    figure = Figure(figsize=(5 * len(parts), 4), layout="constrained")
    for axes, part in zip(_row(figure, len(parts)), parts, strict=True):
        bins = document["calibration"][part]["bins"]
        predicted, observed = ([each[name] for each in bins] for name in ("predicted", "observed"))
        axes.plot([min(predicted), max(predicted)], [min(predicted), max(predicted)], color="0.7")
        axes.plot(predicted, observed, "o-")
        axes.set(title=part, xlabel="probability", ylabel="rate", xscale="log", yscale="symlog")
        axes.set_yscale("log", nonpositive="mask")
    figure.savefig(folder / "calibration.png", dpi=110)

    figure = Figure(figsize=(6 * len(parts), 4), layout="constrained")
    for axes, part in zip(_row(figure, len(parts)), parts, strict=True):
        _rankers(axes, document["comparisons"][f"{part}_redeemed"]["rows"])
        axes.set(title=f"{part}: NDCG@10, with the interval of the candidate's lead")
    figure.savefig(folder / "ndcg.png", dpi=110)

    figure = Figure(figsize=(10, 7), layout="constrained")
    for axes, (role, boosters) in zip(
        _row(figure, 2), {"who": candidate.who, "which": candidate.which}.items(), strict=True
    ):
        gain: dict[str, float] = {}
        for booster in boosters:
            found = booster.feature_importance("gain")
            for name, value in zip(booster.feature_name(), found, strict=True):
                gain[name] = gain.get(name, 0.0) + float(value)
        best = sorted(gain.items(), key=lambda each: each[1])[-_COLUMNS_SHOWN:]
        axes.barh([name for name, _ in best], [value for _, value in best])
        axes.set(title=f"{role}: gain")
        axes.tick_params(axis="y", labelsize=7)
    figure.savefig(folder / "columns.png", dpi=110)


def _row(figure: Any, count: int) -> "list[Axes]":
    return list(np.atleast_1d(figure.subplots(1, count)))


def _precision_over_recall(axes: "Axes", labels: npt.NDArray[np.bool_], scores: Floats, name: str) -> None:
    hits = np.cumsum(labels[np.argsort(-scores, kind="stable")])
    total = int(hits[-1])
    places = np.searchsorted(hits, np.arange(1, total + 1))
    axes.plot(
        np.arange(1, total + 1) / total, np.arange(1, total + 1) / (places + 1), label=name, linewidth=1
    )


def _rankers(axes: "Axes", rows: list[dict[str, Any]]) -> None:
    best = rows[-1]["ndcg_at_10"]
    for place, row in enumerate(rows):
        axes.barh(place, row["ndcg_at_10"], color="C1" if place == len(rows) - 1 else "C0")
        lead = row["candidate_minus_this"]
        if lead:
            low, high = (best - lead["ndcg_at_10"][end] for end in ("high", "low"))
            axes.plot([low, high], [place, place], color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [row["ranker"] for row in rows], fontsize=7)
