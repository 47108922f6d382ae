"""The HTTP application: routes over `GenomeService`, and nothing else.

`create_app` reads nothing and starts nothing; the stores are opened when the app starts to serve.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from genome.api.auth import ROUTE_SCOPES, KeyRing, ensure_keys
from genome.api.guard import Guard, Problem, our_fault, problem
from genome.api.metrics import Metrics
from genome.api.routes import customers, decisions, features, health, population, products
from genome.collector.app import Collector
from genome.errors import GenomeError, UnavailableError, UsageError
from genome.settings import Settings

if TYPE_CHECKING:
    from genome.api.service import GenomeService

_ROUTERS = (
    health.router,
    decisions.router,
    features.router,
    customers.router,
    products.router,
    population.router,
)

_ERRORS: dict[int | str, str] = {
    400: "the body is no JSON",
    401: "no key, or one that is not known",
    403: "the key has another scope",
    404: "there is no such thing",
    413: "the body is too large",
    415: "the body is compressed",
    422: "a field is wrong, missing or unknown",
    503: "our own fault: try again after Retry-After",
}

_HTTP = {
    400: ("bad_request", "The body cannot be read.", "Send one JSON document."),
    404: ("no_such_route", "There is nothing at this address.", "See /openapi.json for what there is."),
    405: ("wrong_method", "This address does not take that method.", "See /openapi.json for what there is."),
}


def create_app(
    settings: Settings, *, service: "Callable[[Settings], GenomeService] | None" = None
) -> FastAPI:
    """Make the application.

    Args:
        settings: where everything is.
        service: opens the service, in place of the one on the real stores (tests).
    """
    from genome.api.service import open_service

    keys, metrics = KeyRing(settings), Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ensure_keys(settings)
        app.state.service = (service or open_service)(settings)
        app.state.service.warm()
        # It begins to write at its first event: an installation that collects elsewhere starts no store here.
        app.state.collector = Collector(settings)
        try:
            yield
        finally:
            await app.state.collector.shutdown()
            app.state.service.close()

    app = FastAPI(
        title="Customer Genome",
        summary="One living genome for each customer, and the next best offer, or silence.",
        version="1",
        lifespan=lifespan,
        # FastAPI's own pages load scripts from elsewhere; a client that is redirected may drop its body.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={status: {"model": Problem, "description": about} for status, about in _ERRORS.items()},
    )
    app.state.settings, app.state.metrics = settings, metrics
    for router in _ROUTERS:
        app.include_router(router)
    app.router.routes.extend(_tracking_routes(app))
    _refuse_unlisted_routes(app)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(GenomeError, _genome)
    _complete_the_description(app)
    app.add_middleware(Guard, api=app, keys=keys, metrics=metrics)
    return app


class _Tracking:
    """The collector as an endpoint; the guard hands requests over before they get here."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app.state.collector(scope, receive, send)


def _tracking_routes(app: FastAPI) -> list[Route]:
    tracking = _Tracking(app)
    return [
        Route(path, endpoint=tracking, methods=[method], include_in_schema=False)
        for method, path in Collector.ROUTES
    ]


_TRACKING_ERRORS = {
    400: "the body is no JSON, no batch, or no gzip",
    401: "no write key, or one that no source has; a webhook without its provider's signature",
    403: "a key of another scope",
    404: "there is no such webhook",
    408: "the body did not arrive in time",
    413: "the body, or the number of events, is over the limit",
    415: "an encoding other than gzip and identity",
    503: "our own fault, or too much at once: send the same request again after Retry-After",
}


def _described_tracking() -> dict[str, Any]:
    """The collector's routes for the OpenAPI document: FastAPI sees nothing of them but their paths."""
    said = {"type": "object", "properties": {"code": {"type": "string"}, "message": {"type": "string"}}}
    errors = {
        str(status): {"description": about, "content": {"application/json": {"schema": said}}}
        for status, about in _TRACKING_ERRORS.items()
    }
    paths: dict[str, Any] = {}
    for (method, path), about in Collector.ROUTES.items():
        operation: dict[str, Any] = {
            "tags": ["tracking"],
            "summary": about.rstrip("."),
            "operationId": f"tracking_{path.rsplit('/', 1)[-1].strip('{}')}",
            "responses": {"200": {"description": "everything that was sent is on disk"}, **errors},
        }
        if method == "POST":
            body = {"application/json": {"schema": {"type": "object"}}}
            operation["requestBody"] = {"required": True, "content": body}
        if "{source}" in path:
            operation["parameters"] = [
                {"name": "source", "in": "path", "required": True, "schema": {"type": "string"}}
            ]
        paths[path] = {method.lower(): operation}
    return paths


def _refuse_unlisted_routes(app: FastAPI) -> None:
    for route in app.routes:
        for method in getattr(route, "methods", None) or ():
            if method != "HEAD" and (method, getattr(route, "path", "")) not in ROUTE_SCOPES:
                raise RuntimeError(
                    f"{method} {getattr(route, 'path', '')} has no scope: add it to genome/api/auth.py"
                )


def _complete_the_description(app: FastAPI) -> None:
    """Add to the OpenAPI document what FastAPI cannot know: scopes, and that errors are JSON on pages too."""
    plain = app.openapi

    def complete() -> dict[str, Any]:
        document = plain()
        document["paths"] |= _described_tracking()
        document["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "a key of the route's scope"}
        }
        for (method, path), scope in ROUTE_SCOPES.items():
            operation = document["paths"].get(path, {}).get(method.lower())
            if operation is None:
                continue
            if scope is not None:
                operation["security"] = [{"key": []}]
                operation["x-scope"] = scope
            for status in _ERRORS if scope != "ingest" else ():
                content = operation["responses"][str(status)]["content"]
                content["application/json"] = {"schema": {"$ref": "#/components/schemas/Problem"}}
        return document

    app.openapi = complete  # type: ignore[method-assign]


def _invalid(_: Request, error: Exception) -> Response:
    """422 with the first fault. The value is not repeated: it may be personal, and callers log errors."""
    first: dict[str, Any] = (
        dict(error.errors()[0]) if isinstance(error, RequestValidationError) else {"loc": (), "msg": ""}
    )
    place, *path = [str(part) for part in first["loc"]] or ["body"]
    if first.get("type") == "json_invalid":
        return problem(400, "bad_json", "The body is no JSON.", "Send one JSON document.")
    field = ".".join(path) or place
    if first.get("type") == "extra_forbidden":
        return problem(
            422,
            "unknown_field",
            f"'{field}' is no field of this request.",
            "Leave it out, or see /openapi.json.",
        )
    return problem(
        422, "invalid_field", f"{place} '{field}': {first['msg']}.", "Mend the field; see /openapi.json."
    )


def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status >= 500:
        return our_fault()
    if status == 405:  # Starlette names the methods of the first route of this path only
        routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
        headers["Allow"] = ", ".join(sorted({method for route in routes for method in route.methods}))
    code, message, remedy = _HTTP.get(
        status, ("refused", "The request cannot be served.", "See /openapi.json.")
    )
    return problem(status, code, message, remedy, headers)


def _genome(_: Request, error: Exception) -> Response:
    from genome.api.service import ConflictError, NotFoundError

    what = error.what if isinstance(error, GenomeError) else ""
    remedy = error.remedy if isinstance(error, GenomeError) else ""
    if isinstance(error, NotFoundError):
        return problem(404, "not_found", what, remedy)
    if isinstance(error, ConflictError):
        return problem(422, "idempotency_conflict", what, remedy)
    if isinstance(error, UsageError):
        return problem(422, "invalid_request", what, remedy)
    if isinstance(error, UnavailableError):
        return our_fault(what)
    return our_fault()
