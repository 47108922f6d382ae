"""What is wrong with an installation, and what to do about each."""

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel

from genome import clock
from genome.errors import GenomeError
from genome.lake import publish
from genome.services import airflow_env, processes, runs, state
from genome.settings import PROJECT_ROOT, Settings
from genome.stores import valkey

Verdict = Literal["good", "note", "broken"]
LEAST_FREE_BYTES = 2_000_000_000
STALE = timedelta(days=2)


class Finding(BaseModel):
    """One thing looked at: good, worth knowing, or broken; with the remedy."""

    about: str
    verdict: Verdict
    what: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything, and start nothing."""
    looks: list[Callable[[Settings], Iterator[Finding]]] = [
        _python,
        _packages,
        _home,
        _disk,
        _secrets,
        _clock,
        _leftovers,
        _ports,
        _stores,
        _dags,
        _publications,
        _runs,
    ]
    return [finding for look in looks for finding in _guarded(look, settings)]


def _guarded(look: Callable[[Settings], Iterator[Finding]], settings: Settings) -> list[Finding]:
    """One look that fails is a finding too, and the others still happen."""
    about = look.__name__.strip("_")
    try:
        return list(look(settings))
    except GenomeError as error:
        return [Finding(about=about, verdict="broken", what=error.what, remedy=error.remedy)]
    except OSError as error:
        return [
            Finding(about=about, verdict="broken", what=str(error), remedy="Mend the file that it names.")
        ]


def _python(_: Settings) -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        yield Finding(about="python", verdict="good", what=f"Python {found}")
    else:
        yield Finding(
            about="python",
            verdict="broken",
            what=f"Python {found}; the lock is made for 3.11",
            remedy="Make .venv anew with it: make clean && make demo PYTHON=python3.11",
        )


def _packages(_: Settings) -> Iterator[Finding]:
    lock = PROJECT_ROOT / "requirements.lock"
    if not lock.is_file():
        yield Finding(
            about="packages", verdict="note", what="no requirements.lock beside the code to compare with"
        )
        return
    from packaging.requirements import Requirement

    wrong, count = [], 0
    for line in lock.read_text().splitlines():
        if not line or line.startswith(("#", " ", "-")):
            continue
        wanted = Requirement(line.rstrip("\\ "))
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        count += 1
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} is {found}, not {wanted.specifier}")
    if wrong:
        yield Finding(
            about="packages",
            verdict="broken",
            what=f"{len(wrong)} of {count} packages differ from the lock: " + "; ".join(wrong[:5]),
            remedy="Install what the lock says: make install",
        )
    else:
        yield Finding(about="packages", verdict="good", what=f"{count} packages as locked")


def _home(settings: Settings) -> Iterator[Finding]:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        yield Finding(
            about="home",
            verdict="broken",
            what=f"{settings.home} cannot be written ({error.strerror})",
            remedy="Give this user the folder, or set GENOME_HOME to another.",
        )
    else:
        yield Finding(about="home", verdict="good", what=f"{settings.home} can be written")


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    yield Finding(
        about="disk",
        verdict="good" if free >= LEAST_FREE_BYTES else "broken",
        what=f"{free / 1e9:.1f} GB free",
        remedy=""
        if free >= LEAST_FREE_BYTES
        else f"Free {LEAST_FREE_BYTES / 1e9:.0f} GB, or move GENOME_HOME.",
    )


def _secrets(settings: Settings) -> Iterator[Finding]:
    if not settings.secrets.is_dir():
        return
    # An empty file is a lock.
    secrets = [path for path in settings.secrets.iterdir() if path.stat().st_size]
    open_to_others = [path for path in secrets if path.stat().st_mode & 0o077]
    yield Finding(
        about="secrets",
        verdict="broken" if open_to_others else "good",
        what=f"{len(open_to_others)} file(s) in {settings.secrets} can be read by others"
        if open_to_others
        else "readable by their owner only",
        remedy=f"chmod 600 {' '.join(map(str, open_to_others))}" if open_to_others else "",
    )


def _clock(settings: Settings) -> Iterator[Finding]:
    if settings.now is None:
        yield Finding(
            about="clock", verdict="good", what=f"the system's; days begin in {settings.business_timezone}"
        )
        return
    ahead = clock.now(settings) > datetime.now(UTC) + timedelta(days=1)
    yield Finding(
        about="clock",
        verdict="broken" if ahead else "note",
        what=f"GENOME_NOW sets it to {clock.now(settings).isoformat()}",
        remedy="That is in the future: nothing that happens now would count. Mend or unset GENOME_NOW."
        if ahead
        else "Right for data of the past, such as the demo's; for live data unset GENOME_NOW.",
    )


def _leftovers(settings: Settings) -> Iterator[Finding]:
    left = state.read(settings)
    if left is None or left.supervisor.is_alive():
        return
    alive = [each.name for each in left.services if each.process and processes.family(each.process)]
    yield Finding(
        about="services",
        verdict="broken" if alive else "note",
        what=f"`genome up` was killed; it left behind: {', '.join(alive)}"
        if alive
        else "`genome up` was killed",
        remedy="genome down",
    )


def _ports(settings: Settings) -> Iterator[Finding]:
    supervised = state.read(settings)
    up = supervised is not None and supervised.supervisor.is_alive()
    running = {each.name for each in supervised.services if each.process} if supervised and up else set()
    for service, port, variable in (
        ("api", settings.api_port, "GENOME_API_PORT"),
        ("airflow-api", settings.airflow_port, "GENOME_AIRFLOW_PORT"),
        ("mlflow", settings.mlflow_port, "GENOME_MLFLOW_PORT"),
    ):
        if service in running:
            yield Finding(about="port", verdict="good", what=f"{port} serves {service}")
        elif processes.is_port_taken(settings.host, port):
            holder = processes.port_holder(port) or "another program"
            yield Finding(
                about="port",
                verdict="broken",
                what=f"{port}, where {service} should answer, is taken by {holder}",
                remedy=f"Stop that program, or set {variable} to a free port.",
            )
        else:
            yield Finding(about="port", verdict="good", what=f"{port} is free for {service}")


def _stores(settings: Settings) -> Iterator[Finding]:
    for name in valkey.STORES:
        found = valkey.status(settings, name)
        variable = f"GENOME_{name.upper()}_{'PORT' if found.is_embedded else 'URL'}"
        if found.is_running:
            what = f"{name} answers at {found.address} ({found.version})"
            yield Finding(about="store", verdict="good", what=what)
        elif found.is_embedded and "taken" not in (found.problem or ""):
            yield Finding(
                about="store", verdict="good", what=f"{name} is not running; a verb that needs it starts it"
            )
        else:
            yield Finding(
                about="store",
                verdict="broken",
                what=f"{name} at {found.address}: {found.problem}",
                remedy=f"Start it, or mend {variable}.",
            )


def _dags(settings: Settings) -> Iterator[Finding]:
    done = subprocess.run(
        [sys.executable, "-m", "dags.headless", "--all", "--list"],
        env=airflow_env.child_environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        what = (done.stderr.strip().splitlines() or ["Airflow could not read the DAGs."])[-1]
        remedy = f"Mend what it names. Log: {settings.logs / 'airflow-headless.log'}"
        yield Finding(about="dags", verdict="broken", what=what, remedy=remedy)
    else:
        yield Finding(about="dags", verdict="good", what=_in_short(done.stdout.strip()))


def _in_short(listed: str) -> str:
    """ "3 DAGs: ingest_a, ingest_b, build" as "3 DAGs: ingest_* (2), build"."""
    counted, _, names = listed.partition(": ")
    family = [name for name in names.split(", ") if name.startswith("ingest_")]
    others = [name for name in names.split(", ") if name not in family]
    return f"{counted}: {', '.join([*([f'ingest_* ({len(family)})'] if family else []), *others])}"


def _publications(settings: Settings) -> Iterator[Finding]:
    for group, verb in (("genome", "genome build"), ("scores", "genome publish")):
        publication = publish.current(settings, group)
        if publication is None:
            yield Finding(
                about="published",
                verdict="note",
                what=f"nothing of '{group}' yet",
                remedy=f"{verb}, or make demo",
            )
            continue
        age = publication.age(clock.now(settings))
        yield Finding(
            about="published",
            verdict="note" if age > STALE else "good",
            what=f"'{group}' is {age.total_seconds() / 3600:.1f} hours old",
            remedy=f"Readers see old data: {verb}" if age > STALE else "",
        )


def _runs(settings: Settings) -> Iterator[Finding]:
    for record in runs.last(settings):
        last = record.tasks[-1]
        if last.state == "failed":
            yield Finding(
                about="run",
                verdict="broken",
                what=f"the last run of {record.dag_id} failed in {last.task_id}: {last.error}",
                remedy=f"Mend it, then: genome run {record.dag_id}",
            )
