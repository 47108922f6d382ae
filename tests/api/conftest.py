"""One API on one events store for all tests of a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import make_settings
from support.world import Memory, Served, publish_world, served

from genome.settings import Settings
from genome.stores import valkey


@pytest.fixture(scope="module")
def api_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home: Path = tmp_path_factory.mktemp("api")
    settings = make_settings(home / "home")
    publish_world(settings)
    valkey.ensure(settings, "events")
    yield settings
    valkey.stop(settings)


@pytest.fixture(scope="module")
def _api(api_settings: Settings) -> Iterator[Served]:
    with served(api_settings) as api:
        yield api


@pytest.fixture
def api(_api: Served) -> Served:
    """The API, with the features of the beginning."""
    _api.features.__dict__.update(Memory().__dict__)
    return _api
