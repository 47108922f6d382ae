"""The mall's days: local days as UTC instants, weekdays, and what the season does to trips."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from genome.simulate.parameters import Parameters
from genome.simulate.randomness import Floats, Ints

HOUR = 3_600_000
DAY = 24 * HOUR
"""Milliseconds, the unit of every instant in the simulator."""

# People shop for presents before Christmas: the sellers of presents feel it more than the grocer.
CHRISTMAS = (12, 25)


@dataclass(frozen=True)
class Calendar:
    """Arrays over the days 0 … D (day D is the cut-off's), all as the mall's own clock sees them."""

    dates: list[date]
    midnight: Ints
    """UTC milliseconds at which each local day begins."""
    weekday: Ints
    """0 is Monday."""
    trips: Floats
    """Factor on the trips of each day: weekend, promotion, Christmas."""
    is_promotion: Ints
    _daytime: Ints

    @property
    def days(self) -> int:
        """Days of history."""
        return len(self.dates) - 1

    @property
    def cut_off(self) -> int:
        """UTC milliseconds of the end."""
        return int(self.midnight[-1])

    def instant(self, day: Ints, millisecond: Ints) -> Ints:
        """UTC milliseconds of a local wall-clock time (04:00 or later, past any change of the clock)."""
        return self._daytime[day] + millisecond

    def day_of(self, instant: Ints) -> Ints:
        """The local day of an instant: before the first one −1, after the last one D."""
        return np.searchsorted(self.midnight, instant, side="right") - 1

    def week_of(self, day: Ints) -> Ints:
        """Weeks since the start."""
        return day // 7

    def months(self) -> list[str]:
        """The local months touched, as 2024-11."""
        return sorted({day.strftime("%Y-%m") for day in self.dates[:-1]})


def calendar(parameters: Parameters) -> Calendar:
    """The days of the period."""
    run, world, behaviour = parameters.run, parameters.world, parameters.behaviour
    zone = ZoneInfo(run.timezone)
    dates = [run.start + timedelta(days=number) for number in range(run.days + 1)]

    def utc(day: date, hour: int) -> int:
        return int(datetime.combine(day, time(hour), tzinfo=zone).astimezone(UTC).timestamp() * 1000)

    trips = np.ones(len(dates))
    promotion = np.zeros(len(dates), dtype=np.int64)
    for number, day in enumerate(dates):
        if day.weekday() >= 5:
            trips[number] *= behaviour.weekend_lift
        to_christmas = (date(day.year, *CHRISTMAS) - day).days
        if 0 < to_christmas <= 21:
            trips[number] *= 1 + (behaviour.christmas_lift - 1) * min(1.0, (22 - to_christmas) / 15)
        if (day.month, day.day) == CHRISTMAS:
            trips[number] = 0.0
        if (day.month, day.day) == (world.promotion_month, world.promotion_day):
            trips[number] *= world.promotion_lift
            promotion[number] = 1
    return Calendar(
        dates=dates,
        midnight=np.array([utc(day, 0) for day in dates], dtype=np.int64),
        weekday=np.array([day.weekday() for day in dates], dtype=np.int64),
        trips=trips,
        is_promotion=promotion,
        _daytime=np.array([utc(day, 12) - 12 * HOUR for day in dates], dtype=np.int64),
    )
