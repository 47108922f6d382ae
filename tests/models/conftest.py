"""A trained home: one training for all tests that only look at it."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import campaigns

from genome.settings import Settings
from models.train import TrainReport, train
from tests.conftest import make_settings


@dataclass(frozen=True)
class Trained:
    """A home in which a candidate was trained and nothing decided."""

    settings: Settings
    report: TrainReport


@pytest.fixture(scope="session")
def _contracts() -> Iterator[None]:
    """dbt's manifest from the YAML of the feature tables: no dbt run."""
    found = campaigns.manifest()
    patch = pytest.MonkeyPatch()
    for module in ("feature_repo.serve.read_manifest", "feature_repo.contract.read_manifest"):
        patch.setattr(module, lambda _: found)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def _first(tmp_path_factory: pytest.TempPathFactory, _contracts: None) -> Trained:
    settings = make_settings(tmp_path_factory.mktemp("trained") / "home")
    campaigns.world().publish(settings)
    return Trained(settings, train(settings))


@pytest.fixture
def trained(_first: Trained, tmp_path: Path) -> Iterator[Trained]:
    """The trained home, put back afterwards as it was (runs keep absolute paths, so no copy will do)."""
    home, kept = _first.settings.home, tmp_path / "kept"
    shutil.copytree(home, kept)
    yield _first
    database = home / "mlflow" / "mlflow.db"
    # MLflow keeps the file open: its pages are put back, not the file.
    with (
        closing(sqlite3.connect(kept / "mlflow" / "mlflow.db")) as source,
        closing(sqlite3.connect(database)) as target,
    ):
        source.backup(target)
    for folder in (home / "mlflow" / "artifacts", home / "lake", home / "feast"):
        shutil.rmtree(folder)
        shutil.copytree(kept / folder.relative_to(home), folder)
