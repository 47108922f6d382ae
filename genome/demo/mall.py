"""The demo's second retailer: a made-up mall, whose systems drop all twelve channels and five feeds into the inbox.

`genome simulate` makes it in a process of its own: nothing of the platform imports the simulator, which knows
the truth behind the data. What comes back is what a real mall would give: files, and how many rows they hold.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genome.errors import GenomeError
from genome.lake import files
from genome.settings import Settings

PRESET = "demo"
FOLDER = "mall"
"""Below the home: the mall's own summary and what is sealed; its files go to the inbox."""


@dataclass(frozen=True)
class Mall:
    """What the simulator says of the mall that it made.

    Attributes:
        now: the cut-off (ISO 8601): the instant at which the mall's history ends.
        timezone: the mall's own clock (IANA name).
        customers: people.
        rows: `channel/stream` → rows of its files.
        doubled: `channel/stream` → rows among them that are delivered a second time.
        broken: `channel/stream` → rows among them that no contract can take.
    """

    now: str
    timezone: str
    customers: int
    rows: dict[str, int]
    doubled: dict[str, int]
    broken: dict[str, int]

    @classmethod
    def read(cls, folder: Path) -> "Mall":
        """From the summary of a run."""
        said = json.loads((folder / "mall.json").read_text())
        return cls(
            now=said["cut_off"],
            timezone=said["timezone"],
            customers=said["customers"],
            rows=said["rows"],
            doubled=said["doubled"],
            broken=said["broken"],
        )

    def planted(self) -> dict[str, dict[str, int]]:
        """By channel: rows written, and how many of them a ledger must call duplicate and quarantined."""
        totals: dict[str, dict[str, int]] = {}
        for name, counts in (("rows", self.rows), ("doubled", self.doubled), ("broken", self.broken)):
            for key, count in counts.items():
                channel = key.partition("/")[0]
                empty = {"rows": 0, "doubled": 0, "broken": 0}
                totals.setdefault(channel, empty)[name] += count
        return dict(sorted(totals.items()))

    def summary(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "customers": self.customers,
            "rows": {channel: counts["rows"] for channel, counts in self.planted().items()},
            "planted": self.planted(),
        }


def write_inbox(settings: Settings, people: int | None = None, preset: str = PRESET) -> Mall:
    """Make the mall, and move its files into the inbox, each whole and under its final name at once.

    Args:
        settings: where the inbox is.
        people: how many live in it; the preset's number by default.
        preset: a preset's name, or a TOML file of the simulator's parameters.

    Returns:
        What the simulator says it wrote.

    Raises:
        GenomeError: the simulator failed.
    """
    folder = settings.home / FOLDER
    command = [sys.executable, "-m", "genome.cli", "simulate", "--out", str(folder), "--preset", preset]
    command += ["--customers", str(people)] if people else []
    done = subprocess.run(
        [*command, "--workers", str(settings.threads), "--json"],
        env=os.environ | settings.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GenomeError(
            f"The mall could not be made: {done.stderr.strip()[-500:]}.",
            "Run `genome simulate --preset demo --out DIR` by hand to see more.",
        )
    for path in sorted((folder / "inbox").glob("*/*")):
        final = settings.inbox / path.relative_to(folder / "inbox")
        files.make_folder(final.parent)
        files.commit(path, final)
    return Mall.read(folder)
