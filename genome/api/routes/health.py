"""Whether the service lives, whether it can serve, and its figures. No personal data, so no key."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from genome import clock
from genome.api.guard import RETRY_AFTER_SECONDS
from genome.api.metrics import CONTENT_TYPE
from genome.api.routes import Service
from genome.customers.page import SECURITY, start_page

router = APIRouter(tags=["health"])


@router.get("/", response_class=HTMLResponse, summary="Where to start")
def start() -> HTMLResponse:
    """A page with a search box for the service agent and links for everybody else."""
    return HTMLResponse(start_page(), headers=SECURITY)


@router.get("/healthz", summary="Alive")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz", summary="Can serve, and what is stale")
def readyz(service: Service, request: Request) -> JSONResponse:
    """503 where a store does not answer or nothing is published; what is merely old is under `stale`."""
    found = service.readiness()
    body: dict[str, Any] = {
        "status": "ready" if found.is_ready else "not_ready",
        "problems": found.problems,
        "stale": found.stale,
        "stores": found.stores,
        "publications": found.publications,
        "now": clock.now(request.app.state.settings).isoformat(),
    }
    if found.is_ready:
        return JSONResponse(body)
    return JSONResponse(body, status_code=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


@router.get("/metrics", response_class=PlainTextResponse, summary="Figures for Prometheus")
def figures(request: Request, service: Service) -> Response:
    """Requests, decisions, the age of what is published; the ledger of events and how far its readers are."""
    metrics = request.app.state.metrics
    for group, seconds in service.publication_ages().items():
        metrics.publication_age.labels(group).set(seconds)
    text = metrics.text() + request.app.state.collector.metrics()
    return Response(text, media_type=CONTENT_TYPE)
