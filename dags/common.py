"""What every DAG shares: tags, Assets, the pool, defaults, and how a task runs a function of the library.

It is imported by each DAG file, so it imports nothing heavy itself.
"""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from airflow.sdk import Asset, AssetAny, get_current_context, task

from genome.services import runs
from genome.settings import Settings, load

log = logging.getLogger(__name__)

Summary = dict[str, Any]
"""What a task returns: a small JSON-able dict (counts, versions, paths), kept as its XCom."""

WAREHOUSE_POOL = "warehouse"
POOLS: Mapping[str, tuple[int, str]] = {
    WAREHOUSE_POOL: (
        1,
        "The DuckDB file: a process that writes it blocks every other, so one task at a time.",
    ),
}
"""pool -> (slots, why it exists); `dags.headless --prepare` creates them."""


class Tag(StrEnum):
    """The only tags a DAG may carry."""

    INGEST = "ingest"
    BUILD = "build"
    SERVING = "serving"
    TRAINING = "training"
    SCORING = "scoring"
    MAINTENANCE = "maintenance"


class Owner(StrEnum):
    """Who is asked when a DAG fails."""

    DATA = "data-engineering"
    ML = "ml-engineering"
    SERVING = "serving-engineering"


# An Asset says "this may have changed": a wake-up call. What really changed, each step finds out by itself
# from its own watermark or fingerprint, because Airflow may merge, delay or drop Asset events.
GENOME = Asset(name="genome", uri="x-genome://genome")
FEATURES = Asset(name="features", uri="x-genome://features")
CHAMPION = Asset(name="champion", uri="x-genome://models/next_best_offer/champion")
SCORES = Asset(name="scores", uri="x-genome://scores")


def channels() -> list[str]:
    """Names of the channels and feeds that can be ingested, in a fixed order."""
    from genome.channels import registry

    return sorted(registry())


def landed(channel: str) -> Asset:
    """The Asset that says: something of this channel may have landed in the lake."""
    return Asset(name=f"lake/{channel}", uri=f"x-genome://lake/{channel}")


STREAM = landed("stream")
"""Told every hour: what SDKs send lands by the second, and nobody wants a build for each of those."""


def any_channel() -> AssetAny:
    """Wakes when any channel lands: a build that waited for all would wait for the slowest source."""
    return AssetAny(*(landed(channel) for channel in channels()), STREAM)


def days() -> Any:
    """A schedule that starts nothing by itself and lets Airflow backfill day by day."""
    from dags.timetables import DaysOnRequest

    return DaysOnRequest()


def backfilled_day() -> date | None:
    """The day that this run backfills; None for every other run, which takes whatever is new."""
    run = get_current_context()["dag_run"]
    kind = str(getattr(run.run_type, "value", run.run_type))
    return run.logical_date.date() if kind == "backfill" and run.logical_date is not None else None


def settings() -> Settings:
    """The settings of this installation, read when a task runs (the environment carries them)."""
    return load()


def house(doc: str | None, owner: Owner, *tags: Tag, schedule: Any = None) -> dict[str, Any]:
    """What every DAG of this house is made with: `@dag(**house(__doc__, Owner.DATA, Tag.BUILD))`.

    Args:
        doc: the DAG file's docstring: purpose, owner, what to do when it fails. Shown on the DAG's page.
        owner: who is asked when it fails.
        tags: from the one Enum.
        schedule: an Asset condition, a cron expression, or None where something outside triggers it.
    """
    return {
        "doc_md": doc,
        "tags": [tag.value for tag in tags],
        "schedule": schedule,
        "catchup": False,
        # One run at a time: Asset events that arrive meanwhile are merged into the next run.
        "max_active_runs": 1,
        "default_args": {
            "owner": owner.value,
            "retries": 2,
            "retry_delay": timedelta(seconds=15),
            "retry_exponential_backoff": True,
            "max_retry_delay": timedelta(minutes=5),
            "execution_timeout": timedelta(hours=6),
            "on_failure_callback": _failed,
            "on_retry_callback": _retrying,
        },
    }


def step(
    *, pool: str = "default_pool", outlets: Sequence[Asset] = ()
) -> Callable[[Callable[..., Summary]], Any]:
    """A task that calls the library: keeps a record for `genome status`, and knows which errors to try again.

    A `GenomeError` needs a person, so it fails at once and says the remedy; `UnavailableError` and everything
    unforeseen is tried again with growing pauses.
    """

    def decorate(function: Callable[..., Summary]) -> Any:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Summary:
            from airflow.sdk.exceptions import AirflowFailException

            from genome.errors import GenomeError, UnavailableError

            identity = _identity(get_current_context())
            runs.started(settings(), **identity)
            try:
                summary = function(*args, **kwargs)
            except UnavailableError:
                raise
            except GenomeError as error:
                raise AirflowFailException(str(error)) from error
            runs.succeeded(settings(), **identity, summary=summary)
            return summary

        # One XCom a task, its summary, also where Airflow would make one of each key of a dict.
        return task(multiple_outputs=False, outlets=list(outlets), pool=pool)(run)

    return decorate


def _identity(context: Any) -> dict[str, Any]:
    instance = context["ti"]
    return {"dag_id": instance.dag_id, "run_id": instance.run_id, "task_id": instance.task_id}


def _failed(context: Any) -> None:
    _record_failure(context, will_retry=False)


def _retrying(context: Any) -> None:
    _record_failure(context, will_retry=True)


def _record_failure(context: Any, *, will_retry: bool) -> None:
    identity = _identity(context)
    error = context.get("exception")
    runs.failed(settings(), **identity, error=f"{type(error).__name__}: {error}", will_retry=will_retry)
    log.error(
        "%s.%s failed (%s): %s. The DAG's page says what to do.",
        identity["dag_id"],
        identity["task_id"],
        "it will be tried again" if will_retry else "for good",
        error,
    )
