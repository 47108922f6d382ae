"""Which services there are, and how they are chosen."""

import pytest

from genome.errors import UsageError
from genome.services import catalogue
from genome.settings import Settings
from tests.conftest import make_settings


def test_names_and_groups_choose_services_in_their_starting_order() -> None:
    assert catalogue.chosen([]) == list(catalogue.NAMES)
    assert catalogue.chosen(["api", "valkey"]) == ["events", "online", "api"]
    assert catalogue.chosen(["stream"]) == list(catalogue.CONSUMERS)
    assert "land" in catalogue.CONSUMERS
    assert catalogue.chosen(["airflow"]) == ["airflow-api", "airflow-scheduler", "airflow-dags"]


def test_an_unknown_service_is_a_wrong_call_that_lists_them() -> None:
    with pytest.raises(UsageError, match=r"no service 'airflaw'.*There are: events, online"):
        catalogue.chosen(["api", "airflaw"])


def test_services_bind_to_the_ports_of_the_settings_and_name_the_setting(settings: Settings) -> None:
    ports = {each.name: (each.port, each.port_setting) for each in catalogue.services(settings) if each.port}
    assert ports == {
        "airflow-api": (settings.airflow_port, "GENOME_AIRFLOW_PORT"),
        "mlflow": (settings.mlflow_port, "GENOME_MLFLOW_PORT"),
        "api": (settings.api_port, "GENOME_API_PORT"),
        "collector": (settings.collector_port, "GENOME_COLLECTOR_PORT"),
    }


def test_no_password_stands_in_a_command_line_which_ps_shows(settings: Settings) -> None:
    secret = make_settings(
        settings.home,
        mlflow_database_url="postgresql://u:hunter2@db/mlflow",
        airflow_database_url="postgresql+psycopg2://u:hunter2@db/airflow",
        online_url="redis://:hunter2@127.0.0.1:1/0",
    )
    services = catalogue.services(secret)
    assert len(services) == len(catalogue.NAMES)
    for each in services:
        assert "hunter2" not in " ".join(each.command), each.name
        assert "hunter2" not in repr(each), each.name
        assert "hunter2" not in (each.url or ""), each.name
