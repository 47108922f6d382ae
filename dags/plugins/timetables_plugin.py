"""Tells Airflow's processes of our timetable, so that they can read it from their database."""

from airflow.plugins_manager import AirflowPlugin

from dags.timetables import DaysOnRequest


class TimetablesPlugin(AirflowPlugin):
    """One timetable."""

    name = "genome_timetables"
    timetables = [DaysOnRequest]  # noqa: RUF012 - Airflow reads it so
