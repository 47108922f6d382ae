"""Days that Airflow can backfill and that nothing starts by itself.

`schedule=None` would do for the latter, but Airflow backfills only what has a timetable.
"""

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable


class DaysOnRequest(CronDataIntervalTimetable):
    """Each day (UTC) is a data interval; only a backfill makes runs of them."""

    description = "each day, on request"

    def __init__(self) -> None:
        super().__init__("0 0 * * *", timezone="UTC")

    @property
    def summary(self) -> str:
        """What the list of DAGs shows."""
        return "days, by backfill"

    def serialize(self) -> dict[str, object]:
        """There is nothing to remember."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, object]) -> "DaysOnRequest":  # noqa: ARG003 - Airflow passes it
        """The only one there is."""
        return cls()

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """A backfill asks with catch-up, the scheduler without (`catchup=False` on every DAG of this house)."""
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
