import json
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from genome.errors import GenomeError
from models import ranker
from models.baselines import stand_in
from models.calibrate import Calibration
from models.features import PairFeatures
from models.ranker import Ranker, blended

NAMES = ("own_days_h90", "own_since", "offer_product_count")
SHAPE = (30, 10)


def booster(seed: int, columns: tuple[str, ...]) -> lightgbm.Booster:
    random = np.random.default_rng(seed)
    matrix = random.random((400, len(columns))).astype("f4")
    data = lightgbm.Dataset(matrix, (matrix[:, 0] > 0.6).astype("f4"), feature_name=list(columns))
    return lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": seed}, data, 5)


@pytest.fixture(scope="module")
def boosted() -> Ranker:
    return Ranker(
        name="next best offer",
        kind="boosted",
        service="next_best_offer_v1",
        columns=PairFeatures(NAMES),
        who=(booster(1, NAMES), booster(2, NAMES)),
        which=(booster(3, NAMES[:2]),),
        blend=0.7,
        calibration=Calibration((-4.0, 0.5), (-6.0, -1.0), 0.5),
    )


@pytest.fixture
def matrix() -> np.ndarray:
    return np.random.default_rng(9).random((SHAPE[0] * SHAPE[1], 3)).astype("f4")


def written(one: Ranker, root: Path) -> tuple[Path, dict[str, str]]:
    folder = root / "1" / "ranker"
    return folder, ranker.write(one, folder)


def test_what_is_read_back_scores_the_same(boosted: Ranker, matrix: np.ndarray, tmp_path: Path) -> None:
    folder, sha256 = written(boosted, tmp_path)
    assert sorted(sha256) == ["ranker.json", "which-0.txt", "who-0.txt", "who-1.txt"]
    back = ranker.read(folder, sha256, root=tmp_path)
    assert (back.name, back.kind, back.service, back.blend) == (
        "next best offer",
        "boosted",
        "next_best_offer_v1",
        0.7,
    )
    assert back.calibration == boosted.calibration
    before = boosted.scores(matrix, NAMES, SHAPE, threads=1)
    assert back.scores(matrix, NAMES, SHAPE, threads=1).tolist() == before.tolist()
    assert len(np.unique(before)) > 50


def test_the_artefact_is_text_and_nothing_that_runs(boosted: Ranker, tmp_path: Path) -> None:
    folder, _ = written(boosted, tmp_path)
    for path in folder.iterdir():
        content = path.read_bytes()
        assert content.isascii(), path.name
        assert content.startswith((b"tree\n", b"{")), path.name
    assert json.loads((folder / "ranker.json").read_text())["columns"] == list(NAMES)


def test_a_file_that_changed_after_it_was_registered_is_refused_unparsed(
    boosted: Ranker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, sha256 = written(boosted, tmp_path)
    (folder / "who-1.txt").write_text("tree\nversion=v4\n")

    def never(**_: object) -> None:
        raise AssertionError("parsed before its bytes were checked")

    monkeypatch.setattr(lightgbm, "Booster", never)
    with pytest.raises(GenomeError, match=r"who-1.txt has the SHA-256 .* but the registry says"):
        ranker.read(folder, sha256, root=tmp_path)


def test_an_artefact_outside_of_mlflow_is_refused(boosted: Ranker, tmp_path: Path) -> None:
    folder, sha256 = written(boosted, tmp_path / "elsewhere")
    with pytest.raises(GenomeError, match="lies outside of"):
        ranker.read(folder, sha256, root=tmp_path / "mlflow")
    (tmp_path / "mlflow").mkdir()
    link = tmp_path / "mlflow" / "ranker"
    link.symlink_to(folder)
    with pytest.raises(GenomeError, match="lies outside of"):
        ranker.read(link, sha256, root=tmp_path / "mlflow")


def test_a_link_in_the_place_of_a_file_is_refused(boosted: Ranker, tmp_path: Path) -> None:
    folder, sha256 = written(boosted, tmp_path)
    moved = folder / "who-0.txt"
    moved.rename(tmp_path / "who-0.txt")
    moved.symlink_to(tmp_path / "who-0.txt")
    with pytest.raises(GenomeError, match="missing, or no regular file"):
        ranker.read(folder, sha256, root=tmp_path)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"../who-0.txt": "0" * 64}, "which is no plain name"),
        ({"who-9.txt": "0" * 64}, "missing, or no regular file"),
    ],
)
def test_the_registry_cannot_send_the_reader_elsewhere(
    boosted: Ranker, tmp_path: Path, changed: dict[str, str], complaint: str
) -> None:
    folder, sha256 = written(boosted, tmp_path)
    with pytest.raises(GenomeError, match=complaint):
        ranker.read(folder, sha256 | changed, root=tmp_path)


@pytest.mark.parametrize("missing", ["ranker.json", "who-0.txt"])
def test_a_file_without_a_hash_in_the_registry_is_refused(
    boosted: Ranker, tmp_path: Path, missing: str
) -> None:
    folder, sha256 = written(boosted, tmp_path)
    del sha256[missing]
    with pytest.raises(GenomeError, match=f"names no SHA-256 for {missing}"):
        ranker.read(folder, sha256, root=tmp_path)


def test_columns_that_are_made_by_another_formula_now_are_refused(
    boosted: Ranker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, sha256 = written(boosted, tmp_path)
    monkeypatch.setattr("models.features.VERSION", 999)
    with pytest.raises(GenomeError, match="was trained on columns"):
        ranker.read(folder, sha256, root=tmp_path)


def test_the_blend_keeps_what_a_customer_redeems_in_all_and_divides_it_by_which() -> None:
    random = np.random.default_rng(4)
    who, which = random.normal(-4, 1, 60), random.normal(0, 2, 60)
    shape = (6, 10)
    total = np.log((1 / (1 + np.exp(-who))).reshape(shape).sum(axis=1))
    inside = np.exp(blended(who, which, 1.0, shape).reshape(shape))
    assert np.log(inside.sum(axis=1)) == pytest.approx(total)
    assert (np.argsort(inside, axis=1) == np.argsort(which.reshape(shape), axis=1)).all()
    assert blended(who, which, 0.0, shape) == pytest.approx(who)
    half = blended(who, which, 0.5, shape)
    ends = (blended(who, which, 0.0, shape) + blended(who, which, 1.0, shape)) / 2
    assert half == pytest.approx(ends)
    assert blended(who, None, 0.7, shape) is who


def test_the_stand_in_is_a_sum_of_columns_and_needs_no_booster(matrix: np.ndarray, tmp_path: Path) -> None:
    one = replace(stand_in(), calibration=Calibration((0.0, 1.0), (-6.0, -4.0)))
    folder, sha256 = written(one, tmp_path)
    assert list(sha256) == ["ranker.json"]
    back = ranker.read(folder, sha256, root=tmp_path)
    names = ("offer_popularity_h180_sum", "own_days_h90", "own_since")
    expected = matrix[:, 1].astype("f8") + 1e-7 * matrix[:, 0].astype("f8")
    assert back.scores(matrix, names, SHAPE, threads=1) == pytest.approx(expected)


def test_without_calibration_nothing_is_written(boosted: Ranker, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no calibration"):
        ranker.write(replace(boosted, calibration=None), tmp_path)
    assert list(tmp_path.iterdir()) == []
