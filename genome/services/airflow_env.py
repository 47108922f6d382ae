"""The environment Airflow needs, as plain variables: to be set before anything imports airflow.

No airflow is imported here; the processes that do get these variables from whoever starts them.
"""

import base64
import json
import os
import secrets
from pathlib import Path

from genome.settings import PROJECT_ROOT, Settings
from genome.stores.secrets import made_once

DAGS = PROJECT_ROOT / "dags"
USER = "admin"
TASK_TOKEN_SECONDS = 12 * 3600
"""A task's token must outlive the longest task: with the default, one over ten minutes can die."""


def url(settings: Settings) -> str:
    """Where Airflow's pages and REST API answer."""
    return f"http://{reachable(settings.host)}:{settings.airflow_port}"


def reachable(host: str) -> str:
    """An address to call a service at that binds to `host` (a wildcard cannot be called)."""
    return "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - compared, not bound


def password_file(settings: Settings) -> Path:
    """The file of Airflow's users and passwords, made on first use: one admin with a random password."""
    made_once(settings, "airflow_passwords.json", lambda: json.dumps({USER: secrets.token_urlsafe(15)}))
    return settings.secrets / "airflow_passwords.json"


def password(settings: Settings) -> str:
    """The admin's password for Airflow's pages and REST API."""
    value: str = json.loads(password_file(settings).read_text())[USER]
    return value


def environment(settings: Settings, dags_folder: Path = DAGS) -> dict[str, str]:
    """`AIRFLOW__*` variables for this installation (secrets included: never log it).

    Args:
        settings: where things lie and which ports they answer on.
        dags_folder: where the DAG files are.
    """
    base = url(settings)
    database = settings.airflow_database_url
    section = {
        "CORE__DAGS_FOLDER": str(dags_folder),
        "CORE__PLUGINS_FOLDER": str(DAGS / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        # A paused consumer of an Asset is skipped without a word.
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # Without it Airflow asks the resolver for this machine's full name, which can hang without a network.
        "CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "CORE__PARALLELISM": str(max(2, settings.threads)),
        "CORE__FERNET_KEY": made_once(settings, "airflow_fernet.key", _fernet_key),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(settings)),
        # Said aloud because the port is not Airflow's default: tasks report to this address.
        "CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": (
            database.get_secret_value() if database else f"sqlite:///{settings.airflow / 'airflow.db'}"
        ),
        "API__HOST": settings.host,
        "API__PORT": str(settings.airflow_port),
        "API__BASE_URL": base,
        "API__SECRET_KEY": made_once(settings, "airflow_session.key", _signing_key),
        "API_AUTH__JWT_SECRET": made_once(settings, "airflow_jwt.key", _signing_key),
        "EXECUTION_API__JWT_EXPIRATION_TIME": str(TASK_TOKEN_SECONDS),
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # Fast parsing: DAG files are few, and a changed one should be seen in seconds.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "15",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "LOGGING__BASE_LOG_FOLDER": str(settings.logs / "airflow"),
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(
            settings.logs / "airflow" / "dag_processor"
        ),
        "LOGGING__LOGGING_LEVEL": settings.log_level,
        "LOGGING__COLORED_CONSOLE_LOG": "False",
        # Great Expectations prints hundreds of lines when it is imported under Airflow's logging.
        "LOGGING__NAMESPACE_LEVELS": "great_expectations=WARNING",
    }
    return {
        "AIRFLOW_HOME": str(settings.airflow),
        **{f"AIRFLOW__{key}": value for key, value in section.items()},
    }


def child_environment(settings: Settings, dags_folder: Path = DAGS) -> dict[str, str]:
    """What a process that imports airflow is started with: ours on top of the caller's, settings included."""
    return {**os.environ, **settings.environment(), **environment(settings, dags_folder)}


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _signing_key() -> str:
    return secrets.token_urlsafe(64)  # 86 characters; Airflow wants 64 or more
