"""Only one process may run an installation's DAGs."""

import contextlib
import fcntl
from collections.abc import Iterator

from genome.errors import GenomeError
from genome.settings import Settings


@contextlib.contextmanager
def running_dags(settings: Settings) -> Iterator[None]:
    """Held by a headless run and by a supervisor with a scheduler, which would run the other's tasks again.

    The kernel frees it with the process, however that ended.
    """
    settings.airflow.mkdir(parents=True, exist_ok=True)
    with (settings.airflow / "runner.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GenomeError(
                f"Another process is running the DAGs of {settings.home}.",
                "Wait for it to end (`genome status`); beside `genome up`, `genome run` asks its scheduler.",
            ) from None
        yield
