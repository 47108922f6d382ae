"""The data that the demo can take through the journey: who exports the files, and the settings that go with them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genome.errors import UsageError
from genome.settings import Settings


@dataclass(frozen=True)
class Exported:
    """What the retailer's export jobs did.

    Attributes:
        summary: as plain values, for the report.
        settings: of this installation, beside those of the data set's own file.
    """

    summary: dict[str, Any]
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """One retailer for the demo.

    Attributes:
        name: as `--data` takes it.
        title: as the report calls it.
        export: writes the files into the inbox; of so many customers, or of all.
        further: verbs to look further with (`{home}` is the home's folder), and what each shows.
    """

    name: str
    title: str
    export: Callable[[Settings, int | None], Exported]
    further: tuple[tuple[str, str], ...] = ()

    @property
    def settings_file(self) -> Path:
        """The settings of a home with this data."""
        return Path(__file__).parent / f"{self.name}.toml"


def _complete_journey(settings: Settings, people: int | None) -> Exported:
    from genome.demo.complete_journey import write_inbox

    return Exported(write_inbox(settings, households=people).summary())


def _mall(settings: Settings, people: int | None) -> Exported:
    from genome.demo.mall import write_inbox

    mall = write_inbox(settings, people)
    return Exported(mall.summary(), {"now": mall.now, "business_timezone": mall.timezone})


DATA_SETS = {
    each.name: each
    for each in (
        DataSet("complete-journey", "one year of a real grocer", _complete_journey),
        DataSet(
            "mall",
            "half a year of a made-up mall, through every channel",
            _mall,
            (
                (
                    "genome simulate recover {home}/mall",
                    "what was planted in the mall, and what is found of it",
                ),
            ),
        ),
    )
}


def data_set(name: str) -> DataSet:
    """A data set by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in DATA_SETS:
        raise UsageError(f"--data {name} is not known.", f"There is: {', '.join(DATA_SETS)}.")
    return DATA_SETS[name]
