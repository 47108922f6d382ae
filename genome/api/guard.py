"""The first thing a request meets: who is it, may it, is it small enough; and what happens when we fail.

It stands before FastAPI so that nobody's body is parsed before their key was looked at, and it is one place,
so no route can forget it.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import BaseModel, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from genome.api.auth import BROWSER_ROUTES, ROUTE_SCOPES, KeyRing, presented_key
from genome.api.metrics import Metrics
from genome.collector.app import Collector, route_of
from genome.errors import UnavailableError

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_BODY_BYTES = 64 * 1024
RETRY_AFTER_SECONDS = 2

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_INGESTING = frozenset(path for _, path in Collector.ROUTES)

_log = structlog.get_logger("genome.api")

_ALWAYS = {
    # Answers hold personal data: no cache on the way may keep them.
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Problem(BaseModel):
    """An error, the same on every route."""

    code: str = Field(description="for programs; it does not change")
    message: str = Field(description="for people: what is wrong")
    remedy: str = Field(description="for people: what to do next")


def problem(
    status: int, code: str, message: str, remedy: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An error as every route gives it: a code for programs, a message and a remedy for people."""
    return JSONResponse(
        {"code": code, "message": message, "remedy": remedy}, status_code=status, headers=headers
    )


def our_fault(message: str = "Something on our side failed.") -> JSONResponse:
    """503: clients drop what they sent on a 4xx, and keep it on a 503."""
    return problem(
        503,
        "unavailable",
        message,
        f"Send the same request again in {RETRY_AFTER_SECONDS} seconds.",
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


class Guard:
    """ASGI middleware: key and scope, body size, faults to 503, one log line and the figures."""

    def __init__(self, app: Any, *, api: "FastAPI", keys: KeyRing, metrics: Metrics) -> None:
        self._app = app
        self._api = api
        self._keys = keys
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if route_of(scope["path"]) in _INGESTING:
            await self._collect(scope, receive, send)
            return
        began = time.perf_counter()
        route = self._route(scope)
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            refusal = self._refuse(scope, route)
            if refusal is None:
                refusal, receive = await _whole_body(scope, receive)
            await (refusal or self._app)(scope, receive, send_on)
        except UnavailableError as error:
            _log.warning("unavailable", route=route, what=type(error).__name__)
            if status:
                raise
            await our_fault(error.what)(scope, receive, send_on)
        except Exception as error:
            # An exception's message may quote what somebody sent: its type and place are enough to find it.
            _log.error("fault", route=route, error=type(error).__name__, at=_place(error))
            if status:
                raise
            await our_fault()(scope, receive, send_on)
        finally:
            seconds = time.perf_counter() - began
            method = scope["method"] if route else "other"
            self._metrics.requests.labels(method, route or "none", str(status)).inc()
            self._metrics.seconds.labels(method, route or "none").observe(seconds)
            _log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 2))

    async def _collect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a tracking call to the collector: it has its own keys, limits, faults and figures."""
        headers = Headers(scope=scope)
        text = presented_key(headers.get("authorization"), basic=False)
        key = self._keys.find(text) if text else None
        if key is not None:  # a key of ours, which opens other routes: nothing of the body is read
            refusal = problem(
                403,
                "wrong_scope",
                f"This needs the scope 'ingest'; the key has {', '.join(sorted(key.scopes))}.",
                "Use a source's write key, of scope 'ingest': `genome sources add`.",
            )
            await refusal(scope, receive, send)
            return
        await self._api.state.collector(scope, receive, send)

    def _route(self, scope: Scope) -> str | None:
        """The template of the route that will answer (`/v1/customers/{customer_id}`), or None."""
        for route in self._api.routes:
            if route.matches(scope)[0] is Match.FULL:
                return str(getattr(route, "path", ""))
        return None

    def _refuse(self, scope: Scope, route: str | None) -> Response | None:
        if route is None:
            return None  # FastAPI says 404 or 405; nothing of ours is reached
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        needed = ROUTE_SCOPES[(method, route)]
        if needed is None:
            return None
        browser = (method, route) in BROWSER_ROUTES
        headers = Headers(scope=scope)
        text = presented_key(headers.get("authorization"), basic=browser)
        key = self._keys.find(text) if text else None
        if key is None:
            challenge = 'Basic realm="Customer Genome", charset="UTF-8"' if browser else "Bearer"
            return problem(
                401,
                "missing_key" if text is None else "unknown_key",
                "This needs a key." if text is None else "This key is not known here.",
                f"Send `Authorization: Bearer KEY` with a key of scope '{needed}'.",
                {"WWW-Authenticate": challenge},
            )
        if needed not in key.scopes:
            return problem(
                403,
                "wrong_scope",
                f"This needs the scope '{needed}'; the key has {', '.join(sorted(key.scopes))}.",
                f"Use a key of scope '{needed}'.",
            )
        scope.setdefault("state", {})["key_id"] = key.key_id
        return None


async def _whole_body(scope: Scope, receive: Receive) -> tuple[Response | None, Receive]:
    """Read the body, refuse it where it is too large or packed, and hand it on whole."""
    headers = Headers(scope=scope)
    too_large = problem(
        413,
        "body_too_large",
        f"The body is larger than {MAX_BODY_BYTES} bytes.",
        "Ask about fewer customers in one request.",
        {"Connection": "close"},
    )
    if headers.get("content-encoding", "identity").lower() not in {"identity", ""}:
        return problem(415, "packed_body", "The body is compressed.", "Send it as it is."), receive
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        return too_large, receive
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return too_large, receive
        if not message.get("more_body", False):
            break
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return None, replay


def _place(error: BaseException) -> str:
    """File and line of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "unknown"
