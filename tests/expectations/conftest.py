from collections.abc import Iterator

import pytest
from support import built

from expectations.judge import Judge
from genome.settings import Settings


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A small world, built for real, read-only."""
    yield from built.read_only(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Great Expectations takes seconds to import and to set up."""
    return Judge()
