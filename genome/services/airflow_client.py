"""Talk to a running Airflow through its REST API: trigger a DAG, and follow what its Assets wake."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
from pydantic import BaseModel

from genome.errors import GenomeError, UnavailableError
from genome.services import airflow_env
from genome.settings import Settings

FINISHED = {"success", "failed"}


class DagRun(BaseModel):
    """One run as Airflow knows it."""

    dag_id: str
    run_id: str
    state: str


class _ServerError(GenomeError):
    """Airflow answered 5xx."""


class AirflowClient:
    """A client for this installation's Airflow, logged in as its admin; use it as a context manager."""

    def __init__(self, settings: Settings, *, timeout_seconds: float = 30.0) -> None:
        self._settings = settings
        # trust_env=False: a proxy of the environment has no business between two loopback ports.
        self._http = httpx.Client(
            base_url=airflow_env.url(settings), timeout=timeout_seconds, trust_env=False, auth=self._authorize
        )
        self._token: str | None = None

    def __enter__(self) -> "AirflowClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def dag_ids(self) -> list[str]:
        """The DAGs that Airflow has read so far."""
        return sorted(dag["dag_id"] for dag in self._get("/api/v2/dags", limit=100)["dags"])

    def roots(self) -> list[str]:
        """The DAGs that no Asset wakes: the ones a journey begins with."""
        assets = self._get("/api/v2/assets", limit=100)["assets"]
        woken = {dag["dag_id"] for asset in assets for dag in asset["scheduled_dags"]}
        return [dag_id for dag_id in self.dag_ids() if dag_id not in woken]

    def wait_until_known(self, dag_ids: list[str], timeout_seconds: float = 120.0) -> None:
        """Return when Airflow has read these DAGs (after a start that takes some seconds)."""
        self._until(
            lambda: set(dag_ids) <= set(self.dag_ids()) or None, timeout_seconds, f"knew {', '.join(dag_ids)}"
        )

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> DagRun:
        """Start a run of a DAG."""
        body = {"logical_date": None, "conf": conf or {}}
        return self._run(self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body))

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """A run as it is now."""
        return self._run(self._get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def wait(self, run: DagRun, timeout_seconds: float = 1800.0) -> DagRun:
        """Return the run when it has ended, however it ended."""

        def ended() -> DagRun | None:
            now = self.run(run.dag_id, run.run_id)
            return now if now.state in FINISHED else None

        return self._until(ended, timeout_seconds, f"ended {run.dag_id}")

    def wait_for_chain(
        self,
        *begun: DagRun,
        timeout_seconds: float = 1800.0,
        on_change: Callable[[DagRun], None] = lambda _: None,
    ) -> list[DagRun]:
        """Wait for runs and for every run that their Assets wake, and theirs; returns them as they ended.

        Assets that are told while a DAG runs wake it once, so several runs may lead to one and the same.

        Raises:
            GenomeError: one of them failed, or the time is over.
        """
        deadline = time.monotonic() + timeout_seconds
        waiting: list[DagRun] = list(begun)
        done: list[DagRun] = []
        while waiting:
            current = waiting.pop(0)
            on_change(self.run(current.dag_id, current.run_id))
            ended = self.wait(current, max(1.0, deadline - time.monotonic()))
            on_change(ended)
            done.append(ended)
            if ended.state != "success":
                raise GenomeError(
                    f"{ended.dag_id} (run {ended.run_id}) ended as '{ended.state}'.",
                    f"Its log: {airflow_env.url(self._settings)}/dags/{ended.dag_id}/runs/{ended.run_id}",
                )
            known = {(each.dag_id, each.run_id) for each in [*waiting, *done]}
            for woken in self._woken_by(ended, deadline):
                if (woken.dag_id, woken.run_id) not in known:
                    waiting.append(woken)
        return done

    def _woken_by(self, run: DagRun, deadline: float) -> list[DagRun]:
        """The runs that the Asset events of an ended run started: one for each DAG scheduled on them."""
        woken: list[DagRun] = []
        for event in self._until(
            partial(self._asset_events, run), deadline - time.monotonic(), "told its Asset events"
        ):
            for consumer in self._get(f"/api/v2/assets/{event['asset_id']}")["scheduled_dags"]:
                find = partial(self._started_by, run, event["id"], consumer["dag_id"])
                what = f"started {consumer['dag_id']}, which waits for '{event['name']}'"
                woken.append(self._until(find, max(1.0, deadline - time.monotonic()), what))
        return woken

    def _started_by(self, run: DagRun, event_id: int, consumer: str) -> DagRun | None:
        for event in self._asset_events(run) or []:
            for created in event["created_dagruns"]:
                if event["id"] == event_id and created["dag_id"] == consumer:
                    return DagRun(dag_id=consumer, run_id=created["run_id"], state=created["state"])
        return None

    def _asset_events(self, run: DagRun) -> list[dict[str, Any]] | None:
        """The Asset events of a run; None where Airflow cannot say yet."""
        query = {"source_dag_id": run.dag_id, "source_run_id": run.run_id, "limit": 100}
        try:
            events: list[dict[str, Any]] = self._get("/api/v2/assets/events", **query)["asset_events"]
        except _ServerError:
            # Airflow 3.3 answers 500 while a run that an event started is still queued: its response model
            # wants the begin of a run that has not begun.
            return None
        return events

    def _until(self, probe: Callable[[], Any], timeout_seconds: float, what: str) -> Any:
        deadline = time.monotonic() + timeout_seconds
        while True:
            found = probe()
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"Airflow had not {what} after {timeout_seconds:.0f} s.",
                    "Look at `genome status` and at the log of airflow-scheduler.",
                )
            time.sleep(0.5)

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._request("GET", path, params=query)

    def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"Airflow at {airflow_env.url(self._settings)} does not answer ({error}).",
                "Start it: `genome up`.",
            ) from error
        if response.is_error:
            raise (_ServerError if response.is_server_error else GenomeError)(
                f"Airflow answered {method} {path} with {response.status_code}: {response.text[:500]}.",
                "Its log: `logs/airflow-api.log`.",
            )
        document: dict[str, Any] = response.json()
        return document

    def _authorize(self, request: httpx.Request) -> httpx.Request:
        if self._token is None:
            answer = httpx.post(
                f"{airflow_env.url(self._settings)}/auth/token",
                json={"username": airflow_env.USER, "password": airflow_env.password(self._settings)},
                timeout=30.0,
                trust_env=False,
            )
            answer.raise_for_status()
            self._token = str(answer.json()["access_token"])
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    @staticmethod
    def _run(document: dict[str, Any]) -> DagRun:
        return DagRun(dag_id=document["dag_id"], run_id=document["dag_run_id"], state=document["state"])
