"""MLflow, as this project uses it: one experiment and one registered model, named alike.

SQLite (or the database of `mlflow_database_url`) holds runs and versions, `mlflow/artifacts/` the files.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from genome.errors import GenomeError
from genome.settings import Settings
from models import ranker

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

NAME = "next_best_offer"
"""Experiment = registered model."""

CHAMPION = "champion"
CHALLENGER = "challenger"

_SHA256 = "sha256."
_PREVIOUS = "previous_champion"


@dataclass(frozen=True)
class Version:
    """One version of the registered model.

    Attributes:
        version: its number.
        run_id: the run that made it.
        name: what the ranker calls itself.
        kind: `boosted` or `linear`.
        made_at: when.
        aliases: `champion`, `challenger`.
        decision: why it is, or is not, champion; empty while nobody has decided.
        sha256: file -> SHA-256 of the artefact.
        source: where the artefact lies.
    """

    version: str
    run_id: str
    name: str
    kind: str
    made_at: datetime
    aliases: tuple[str, ...]
    decision: str
    sha256: Mapping[str, str]
    source: str

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "version": self.version,
            "run_id": self.run_id,
            "ranker": self.name,
            "kind": self.kind,
            "made_at": self.made_at.isoformat(),
            "aliases": list(self.aliases),
            "decision": self.decision,
        }


def client(settings: Settings) -> "MlflowClient":
    """A client of this installation's MLflow; makes the store on first use (some seconds)."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    # A new SQLite store tells of every migration.
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient

    settings.mlflow.mkdir(parents=True, exist_ok=True)
    url = settings.mlflow_database_url
    store = url.get_secret_value() if url else f"sqlite:///{settings.mlflow / 'mlflow.db'}"
    return MlflowClient(tracking_uri=store, registry_uri=store)


def artifacts(settings: Settings) -> Path:
    """The folder below which every artefact lies."""
    return settings.mlflow / "artifacts"


def experiment_id(settings: Settings, mlflow: "MlflowClient") -> str:
    """The experiment; made when it is not there."""
    from mlflow.exceptions import MlflowException

    found = mlflow.get_experiment_by_name(NAME)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(mlflow.create_experiment(NAME, artifact_location=(artifacts(settings) / NAME).as_uri()))
    except MlflowException:
        # Another process was first.
        found = mlflow.get_experiment_by_name(NAME)
        if found is None:
            raise
        return str(found.experiment_id)


def run_folder(mlflow: "MlflowClient", run_id: str) -> Path:
    """Where a run's artefacts lie.

    Raises:
        GenomeError: there is no such run.
    """
    from mlflow.exceptions import MlflowException

    try:
        run = mlflow.get_run(run_id)
    except MlflowException as error:
        raise GenomeError(f"MLflow has no run '{run_id}'.", "`genome models list` shows the runs.") from error
    return local(run.info.artifact_uri)


def local(uri: str) -> Path:
    """The folder that an artefact's URI names.

    Raises:
        GenomeError: it is not on this machine.
    """
    parts = urlsplit(uri)
    if parts.scheme not in {"", "file"}:
        raise GenomeError(
            f"The artefact lies at {parts.scheme}://…, not in a folder of this machine.",
            "Train here: `genome train --force`.",
        )
    return Path(unquote(parts.path))


def register(mlflow: "MlflowClient", run_id: str, folder: Path, one: ranker.Ranker) -> Version:
    """Register the artefact that lies in a folder of a run, with the SHA-256 of each of its files.

    The files are hashed where they were written from memory: `folder` must hold just what `ranker.write` made.
    """
    from mlflow.exceptions import MlflowException

    sha256 = ranker.fingerprints(folder)
    try:
        mlflow.create_registered_model(NAME, description="Which offer for whom: see docs/model-quality.md.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = mlflow.create_model_version(
        NAME,
        source=folder.as_uri(),
        run_id=run_id,
        tags={
            "ranker": one.name,
            "kind": one.kind,
            "feature_hash": one.columns.hash,
            **{f"{_SHA256}{file}": value for file, value in sha256.items()},
        },
    )
    return version(mlflow, str(made.version))


def versions(mlflow: "MlflowClient") -> list[Version]:
    """Every version, newest first."""
    found = mlflow.search_model_versions(f"name = '{NAME}'", max_results=1000)
    aliases = _aliases(mlflow)
    return sorted((_version(each, aliases) for each in found), key=lambda each: -int(each.version))


def version(mlflow: "MlflowClient", number: str) -> Version:
    """One version.

    Raises:
        GenomeError: there is none of that number.
    """
    from mlflow.exceptions import MlflowException

    try:
        return _version(mlflow.get_model_version(NAME, number), _aliases(mlflow))
    except MlflowException as error:
        raise GenomeError(
            f"There is no version '{number}' of {NAME}.", "`genome models list` shows the versions."
        ) from error


def by_alias(mlflow: "MlflowClient", alias: str) -> Version | None:
    """The version that an alias names, if any."""
    number = _aliases(mlflow).get(alias)
    return version(mlflow, number) if number else None


def crown(mlflow: "MlflowClient", new: Version, reason: str) -> None:
    """Make a version champion; the last one is remembered for `genome models rollback`."""
    last = by_alias(mlflow, CHAMPION)
    if last is not None and last.version != new.version:
        mlflow.set_model_version_tag(NAME, new.version, _PREVIOUS, last.version)
    mlflow.set_model_version_tag(NAME, new.version, "decision", reason)
    mlflow.set_registered_model_alias(NAME, CHAMPION, new.version)
    challenger = by_alias(mlflow, CHALLENGER)
    if challenger is not None and challenger.version == new.version:
        mlflow.delete_registered_model_alias(NAME, CHALLENGER)


def refuse(mlflow: "MlflowClient", challenger: Version, reason: str) -> None:
    """Keep a version as challenger, with the reason why it is not champion."""
    mlflow.set_model_version_tag(NAME, challenger.version, "decision", reason)
    mlflow.set_registered_model_alias(NAME, CHALLENGER, challenger.version)


def restore(mlflow: "MlflowClient", champion: Version, before: Version) -> None:
    """Give the alias back to who had it before; going back again goes further back."""
    mlflow.set_model_version_tag(NAME, champion.version, "decision", "Rolled back.")
    mlflow.set_registered_model_alias(NAME, CHAMPION, before.version)


def previous(mlflow: "MlflowClient", champion: Version) -> Version | None:
    """Who was champion before."""
    number = mlflow.get_model_version(NAME, champion.version).tags.get(_PREVIOUS)
    return version(mlflow, number) if number else None


def load(settings: Settings, one: Version) -> ranker.Ranker:
    """The ranker of a version, its files checked against the registry before any is parsed."""
    return ranker.read(local(one.source), one.sha256, root=artifacts(settings))


def champion(settings: Settings, mlflow: "MlflowClient") -> tuple[Version, ranker.Ranker]:
    """Who serves, ready to score.

    Raises:
        GenomeError: nobody does yet, or the artefact is not what was registered.
    """
    found = by_alias(mlflow, CHAMPION)
    if found is None:
        raise GenomeError(f"{NAME} has no champion yet.", "Run `genome train`, which also decides.")
    return found, load(settings, found)


def _aliases(mlflow: "MlflowClient") -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        found: Mapping[str, Any] = mlflow.get_registered_model(NAME).aliases
    except MlflowException:
        # Nothing has been registered yet.
        return {}
    return {alias: str(number) for alias, number in found.items()}


def _version(found: "ModelVersion", aliases: Mapping[str, str]) -> Version:
    number = str(found.version)
    return Version(
        version=number,
        run_id=str(found.run_id),
        name=found.tags.get("ranker", ""),
        kind=found.tags.get("kind", ""),
        made_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        aliases=_names(number, aliases),
        decision=found.tags.get("decision", ""),
        sha256={
            tag.removeprefix(_SHA256): value for tag, value in found.tags.items() if tag.startswith(_SHA256)
        },
        source=str(found.source),
    )


def _names(number: str, aliases: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(alias for alias, of in aliases.items() if of == number))


def finished_run(mlflow: "MlflowClient", experiment: str, fingerprint: str) -> str | None:
    """The last finished run that was made from the same data, code and parameters."""
    found: Sequence[Any] = mlflow.search_runs(
        [experiment],
        filter_string=f"tags.fingerprint = '{fingerprint}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return str(found[0].info.run_id) if found else None
