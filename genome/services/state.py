"""What `genome up` runs, in a file, so that `genome status` and `genome down` work from elsewhere."""

import os
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel

from genome.services.processes import ProcessId
from genome.settings import Settings

State = Literal["waiting", "starting", "ready", "unhealthy", "backing off", "stopping", "stopped", "failed"]


class ServiceState(BaseModel):
    """One service as its supervisor last saw it."""

    name: str
    state: State = "waiting"
    process: ProcessId | None = None
    url: str | None = None
    log: str | None = None
    since: AwareDatetime
    restarts: int = 0
    start_seconds: float | None = None
    message: str = ""


class SupervisorState(BaseModel):
    """A supervisor and its services, in the order in which they start."""

    supervisor: ProcessId
    started_at: AwareDatetime
    services: list[ServiceState]


def read(settings: Settings) -> SupervisorState | None:
    """What was last written; None where nothing was, or where it cannot be read any more."""
    try:
        return SupervisorState.model_validate_json(_path(settings).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def write(settings: Settings, state: SupervisorState) -> None:
    """Replace what is written, whole."""
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(state.model_dump_json(indent=2))
    temporary.replace(path)


def forget(settings: Settings) -> None:
    """Nothing runs any more."""
    _path(settings).unlink(missing_ok=True)


def _path(settings: Settings) -> Path:
    return settings.services / "state.json"
