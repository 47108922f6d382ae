"""Start services in order, watch them, start them again when they fall, stop them all.

Small on purpose: it knows processes and checks, nothing of what the services do (`catalogue.py` does).
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from genome.errors import GenomeError
from genome.services import processes, state
from genome.services.checks import Check, NotReady
from genome.services.processes import ProcessId
from genome.settings import Settings

LOG_BYTES = 20_000_000
LOG_FILES = 3


@dataclass(frozen=True)
class Policy:
    """How patient a supervisor is."""

    check_every: float = 5.0
    check_every_while_starting: float = 0.25
    unhealthy_checks: int = 6
    first_pause: float = 1.0
    longest_pause: float = 60.0
    give_up_after: int = 5
    calm_after: float = 300.0
    """A service that worked for so long has its restarts forgotten."""


@dataclass(frozen=True)
class Service:
    """One thing to keep running: a process of ours (`command`), or something that starts and stops by a call.

    Attributes:
        name: as the table, the log and `--only` call it.
        about: what it is for, in a few words.
        check: says whether it works.
        command: the process to run.
        environment: its whole environment.
        start: starts it, where it is no process of ours (and is called again when it falls).
        stop: stops it, likewise.
        after: services that must be ready first.
        url: where a person finds it.
        port: the port it binds to, on `host`.
        port_setting: which setting changes that port.
        start_seconds: how long it may take to become ready.
        grace_seconds: how long it may take to stop.
    """

    name: str
    about: str
    check: Check
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    start: Callable[[], None] | None = None
    stop: Callable[[], None] | None = None
    after: tuple[str, ...] = ()
    url: str | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    port_setting: str | None = None
    start_seconds: float = 180.0
    grace_seconds: float = 20.0


class Supervisor:
    """Keeps services running until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        services: Sequence[Service],
        *,
        policy: Policy | None = None,
        on_change: Callable[[state.ServiceState], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._services = list(services)
        self._policy = policy or Policy()
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._settled = {service.name: asyncio.Event() for service in services}
        now = datetime.now(UTC)
        self._states = {
            service.name: state.ServiceState(
                name=service.name,
                since=now,
                url=service.url,
                log=str(self._log_path(service)) if service.command else None,
            )
            for service in services
        }
        self._started_at = now
        self._running: dict[str, asyncio.subprocess.Process] = {}

    @property
    def states(self) -> list[state.ServiceState]:
        """The services as they are now, in their order."""
        return list(self._states.values())

    def stop(self) -> None:
        """Ask for the end; `run` returns when everything has stopped."""
        self._stopping.set()

    async def run(self, on_settled: Callable[[], None] = lambda: None) -> bool:
        """Start everything, watch it until `stop`, stop everything.

        Args:
            on_settled: called once, when each service is ready or has failed for good.

        Returns:
            True when no service had failed for good.
        """
        self.refuse_taken_ports()
        self._write()
        watchers = [asyncio.create_task(self._watch(service)) for service in self._services]
        settled = asyncio.create_task(self._announce(on_settled))
        try:
            stopping = asyncio.create_task(self._stopping.wait())
            # A watcher ends by itself only by an error of ours: that must not pass unseen.
            done, _ = await asyncio.wait([stopping, settled, *watchers], return_when=asyncio.FIRST_COMPLETED)
            while not self._stopping.is_set() and not any(task.done() and task.exception() for task in done):
                waiting = [task for task in [stopping, *watchers] if not task.done()]
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            failed = any(each.state == "failed" for each in self.states)
            for task in [*watchers, settled]:
                task.cancel()
            await asyncio.gather(*watchers, settled, return_exceptions=True)
            await self._stop_all()
            state.forget(self._settings)
        return not failed

    async def _announce(self, on_settled: Callable[[], None]) -> None:
        for event in self._settled.values():
            await event.wait()
        on_settled()

    def refuse_taken_ports(self) -> None:
        """A port that another program holds is an error before anything is started."""
        for service in self._services:
            if (
                service.port is not None
                and service.command
                and processes.is_port_taken(service.host, service.port)
            ):
                holder = processes.port_holder(service.port)
                raise GenomeError(
                    f"Port {service.port}, on which '{service.name}' should answer, is taken"
                    + (f" by {holder}." if holder else "."),
                    f"Stop that program, or set {service.port_setting} to a free port.",
                )

    async def _watch(self, service: Service) -> None:
        """One service's life: wait for its turn, start, check, and start again with growing pauses."""
        policy = self._policy
        for name in service.after:
            if name in self._settled:
                await self._settled[name].wait()
                if self._states[name].state == "failed":
                    self._set(service, "failed", f"'{name}', which it needs, failed")
                    self._settled[service.name].set()
                    return
        failures = 0
        while True:
            began = time.monotonic()
            reason = await self._live(service)
            if time.monotonic() - began > policy.calm_after:
                failures = 0
            failures += 1
            await self._end(service)
            if failures > policy.give_up_after:
                self._set(service, "failed", f"gave up after {policy.give_up_after} restarts: {reason}")
                self._settled[service.name].set()
                return
            pause = min(policy.first_pause * 2 ** (failures - 1), policy.longest_pause)
            self._states[service.name].restarts += 1
            self._set(service, "backing off", f"{reason}; next try in {pause:g} s")
            await asyncio.sleep(pause)

    async def _live(self, service: Service) -> str:
        """From its start to its fall; returns why it fell."""
        started_at, began = datetime.now(UTC), time.monotonic()
        self._set(service, "starting")
        try:
            await self._start(service)
        except (OSError, GenomeError) as error:
            return str(error)
        bad_checks = 0
        while True:
            starting = self._states[service.name].state == "starting"
            gone = await self._gone(
                service, self._policy.check_every_while_starting if starting else self._policy.check_every
            )
            if gone:
                return gone
            try:
                await service.check(started_at)
            except NotReady as error:
                if starting:
                    if time.monotonic() - began > service.start_seconds:
                        return f"not ready after {service.start_seconds:g} s: {error}"
                    continue
                bad_checks += 1
                self._set(service, "unhealthy", str(error))
                if bad_checks >= self._policy.unhealthy_checks:
                    return f"unhealthy {bad_checks} times in a row: {error}"
                continue
            bad_checks = 0
            if starting:
                self._states[service.name].start_seconds = round(time.monotonic() - began, 2)
            if self._states[service.name].state != "ready":
                self._set(service, "ready")
                self._settled[service.name].set()
            self._rotate(service)

    async def _start(self, service: Service) -> None:
        if service.start is not None:
            await _in_thread(service.start)
            return
        with self._open_log(service) as log:
            process = await asyncio.create_subprocess_exec(
                *service.command,
                env=dict(service.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A session of its own: Ctrl-C reaches the supervisor alone, which then ends them in order.
                start_new_session=True,
            )
        self._running[service.name] = process
        # One that fell at once may be gone before we look: then `_gone` says how it ended.
        self._states[service.name].process = ProcessId.find(process.pid)
        self._write()

    async def _gone(self, service: Service, seconds: float) -> str | None:
        """Wait; returns how the process ended if it did meanwhile."""
        process = self._running.get(service.name)
        if process is None:
            await asyncio.sleep(seconds)
            return None
        # Not `wait_for`: on Python 3.11 it swallows a cancellation that comes as the process ends, and the
        # watcher would start the service again while everything is being stopped.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                status = await process.wait()
            how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            return how + self._last_words(service)
        return None

    async def _end(self, service: Service) -> None:
        if service.stop is not None:
            with contextlib.suppress(GenomeError):  # it fell already; starting it again says what is wrong
                await _in_thread(service.stop)
        process = self._running.pop(service.name, None)
        identity = self._states[service.name].process
        if process is not None and identity is not None:
            await _in_thread(lambda: processes.terminate([identity], service.grace_seconds))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5.0):
                    await process.wait()
        self._states[service.name].process = None

    async def _stop_all(self) -> None:
        """In waves: a service stops when none that needs it still runs."""
        left = list(self._services)
        while left:
            needed = {name for service in left for name in service.after}
            wave = [service for service in left if service.name not in needed] or left
            for service in wave:
                self._set(service, "stopping")
            await asyncio.gather(*(self._end(service) for service in wave))
            for service in wave:
                self._set(service, "stopped")
            left = [service for service in left if service not in wave]

    def _set(self, service: Service, new: state.State, message: str = "") -> None:
        current = self._states[service.name]
        if (current.state, current.message) == (new, message):
            return
        current.state, current.message, current.since = new, message, datetime.now(UTC)
        self._write()
        self._on_change(current)

    def _write(self) -> None:
        state.write(
            self._settings,
            state.SupervisorState(
                supervisor=ProcessId.of(os.getpid()), started_at=self._started_at, services=self.states
            ),
        )

    def _log_path(self, service: Service) -> Path:
        return self._settings.logs / f"{service.name}.log"

    def _open_log(self, service: Service) -> BinaryIO:
        self._settings.logs.mkdir(parents=True, exist_ok=True)
        return self._log_path(service).open("ab")

    def _rotate(self, service: Service) -> None:
        """Copy and cut: the process keeps its file open and appends (a line may be lost between the two)."""
        path = self._log_path(service)
        if not service.command or not path.exists() or path.stat().st_size < LOG_BYTES:
            return
        for number in range(LOG_FILES - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.with_name(f"{path.name}.1").write_bytes(path.read_bytes())
        os.truncate(path, 0)

    def _last_words(self, service: Service) -> str:
        """The last line of its log: it often names the cause."""
        path = self._log_path(service)
        if not path.exists():
            return ""
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 4000))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return f" ({lines[-1].strip()[:200]})" if lines else ""


async def _in_thread(call: Callable[[], None]) -> None:
    """Call it in a thread, and never leave before it is done: a start that goes on behind a stop would win."""
    work = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def clean_up_after(settings: Settings) -> list[str]:
    """End what a supervisor left behind that was killed itself; returns the names of what still ran."""
    left = state.read(settings)
    if left is None or left.supervisor.is_alive():
        return []
    alive = [each for each in left.services if each.process is not None and processes.family(each.process)]
    processes.terminate([each.process for each in alive if each.process is not None], 10.0)
    state.forget(settings)
    return [each.name for each in alive]
