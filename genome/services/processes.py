"""Processes and ports of this machine: is it still the one we started, who holds a port, end a whole tree."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterable

from pydantic import BaseModel


class ProcessId(BaseModel):
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """The process that has this number now."""
        import psutil

        return cls(pid=pid, created=psutil.Process(pid).create_time())

    @classmethod
    def find(cls, pid: int) -> "ProcessId | None":
        """The process that has this number now; None where there is none."""
        import psutil

        try:
            return cls.of(pid)
        except psutil.NoSuchProcess:
            return None

    def is_alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False


def is_port_taken(host: str, port: int) -> bool:
    """Whether a server could not bind to it."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: a connection that has just been closed does not count as a holder.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
        return False


def port_holder(port: int) -> str | None:
    """Who listens on a port: "python3.11 (process 4711)"; None where this user may not see it."""
    import psutil

    with contextlib.suppress(psutil.AccessDenied):
        for connection in psutil.net_connections(kind="tcp"):
            address = connection.laddr
            if (
                connection.status == psutil.CONN_LISTEN
                and address
                and address.port == port
                and connection.pid
            ):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return None


def family(leader: ProcessId) -> list[ProcessId]:
    """A process that leads its own session, and everything below it that still runs.

    By parentage (which finds children that made a session of their own) and by session (which finds those
    whose parent has died): together they miss only a program that did both.
    """
    import psutil

    found: dict[int, float] = {}
    if leader.is_alive():
        found[leader.pid] = leader.created
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(leader.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found[child.pid] = child.create_time()
    elif psutil.pid_exists(leader.pid) and not _is_zombie(leader.pid):
        return []  # another program has this number by now, hence nobody of the old session is left
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader.pid and not _is_zombie(pid):
                found.setdefault(pid, psutil.Process(pid).create_time())
    return [ProcessId(pid=pid, created=created) for pid, created in found.items()]


def _is_zombie(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def resident_bytes(leader: ProcessId) -> int:
    """Memory of a process and everything below it."""
    import psutil

    total = 0
    for each in family(leader):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += psutil.Process(each.pid).memory_info().rss
    return total


def terminate(leaders: Iterable[ProcessId], grace_seconds: float) -> None:
    """End processes and all below them: SIGTERM to each leader, later SIGKILL to what is left; none runs after.

    Only the leaders are asked: a scheduler that gets the signal ends its own tasks in good order.
    """
    leaders = list(leaders)
    members: dict[tuple[int, float], ProcessId] = {}

    def alive() -> list[ProcessId]:
        """Who still runs of all who were ever seen: one that has not ended may have started another."""
        members.update({(each.pid, each.created): each for leader in leaders for each in family(leader)})
        return [each for each in members.values() if each.is_alive()]

    alive()
    for leader in leaders:
        _signal(leader, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while any(leader.is_alive() for leader in leaders) and time.monotonic() < deadline:
        time.sleep(0.05)
    # Those that a leader left behind get a moment: they may just be finishing because it ended.
    deadline = time.monotonic() + 2.0
    while any(each not in leaders for each in alive()) and time.monotonic() <= deadline:
        time.sleep(0.05)
    # A kill takes effect when the kernel gets to it, and a port or a lock is free only then. (What hangs in the kernel,
    # on a dead disk say, is not waited for for ever.)
    deadline = time.monotonic() + 5.0
    while (left := alive()) and time.monotonic() < deadline:
        for each in left:
            _signal(each, signal.SIGKILL)
        time.sleep(0.01)


def _signal(process: ProcessId, number: signal.Signals) -> None:
    if process.is_alive():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
