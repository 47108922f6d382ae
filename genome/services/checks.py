"""How a supervisor sees that a service works: a check returns, or raises `NotReady` with the reason."""

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from genome.settings import Settings

Check = Callable[[datetime], Awaitable[None]]
"""Called with the instant at which the service was started."""


class NotReady(Exception):  # noqa: N818 - a state, not a fault
    """The service does not work (yet), and why."""


def http_ok(url: str, timeout_seconds: float = 5.0) -> Check:
    """The URL answers 200."""

    async def check(started_at: datetime) -> None:  # noqa: ARG001
        await asyncio.to_thread(_get, url, timeout_seconds)

    return check


def airflow_heartbeat(health_url: str, part: str, timeout_seconds: float = 5.0) -> Check:
    """Airflow's health page calls a part healthy, by a heartbeat of this start and not of an earlier one."""

    async def check(started_at: datetime) -> None:
        health: dict[str, Any] = json.loads(await asyncio.to_thread(_get, health_url, timeout_seconds))
        state = health.get(part) or {}
        beat = state.get(f"latest_{part}_heartbeat")
        if beat is None or datetime.fromisoformat(beat) < started_at:
            raise NotReady("no heartbeat yet")
        if state.get("status") != "healthy":
            raise NotReady(f"last heartbeat at {beat}")

    return check


def consumer_alive(settings: Settings, name: str, silence_seconds: float = 10.0) -> Check:
    """A consumer of the event stream has said that it lives: since this start, and not long ago."""

    def look(started_at: datetime) -> None:
        from redis.exceptions import RedisError

        from genome.stores import valkey
        from genome.stream import keys
        from genome.stream.lease import store_clock

        try:
            with valkey.connect(settings, "events", start=False, socket_timeout=5.0) as client:
                seen: Any = client.hget(keys.CONSUMERS, name)
                now = store_clock(client)
        except (RedisError, OSError) as error:
            raise NotReady(f"the events store does not answer ({type(error).__name__})") from error
        if seen is None or int(seen) < started_at.timestamp() * 1000:
            raise NotReady("it has not begun to read yet")
        if now - int(seen) > silence_seconds * 1000:
            raise NotReady(f"it has said nothing for {(now - int(seen)) / 1000:.0f} s")

    async def check(started_at: datetime) -> None:
        await asyncio.to_thread(look, started_at)

    return check


def in_thread(probe: Callable[[], None]) -> Check:
    """A blocking probe that raises where the service does not work."""

    async def check(started_at: datetime) -> None:  # noqa: ARG001
        try:
            await asyncio.to_thread(probe)
        except Exception as error:
            raise NotReady(str(error)) from error

    return check


def _get(url: str, timeout_seconds: float) -> bytes:
    # The standard library's client: a check needs no pool, no proxy and no cookies.
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout_seconds)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotReady(f"{url} does not answer ({error})") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise NotReady(f"{url} answers {response.status}")
    return body
