"""The whole journey, from a retailer's files to decisions, with a progress display.

The DAGs run as Airflow runs them, headless (`dags.headless`), in a process of their own; this one watches.
"""

import json
import resource
import shutil
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genome.demo.data import DataSet
from genome.errors import UsageError
from genome.settings import OWN_FILE, Settings, load

MARK = ".demo"
"""A file that says: this home was made by the demo, and the demo may remove it."""


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


def prepare_home(data: DataSet, *, keep: bool) -> Settings:
    """An empty home, or with `keep` the last one, which must have been made for the same data.

    Raises:
        UsageError: when the folder holds something that the demo did not make, or made for other data.
    """
    settings = load()
    home = settings.home
    mark = home / MARK
    if home.exists() and any(home.iterdir()) and not mark.exists():
        raise UsageError(
            f"{home} was not made by the demo, so the demo will not touch it.",
            "Set GENOME_HOME to another folder, or remove this one yourself.",
        )
    if mark.exists() and keep and (made_for := mark.read_text().split("\n")[0]) != data.name:
        raise UsageError(
            f"{home} holds the demo of {made_for}, not of {data.name}.",
            "Run without --keep to begin anew, or set GENOME_HOME to another folder.",
        )
    if mark.exists() and not keep:
        from genome.stores import valkey

        valkey.stop(settings)
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    mark.write_text(
        f"{data.name}\nMade by `genome demo`; it removes this folder when it runs again without --keep.\n"
    )
    return settings


def start_stores(settings: Settings) -> None:
    """Start what is embedded now: a port that another program holds is said at once, not after minutes.

    Raises:
        GenomeError: which port, of which store, and the setting that changes it.
    """
    from genome.stores import valkey

    for name in valkey.STORES:
        valkey.ensure(settings, name)


def write_inbox(data: DataSet, settings: Settings, people: int | None) -> tuple[Step, Settings]:
    """Play the retailer's export jobs; with the clock and the settings that go with the data.

    Args:
        data: whose files.
        settings: where the inbox is.
        people: only so many customers, for a quick look.
    """
    began = time.monotonic()
    exported = data.export(settings, people)
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    step = Step("(the retailer)", "export_files", round(seconds, 3), round(peak, 1), exported.summary)
    own = data.settings_file.read_text() + "".join(
        f'{name} = "{value}"\n' for name, value in exported.settings.items()
    )
    (settings.home / OWN_FILE).write_text(own)
    # The clock is said aloud too: a GENOME_NOW of the person's own would put the data in the far past.
    said = tomllib.loads(own)
    return step, load(now=said["now"], business_timezone=said["business_timezone"])


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
