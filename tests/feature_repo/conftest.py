"""A home whose feature tables are published, and Valkey stopped afterwards."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from support import features

from genome.settings import Settings
from genome.stores import valkey


@pytest.fixture(autouse=True)
def _stop_what_was_started(settings: Settings) -> Iterator[None]:
    yield
    valkey.stop(settings)


@pytest.fixture
def say_manifest(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, Any]], None]:
    """Put a manifest in the place of the dbt project's own."""

    def say(manifest: Mapping[str, Any]) -> None:
        for module in ("feature_repo.serve.read_manifest", "feature_repo.contract.read_manifest"):
            monkeypatch.setattr(module, lambda _: manifest)

    say(features.manifest())
    monkeypatch.setattr("feature_repo.services.SERVICES", features.SERVICES)
    return say


@pytest.fixture
def home(settings: Settings, say_manifest: Callable[[Mapping[str, Any]], None]) -> Settings:
    """Settings of a home with 40 customers, 5 offers and scores published."""
    features.put(settings, "genome", features.customers(40) | features.offers(5))
    features.put(settings, "scores", features.scores(40))
    return settings
