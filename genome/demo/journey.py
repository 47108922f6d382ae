"""The whole journey, from the retailer's files to decisions, with a progress display.

The DAGs run as Airflow runs them, headless (`dags.headless`), in a process of their own; this one watches.
"""

import json
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genome.errors import UsageError
from genome.settings import OWN_FILE, Settings, load

MARK = ".demo"
"""A file that says: this home was made by the demo, and the demo may remove it."""

# The last second of 2017 in New York, where the grocer's stores are.
COMPLETE_JOURNEY_NOW = datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)
COMPLETE_JOURNEY_TIMEZONE = "America/New_York"


@dataclass
class Step:
    """One step of the journey and what it cost."""

    dag_id: str
    task_id: str
    seconds: float
    peak_rss_mb: float
    summary: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As the report's JSON holds it."""
        return dict(self.__dict__)


def prepare_home(*, keep: bool) -> Settings:
    """An empty home with the demo's clock, or with `keep` the last one.

    Raises:
        UsageError: when the folder holds something that the demo did not make.
    """
    settings = load()
    home = settings.home
    mark = home / MARK
    if home.exists() and any(home.iterdir()) and not mark.exists():
        raise UsageError(
            f"{home} was not made by the demo, so the demo will not touch it.",
            "Set GENOME_HOME to another folder, or remove this one yourself.",
        )
    if mark.exists() and not keep:
        from genome.stores import valkey

        valkey.stop(settings)
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    mark.write_text("Made by `genome demo`; it removes this folder when it runs again without --keep.\n")
    (home / OWN_FILE).write_text(
        "# The demo's own settings: its data ends in 2017, so its clock stands there.\n"
        f'now = "{COMPLETE_JOURNEY_NOW.isoformat()}"\n'
        f'business_timezone = "{COMPLETE_JOURNEY_TIMEZONE}"\n'
    )
    # Said aloud too: a GENOME_NOW of the person's own would put the data in the far past.
    return load(now=COMPLETE_JOURNEY_NOW, business_timezone=COMPLETE_JOURNEY_TIMEZONE)


def write_inbox(settings: Settings, households: int | None) -> Step:
    """Play the retailer's export jobs: put the files of a year into the inbox."""
    from genome.demo.complete_journey import write_inbox as write

    began = time.monotonic()
    written = write(settings, households=households)
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Step("(the retailer)", "export_files", round(seconds, 3), round(peak, 1), written.summary())


def run_dags(settings: Settings, watch: Callable[[dict[str, Any]], None]) -> list[Step]:
    """Run every DAG in the order of its Assets; `watch` sees each event as it comes."""
    from genome.services import headless

    ran = headless.run(settings, everything=True, on_event=watch)
    return [
        Step(task.dag_id, task.task_id, task.seconds, task.peak_rss_mb, task.summary or {})
        for task in ran.tasks
    ]


def save(settings: Settings, document: dict[str, Any]) -> Path:
    """Keep the journey's report beside its logs."""
    path = settings.logs / "demo.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, default=str) + "\n")
    return path
