"""The supervisor with small real processes: order, readiness, restarts, giving up, a clean end."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genome.errors import GenomeError
from genome.services import processes, state
from genome.services.checks import Check, NotReady, http_ok
from genome.services.processes import ProcessId
from genome.services.supervisor import Policy, Service, Supervisor, clean_up_after
from genome.settings import Settings
from tests.conftest import free_ports

QUICK = Policy(
    check_every=0.1,
    check_every_while_starting=0.05,
    unhealthy_checks=3,
    first_pause=0.05,
    longest_pause=0.2,
    give_up_after=3,
)
SLEEPER = "import time; time.sleep(600)"


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def exists(path: Path) -> Check:
    async def check(_: object) -> None:
        if not path.exists():
            raise NotReady(f"{path.name} is not there")

    return check


async def _works(_: object) -> None:
    return None


def service(name: str, code: str = SLEEPER, **options: object) -> Service:
    values: dict[str, object] = {
        "about": "a test",
        "check": _works,
        "command": python(code),
        "environment": dict(os.environ),
        "grace_seconds": 3.0,
    }
    return Service(name=name, **(values | options))  # type: ignore[arg-type]


@contextmanager
def supervised(settings: Settings, *services: Service, policy: Policy = QUICK) -> Iterator[Supervisor]:
    """Run a supervisor in a thread; at the end it must have stopped everything by itself."""
    ready = threading.Event()
    box: dict[str, object] = {}

    async def serve() -> None:
        box["loop"] = asyncio.get_running_loop()
        box["supervisor"] = Supervisor(settings, services, policy=policy)
        ready.set()
        box["fine"] = await box["supervisor"].run()  # type: ignore[attr-defined]

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    supervisor = box["supervisor"]
    assert isinstance(supervisor, Supervisor)
    try:
        until(lambda: state.read(settings) is not None, "it has written what it runs")
        yield supervisor
    finally:
        box["loop"].call_soon_threadsafe(supervisor.stop)  # type: ignore[attr-defined]
        thread.join(120)
        assert not thread.is_alive()


def until(probe: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def seen(settings: Settings, name: str) -> state.ServiceState:
    found = state.read(settings)
    assert found is not None
    return next(each for each in found.services if each.name == name)


def test_a_service_starts_when_what_it_needs_is_ready_and_all_stop_without_leaving_a_process(
    settings: Settings, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    slow = f"import time, pathlib; time.sleep(0.3); pathlib.Path({str(flag)!r}).touch(); time.sleep(600)"
    needy = f"import pathlib, time; assert pathlib.Path({str(flag)!r}).exists(); time.sleep(600)"
    first, second = service("first", slow, check=exists(flag)), service("second", needy, after=("first",))
    with supervised(settings, second, first):
        until(lambda: seen(settings, "second").state == "ready", "second is ready")
        found = [seen(settings, name) for name in ("first", "second")]
        assert [each.restarts for each in found] == [0, 0]
        members = [each.process for each in found if each.process is not None]
        assert all(member.is_alive() for member in members)
    assert not any(member.is_alive() for member in members)
    assert state.read(settings) is None


def test_a_killed_service_is_started_again(settings: Settings) -> None:
    with supervised(settings, service("victim")):
        until(lambda: seen(settings, "victim").state == "ready", "ready")
        before = seen(settings, "victim").process
        assert before is not None
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: seen(settings, "victim").restarts == 1, "restarted")
        until(lambda: seen(settings, "victim").state == "ready", "ready again")
        after = seen(settings, "victim").process
        assert after is not None
        assert after.pid != before.pid


def test_a_process_that_is_gone_before_anybody_looks_is_a_fall_like_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessId, "find", classmethod(lambda _, __: None))
    bad = service("bad", "raise SystemExit(3)", check=_never)
    with supervised(settings, bad):
        until(lambda: seen(settings, "bad").state == "failed", "given up")
        assert "ended with status 3" in seen(settings, "bad").message


def test_a_service_that_keeps_falling_is_given_up_with_its_last_words_and_the_others_live_on(
    settings: Settings,
) -> None:
    bad = service("bad", "raise SystemExit('the disk is made of cheese')", check=_never)
    with supervised(settings, bad, service("good")):
        until(lambda: seen(settings, "bad").state == "failed", "given up")
        assert "gave up after 3 restarts: ended with status 1 (the disk is made of cheese)" in (
            seen(settings, "bad").message
        )
        assert seen(settings, "bad").restarts == 3
        assert seen(settings, "good").state == "ready"
    assert "the disk is made of cheese" in (settings.logs / "bad.log").read_text()


async def _never(_: object) -> None:
    raise NotReady("never")


def test_what_needs_a_service_that_failed_is_not_started(settings: Settings) -> None:
    bad = service("bad", "raise SystemExit(3)", check=_never)
    with supervised(settings, bad, service("needy", after=("bad",))):
        until(lambda: seen(settings, "needy").state == "failed", "given up too")
        assert seen(settings, "needy").message == "'bad', which it needs, failed"
        assert seen(settings, "needy").process is None


def test_a_service_that_runs_but_no_longer_works_is_started_again(settings: Settings, tmp_path: Path) -> None:
    health = tmp_path / "health"
    code = f"import pathlib, time; pathlib.Path({str(health)!r}).touch(); time.sleep(600)"
    with supervised(settings, service("hung", code, check=exists(health))):
        until(lambda: seen(settings, "hung").state == "ready", "ready")
        health.unlink()
        until(lambda: seen(settings, "hung").restarts == 1, "restarted")
        until(lambda: seen(settings, "hung").state == "ready", "ready again")
        assert health.exists()


def test_a_service_that_is_never_ready_is_not_waited_for_for_ever(settings: Settings) -> None:
    slow = service("slow", check=_never, start_seconds=0.2)
    with supervised(settings, slow):
        until(lambda: seen(settings, "slow").state == "failed", "given up")
        assert "not ready after 0.2 s: never" in seen(settings, "slow").message


def test_grandchildren_end_too_even_those_that_ignore_the_signal_or_lost_their_parent(
    settings: Settings, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    code = (
        "import subprocess, sys, time, pathlib\n"
        f"child = subprocess.Popen([sys.executable, '-c', {stubborn!r}])\n"
        f"own = subprocess.Popen([sys.executable, '-c', {stubborn!r}], start_new_session=True)\n"
        f"draft = pathlib.Path({str(pids)!r} + '.draft')\n"
        "draft.write_text(f'{child.pid} {own.pid}')\n"
        f"draft.rename({str(pids)!r})\n"
        "time.sleep(600)\n"
    )
    with supervised(settings, service("parent", code, check=exists(pids))):
        until(lambda: seen(settings, "parent").state == "ready", "ready")
        grandchildren = [ProcessId.of(int(pid)) for pid in pids.read_text().split()]
        assert all(each.is_alive() for each in grandchildren)
    assert not any(each.is_alive() for each in grandchildren)

    pids.unlink()
    with supervised(settings, service("parent", code, check=exists(pids))):
        until(lambda: seen(settings, "parent").state == "ready", "ready")
        child = ProcessId.of(int(pids.read_text().split()[0]))
        stray = ProcessId.of(int(pids.read_text().split()[1]))
        parent = seen(settings, "parent").process
        assert parent is not None
        os.kill(parent.pid, signal.SIGKILL)
        until(lambda: not child.is_alive(), "the orphan, found by its session, has ended")
        os.kill(stray.pid, signal.SIGKILL)  # no parent and a session of its own: nobody can tell it is ours


def test_a_stop_that_comes_as_a_process_ends_is_not_lost(settings: Settings) -> None:
    class Ending:
        def __init__(self) -> None:
            self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def wait(self) -> int:
            return await self.status

    async def run() -> None:
        one = service("one")
        supervisor, process = Supervisor(settings, [one]), Ending()
        supervisor._running["one"] = process  # type: ignore[assignment]
        watching = asyncio.create_task(supervisor._gone(one, 10.0))
        await asyncio.sleep(0)
        process.status.set_result(0)
        watching.cancel()
        await watching

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


def test_what_a_killed_supervisor_left_behind_is_ended_by_the_next(settings: Settings) -> None:
    code = (
        "import asyncio, sys\n"
        "from genome.settings import load\n"
        "from genome.services.supervisor import Service, Supervisor\n"
        "async def works(_): pass\n"
        f"command = (sys.executable, '-c', {SLEEPER!r})\n"
        "service = Service(name='left', about='', check=works, command=command)\n"
        "asyncio.run(Supervisor(load(), [service]).run())\n"
    )
    import subprocess

    with subprocess.Popen(python(code), env={**os.environ, **settings.environment()}) as process:
        until(
            lambda: state.read(settings) is not None and seen(settings, "left").process is not None, "started"
        )
        left = seen(settings, "left").process
        process.kill()
    assert left is not None
    assert left.is_alive()
    assert clean_up_after(settings) == ["left"]
    assert not left.is_alive()
    assert state.read(settings) is None


def test_a_taken_port_is_an_error_that_names_port_holder_and_setting_and_starts_nothing(
    settings: Settings,
) -> None:
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        taken = service("web", port=port, port_setting="GENOME_WEB_PORT")
        with pytest.raises(GenomeError) as caught:
            asyncio.run(Supervisor(settings, [taken], policy=QUICK).run())
    assert str(port) in caught.value.what
    assert f"(process {os.getpid()})" in caught.value.what
    assert "GENOME_WEB_PORT" in caught.value.remedy
    assert not (settings.logs / "web.log").exists()


def test_a_service_behind_http_is_ready_when_it_answers_200(settings: Settings, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    web = service(
        "web",
        command=(sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"),
        check=http_ok(f"http://127.0.0.1:{port}/"),
        port=port,
    )
    with supervised(settings, web):
        until(lambda: seen(settings, "web").state == "ready", "ready")
        found = seen(settings, "web")
        assert found.start_seconds is not None
        assert found.start_seconds > 0
    with pytest.raises(NotReady, match="does not answer"):
        asyncio.run(http_ok(f"http://127.0.0.1:{port}/")(found.since))


def test_a_long_log_is_rotated_while_the_process_keeps_writing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genome.services.supervisor.LOG_BYTES", 2_000)
    chatter = "import time\nwhile True: print('x' * 99, flush=True); time.sleep(0.005)"
    with supervised(settings, service("chatter", chatter)):
        log = settings.logs / "chatter.log"
        until(lambda: log.with_name("chatter.log.3").exists(), "rotated three times")
        assert not log.with_name("chatter.log.4").exists()
        until(lambda: log.stat().st_size > 0, "still writing")


def test_memory_of_a_service_counts_what_it_started(settings: Settings) -> None:
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'x = bytearray(60_000_000); import time; time.sleep(99)'])\n"
        "time.sleep(600)\n"
    )
    with supervised(settings, service("big", code)):
        until(lambda: seen(settings, "big").state == "ready", "ready")
        leader = seen(settings, "big").process
        assert leader is not None
        until(lambda: processes.resident_bytes(leader) > 65_000_000, "its child counts")
