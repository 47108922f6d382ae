"""The artefact: a folder of native LightGBM text and JSON, and nothing that could run.

    ranker.json       kind, columns, how members are blended, calibration
    who-0.txt …       boosters, as LightGBM writes them

`read` takes a folder only from under MLflow's artefacts, only the files that the registry names, and parses
none of them before its SHA-256 is what the registry says. No pickle, no pyfunc: both can run code when loaded.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from genome.errors import GenomeError
from models.calibrate import Calibration
from models.features import PairFeatures, Rectangle

if TYPE_CHECKING:
    from lightgbm import Booster

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

DOCUMENT = "ranker.json"
FORMAT = 1

_CELLS = 2_000_000
"""Pairs described at once when a rectangle is scored: about half a gigabyte of columns."""


class _Member(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["who", "which"]
    file: str


class _Calibration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    scores: tuple[float, ...]
    log_odds: tuple[float, ...]
    slope: float = 1.0


class Document(BaseModel):
    """`ranker.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    kind: Literal["boosted", "linear"]
    name: str
    service: str
    columns: tuple[str, ...]
    feature_hash: str
    blend: float
    weights: dict[str, float]
    members: tuple[_Member, ...]
    calibration: _Calibration


@dataclass(frozen=True)
class Ranker:
    """Something that ranks offers for customers and says how likely each is to be used.

    Attributes:
        name: what people call it.
        kind: `boosted` (LightGBM) or `linear` (a weighted sum of columns: the baselines).
        service: the feature service that its columns are made from.
        columns: what it reads.
        who: boosters for *who redeems*; their mean is the log-odds of a pair.
        which: boosters for *which offer*; none: `who` ranks alone.
        blend: 0 … 1, how much of the order within a customer's candidates is `which`.
        weights: of a linear ranker.
        calibration: from score to probability.
    """

    name: str
    kind: Literal["boosted", "linear"]
    service: str
    columns: PairFeatures
    who: "tuple[Booster, ...]" = ()
    which: "tuple[Booster, ...]" = ()
    blend: float = 0.0
    weights: Mapping[str, float] | None = None
    calibration: Calibration | None = None

    def scores(self, matrix: Matrix, names: Sequence[str], shape: tuple[int, int], *, threads: int) -> Floats:
        """The score of every pair of a rectangle: a column's worth, row `c · offers + o`.

        Args:
            matrix: the rectangle's columns.
            names: their names; more than the ranker reads are welcome.
            shape: customers, offers.
            threads: of LightGBM (its default takes longer for small inputs).
        """
        if self.kind == "linear":
            return np.asarray(
                sum(
                    weight * matrix[:, names.index(name)].astype(np.float64)
                    for name, weight in (self.weights or {}).items()
                )
            )
        who = _mean(self.who, matrix, names, threads)
        which = _mean(self.which, matrix, names, threads) if self.which else None
        return blended(who, which, self.blend, shape)

    def probabilities(self, rectangle: Rectangle, *, threads: int) -> Floats:
        """Customers × offers: how likely each is to be redeemed, some customers at once."""
        if self.calibration is None:
            raise ValueError(f"ranker '{self.name}' has no calibration")
        customers, offers = rectangle.shape
        result = np.empty((customers, offers))
        step = max(1, _CELLS // max(1, offers))
        for first in range(0, customers, step):
            some = replace(rectangle, customers=rectangle.customers.slice(first, step))
            scores = self.scores(self.columns.matrix(some), self.columns.names, some.shape, threads=threads)
            result[first : first + step] = self.calibration.probabilities(scores).reshape(some.shape)
        return result


def blended(who: Floats, which: Floats | None, blend: float, shape: tuple[int, int]) -> Floats:
    """One score from two: `who` says how much a customer redeems in all, both say how it is divided.

    With p the pairs' probabilities by `who` and T their sum over a customer's candidates, the score is
    `log T + (1 − blend) · log(odds / T) + blend · log softmax(which)`.
    """
    if which is None or not len(who):
        return who
    who, which = who.reshape(shape), which.reshape(shape)
    total = np.log((1 / (1 + np.exp(-who))).sum(axis=1, keepdims=True))
    which = which - which.max(axis=1, keepdims=True)
    inside = which - np.log(np.exp(which).sum(axis=1, keepdims=True))
    return np.asarray((total + (1 - blend) * (who - total) + blend * inside).reshape(-1))


def lightgbm() -> Any:
    """The package, its threads told to sleep soon while they wait.

    By default they spin for milliseconds at each of thousands of barriers: on two cores that others use, too,
    training took four times as long.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import lightgbm as package

    return package


def _mean(boosters: "Sequence[Booster]", matrix: Matrix, names: Sequence[str], threads: int) -> Floats:
    total = np.zeros(len(matrix))
    read: list[str] = []
    for booster in boosters:
        if booster.feature_name() != read:
            read = booster.feature_name()
            part = matrix[:, [names.index(name) for name in read]]
        total += booster.predict(part, raw_score=True, num_threads=threads)
    return total / len(boosters)


def write(ranker: Ranker, folder: Path) -> dict[str, str]:
    """Write the artefact; returns the SHA-256 of each file, which the registry keeps."""
    if ranker.calibration is None:
        raise ValueError(f"ranker '{ranker.name}' has no calibration")
    folder.mkdir(parents=True, exist_ok=True)
    members = []
    for role, boosters in (("who", ranker.who), ("which", ranker.which)):
        for number, booster in enumerate(boosters):
            file = f"{role}-{number}.txt"
            (folder / file).write_text(booster.model_to_string())
            members.append({"role": role, "file": file})
    document = Document.model_validate(
        {
            "format": FORMAT,
            "kind": ranker.kind,
            "name": ranker.name,
            "service": ranker.service,
            "columns": ranker.columns.names,
            "feature_hash": ranker.columns.hash,
            "blend": ranker.blend,
            "weights": dict(ranker.weights or {}),
            "members": members,
            "calibration": {
                "scores": ranker.calibration.scores,
                "log_odds": ranker.calibration.log_odds,
                "slope": ranker.calibration.slope,
            },
        }
    )
    (folder / DOCUMENT).write_text(document.model_dump_json(indent=1) + "\n")
    return fingerprints(folder)


def fingerprints(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of an artefact."""
    return {path.name: _sha256(path.read_bytes()) for path in sorted(folder.iterdir())}


def read(folder: Path, expected: Mapping[str, str], *, root: Path) -> Ranker:
    """Read an artefact whose files are what the registry says.

    Args:
        folder: where it lies.
        expected: file -> SHA-256, from the registry's tags.
        root: the only folder below which artefacts may lie.

    Raises:
        GenomeError: the folder, a file or the document is not what it should be. Nothing was parsed before its
            bytes were checked.
    """
    remedy = "Train anew with `genome train --force`, or go back with `genome models rollback`."
    place = folder.resolve()
    if not place.is_relative_to(root.resolve()):
        raise GenomeError(f"The artefact {folder} lies outside of {root}.", remedy)
    if DOCUMENT not in expected:
        raise GenomeError(f"The registry names no SHA-256 for {DOCUMENT} of {folder}.", remedy)
    contents: dict[str, bytes] = {}
    for file, sha256 in expected.items():
        if Path(file).name != file:
            raise GenomeError(f"The registry names a file '{file}', which is no plain name.", remedy)
        path = place / file
        if path.is_symlink() or not path.is_file():
            raise GenomeError(f"{path} is missing, or no regular file.", remedy)
        contents[file] = path.read_bytes()
        found = _sha256(contents[file])
        if found != sha256:
            raise GenomeError(
                f"{path} has the SHA-256 {found[:16]}…, but the registry says {sha256[:16]}…: it was changed "
                "after it was registered.",
                remedy,
            )
    try:
        document = Document.model_validate(json.loads(contents[DOCUMENT]))
    except ValueError as error:
        raise GenomeError(f"{place / DOCUMENT} is no ranker: {error}.", remedy) from error
    columns = PairFeatures(document.columns)
    if columns.hash != document.feature_hash:
        raise GenomeError(
            f"{place / DOCUMENT} was trained on columns {document.feature_hash}, this code makes {columns.hash}.",
            remedy,
        )
    boosters: dict[str, list[Any]] = {"who": [], "which": []}
    for member in document.members:
        if member.file not in contents:
            raise GenomeError(f"The registry names no SHA-256 for {member.file} of {folder}.", remedy)
        boosters[member.role].append(lightgbm().Booster(model_str=contents[member.file].decode()))
    return Ranker(
        name=document.name,
        kind=document.kind,
        service=document.service,
        columns=columns,
        who=tuple(boosters["who"]),
        which=tuple(boosters["which"]),
        blend=document.blend,
        weights=document.weights,
        calibration=Calibration(
            document.calibration.scores, document.calibration.log_odds, document.calibration.slope
        ),
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
