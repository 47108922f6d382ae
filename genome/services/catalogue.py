"""Which services there are: what each runs, where it answers, what it needs, how to see that it works."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from genome.errors import GenomeError, UsageError
from genome.lake import publish
from genome.services import airflow_env
from genome.services.checks import airflow_heartbeat, consumer_alive, http_ok, in_thread
from genome.services.supervisor import Service
from genome.settings import Settings
from genome.stores import valkey
from genome.stream.registry import ABOUT, CONSUMERS

NAMES = (
    "events",
    "online",
    "airflow-api",
    "airflow-scheduler",
    "airflow-dags",
    "mlflow",
    "api",
    "collector",
    *CONSUMERS,
)
"""In the order in which they start."""

GROUPS = {
    "valkey": ("events", "online"),
    "airflow": ("airflow-api", "airflow-scheduler", "airflow-dags"),
    "stream": tuple(CONSUMERS),
}
"""Names that stand for several services in `genome up --only`."""


def chosen(only: Sequence[str]) -> list[str]:
    """The services meant by `--only` (all where nothing is named)."""
    unknown = [name for name in only if name not in NAMES and name not in GROUPS]
    if unknown:
        raise UsageError(
            f"There is no service '{unknown[0]}'.", f"There are: {', '.join([*NAMES, *GROUPS])}."
        )
    wanted = {member for name in only for member in GROUPS.get(name, (name,))}
    return [name for name in NAMES if not only or name in wanted]


def services(
    settings: Settings, names: Sequence[str] = NAMES, dags_folder: Path = airflow_env.DAGS
) -> list[Service]:
    """The chosen services, in the order in which they start."""
    makers: dict[str, Callable[[], Service]] = {
        "events": lambda: _valkey(settings, "events"),
        "online": lambda: _valkey(settings, "online"),
        "airflow-api": lambda: _airflow_api(settings, dags_folder),
        "airflow-scheduler": lambda: _airflow_part(
            settings, dags_folder, "airflow-scheduler", ("scheduler", "--skip-serve-logs"), "scheduler"
        ),
        "airflow-dags": lambda: _airflow_part(
            settings, dags_folder, "airflow-dags", ("dag-processor",), "dag_processor"
        ),
        "mlflow": lambda: _mlflow(settings),
        "api": lambda: _api(settings),
        "collector": lambda: _collector(settings),
        **{name: partial(_consumer, settings, name) for name in CONSUMERS},
    }
    return [makers[name]() for name in NAMES if name in names]


def _valkey(settings: Settings, name: valkey.StoreName) -> Service:
    def check() -> None:
        status = valkey.status(settings, name)
        if not status.is_running:
            raise GenomeError(f"The {name} store: {status.problem or 'it does not answer'}.", "")

    def start() -> None:
        valkey.ensure(settings, name)
        if name == "online":
            _refill(settings)

    return Service(
        name=name,
        about={"events": "event stream, caps, consent", "online": "features for serving"}[name],
        start=start,
        stop=lambda: _stop_valkey(settings, name),
        check=in_thread(check),
        url=valkey.status(settings, name).address,
    )


def _stop_valkey(settings: Settings, name: valkey.StoreName) -> None:
    valkey.stop(settings, name)


def _refill(settings: Settings) -> None:
    """The online store keeps nothing on disk: after a start it is filled again from what is published."""
    if publish.current(settings, "genome") is None:
        return
    with valkey.connect(settings, "online", start=False) as client:
        if client.dbsize():
            return
    done = subprocess.run(
        [sys.executable, "-m", "genome.cli", "serve-features", "--json"],
        env={**os.environ, **settings.environment()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GenomeError(
            f"The online store is empty and could not be filled: {done.stderr.strip()[-500:]}.",
            "Run `genome serve-features`.",
        )


def _airflow_api(settings: Settings, dags_folder: Path) -> Service:
    base = airflow_env.url(settings)
    return Service(
        name="airflow-api",
        about="when things run: DAGs, runs, logs",
        command=(sys.executable, "-m", "airflow", "api-server"),
        environment=airflow_env.child_environment(settings, dags_folder),
        check=http_ok(f"{base}/api/v2/monitor/health"),
        url=base,
        host=settings.host,
        port=settings.airflow_port,
        port_setting="GENOME_AIRFLOW_PORT",
    )


def _airflow_part(
    settings: Settings, dags_folder: Path, name: str, arguments: tuple[str, ...], part: str
) -> Service:
    return Service(
        name=name,
        about={"scheduler": "starts runs and tasks", "dag_processor": "reads the DAG files"}[part],
        command=(sys.executable, "-m", "airflow", *arguments),
        environment=airflow_env.child_environment(settings, dags_folder),
        # Not after airflow-api: both take seconds to import, and the heartbeat is read there anyway.
        check=airflow_heartbeat(f"{airflow_env.url(settings)}/api/v2/monitor/health", part),
        grace_seconds=40.0,
    )


def _mlflow(settings: Settings) -> Service:
    database = settings.mlflow_database_url
    store = database.get_secret_value() if database else f"sqlite:///{settings.mlflow / 'mlflow.db'}"
    base = f"http://{airflow_env.reachable(settings.host)}:{settings.mlflow_port}"
    return Service(
        name="mlflow",
        about="which model: experiments, registry",
        command=(
            *(sys.executable, "-m", "mlflow", "server"),
            *("--host", settings.host, "--port", str(settings.mlflow_port), "--workers", "1"),
            *("--serve-artifacts", "--artifacts-destination", str(settings.mlflow / "artifacts")),
        ),
        # By the environment, not by --backend-store-uri: a URL may hold a password, which `ps` would show.
        environment={
            **os.environ,
            **settings.environment(),
            "MLFLOW_BACKEND_STORE_URI": store,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # Seven more processes (0.9 GB) for evaluations of language models, which nothing here asks for.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "DO_NOT_TRACK": "true",
        },
        check=http_ok(f"{base}/health"),
        url=base,
        host=settings.host,
        port=settings.mlflow_port,
        port_setting="GENOME_MLFLOW_PORT",
    )


def _api(settings: Settings) -> Service:
    base = f"http://{airflow_env.reachable(settings.host)}:{settings.api_port}"
    return Service(
        name="api",
        about="decisions, features, customers; OpenAPI at /docs",
        command=(sys.executable, "-m", "genome.cli", "api"),
        environment={**os.environ, **settings.environment()},
        check=http_ok(f"{base}/healthz"),
        after=("online", "events"),
        url=base,
        host=settings.host,
        port=settings.api_port,
        port_setting="GENOME_API_PORT",
    )


def _collector(settings: Settings) -> Service:
    base = f"http://{airflow_env.reachable(settings.host)}:{settings.collector_port}"
    return Service(
        name="collector",
        about="tracking API for SDKs, by itself; the API answers it, too",
        command=(sys.executable, "-m", "genome.cli", "collector"),
        environment={**os.environ, **settings.environment()},
        check=http_ok(f"{base}/readyz"),
        after=("events",),
        url=base,
        host=settings.host,
        port=settings.collector_port,
        port_setting="GENOME_COLLECTOR_PORT",
    )


def _consumer(settings: Settings, name: str) -> Service:
    return Service(
        name=name,
        about=ABOUT[name],
        command=(sys.executable, "-m", "genome.cli", "stream", name),
        environment={**os.environ, **settings.environment()},
        check=consumer_alive(settings, name),
        after=("events", "online"),
    )
