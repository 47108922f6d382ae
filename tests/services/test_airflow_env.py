"""The variables Airflow is started with."""

import json

from genome.services import airflow_env
from genome.settings import Settings
from tests.conftest import make_settings


def test_airflow_lives_under_home_and_knows_its_port(settings: Settings) -> None:
    found = airflow_env.environment(settings)
    assert found["AIRFLOW_HOME"] == str(settings.home / "airflow")
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{settings.home}/airflow/airflow.db"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == (
        f"http://127.0.0.1:{settings.airflow_port}/execution/"
    )
    assert found["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    # A paused consumer of an Asset is skipped without a word.
    assert found["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "False"
    assert int(found["AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME"]) > 3600


def test_secrets_are_made_once_long_enough_and_readable_by_their_owner_only(settings: Settings) -> None:
    first, second = airflow_env.environment(settings), airflow_env.environment(settings)
    assert first == second
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    assert first["AIRFLOW__API_AUTH__JWT_SECRET"] != first["AIRFLOW__API__SECRET_KEY"]
    assert {path.stat().st_mode & 0o777 for path in settings.secrets.iterdir()} == {0o600}
    assert (
        airflow_env.password(settings) == json.loads(airflow_env.password_file(settings).read_text())["admin"]
    )


def test_a_database_url_wins_over_sqlite_and_a_wildcard_host_is_called_on_loopback(
    settings: Settings,
) -> None:
    other = make_settings(
        settings.home, airflow_database_url="postgresql+psycopg2://db/airflow", host="0.0.0.0"
    )
    found = airflow_env.environment(other)
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql+psycopg2://db/airflow"
    assert found["AIRFLOW__API__HOST"] == "0.0.0.0"
    assert found["AIRFLOW__API__BASE_URL"] == f"http://127.0.0.1:{other.airflow_port}"


def test_a_task_gets_the_settings_of_whoever_started_airflow(settings: Settings) -> None:
    found = airflow_env.child_environment(settings)
    assert found["GENOME_HOME"] == str(settings.home)
    assert found["GENOME_NOW"] == "2018-01-01T04:59:59+00:00"
