"""The warehouse: dbt builds it from the lake in its own process, and finished tables leave it as Parquet.

    build ──► dbt build (subprocess; the DuckDB file is its own) ──► ledger reconciled ──► built.json
    stage ──► each dbt model with `meta.publish`, whole or what the build has made anew (genome/export.py)
              ──► sealed staging area (gate and pointer follow)

dbt runs in a subprocess because dbt-duckdb keeps the file locked for as long as its process lives. What may
be read is written down before it starts (`dbt/lake_files.json`, `dbt/clock.json`), so one build sees the same
batches and the same present from its first dbt model to its last.

A build begins anew, or it continues the one before: then it reads the batches that have landed since and makes anew
only whom they touch (docs/incremental.md). What it can be continued from is written down when it has ended
(`dbt/kept.json`), so that a build that was killed is followed by one that begins anew.
"""

import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from genome import clock
from genome.errors import GenomeError
from genome.export import Build, ExportedTable, export
from genome.identity import resolve as resolution
from genome.lake import files, motives, publish
from genome.lake.layout import CATALOG, INTERACTIONS, MOTIVES, STREAM_BATCH
from genome.lake.manifest import DataFile, Manifest
from genome.lake.parts import Made
from genome.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    import duckdb

PROJECT = PROJECT_ROOT / "dbt_project"
LAYERS = (
    "seeds",
    "staging",
    "interactions",
    "products",
    "identity",
    "genome",
    "features",
    "evaluation",
    "scores",
)
"""The folders of dbt_project/models, by their tags. `scores` is built by itself, after scoring."""

_SCORES = "scores"
_MAKES = frozenset({"build", "run", "seed"})
_PREMISES = "nothing_forbids_continuing"
_OF_THE_WHOLE = (
    "config.materialized:incremental,resource_type:test config.materialized:view,resource_type:test"
)
"""Data tests that read what is kept: rows that stay passed them when they were made."""

_BUCKET_ROWS_IN_A_GIGABYTE: Final = 600_000
"""Of memory: interactions whose customers' genes and lists are made at once."""

_FAILED = frozenset({"error", "fail", "runtime error"})
_RESULTS = frozenset({"LogModelResult", "LogSeedResult", "LogTestResult", "LogUnitTestResult"})
"""dbt's events that say how a node ended, one for each kind of node."""


class _CannotContinueError(GenomeError):
    """What has landed changes what is kept in a way that only a build of everything can follow."""


@dataclass(frozen=True)
class Node:
    """One dbt node of a run: a dbt model, seed, data test or unit test."""

    name: str
    kind: str
    status: str
    seconds: float
    rows: int | None = None
    failures: int | None = None
    message: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the run failed because of it."""
        return self.status in _FAILED


@dataclass(frozen=True)
class Hop:
    """Where the rows of one channel went: `accepted = staged = interactions + redelivered`."""

    channel: str
    accepted: int
    staged: int
    interactions: int
    redelivered: int

    @property
    def reconciled(self) -> bool:
        """Whether every row that the lake holds is accounted for."""
        return self.accepted == self.staged == self.interactions + self.redelivered


@dataclass(frozen=True)
class DbtReport:
    """What a dbt run did, node by node; `skipped` when there was nothing new to build.

    `anew` says why a build began anew; empty where it continued the one before.
    """

    command: str
    nodes: tuple[Node, ...] = ()
    seconds: float = 0.0
    skipped: bool = False
    fingerprint: str = ""
    ledger: tuple[Hop, ...] = ()
    anew: str = ""

    def of(self, kind: str) -> tuple[Node, ...]:
        """The nodes of one kind: `model`, `seed`, `test`, `unit_test`."""
        return tuple(node for node in self.nodes if node.kind == kind)

    def summary(self) -> dict[str, Any]:
        """What a task returns: counts, times and the ledger."""
        if self.skipped:
            return {"skipped": "nothing new since the current publication", "fingerprint": self.fingerprint}
        return {
            "command": self.command,
            "seconds": round(self.seconds, 1),
            "models": {
                node.name: {"rows": node.rows, "seconds": round(node.seconds, 2)} for node in self.of("model")
            },
            "tests": len(self.of("test")),
            "unit_tests": len(self.of("unit_test")),
            "ledger": [asdict(hop) for hop in self.ledger],
            "fingerprint": self.fingerprint,
            "anew": self.anew or None,
        }


@dataclass(frozen=True)
class StageReport:
    """Which tables wait for the gate, with their rows; none when there was nothing new."""

    group: str
    epoch: str | None
    rows: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """What a task returns."""
        if self.epoch is None:
            return {"group": self.group, "skipped": "nothing new since the current publication"}
        return {
            "group": self.group,
            "epoch": self.epoch,
            "rows": dict(self.rows),
            "seconds": round(self.seconds, 1),
        }


def scored_file(settings: Settings) -> Path:
    """Where scoring leaves its candidates for `build_scores`: one Parquet file, replaced whole.

    Columns: customer_id, offer_id, score, valid_at, known_at, model_name, model_version. It is the dbt source
    `lake.offer_scores`; readers get the published `offer_scores`, never this.
    """
    return settings.lake / "_scored" / "offer_scores.parquet"


# What a build is made from -----------------------------------------------------------------------------


def project_fingerprint() -> str:
    """A hash of every file of the dbt project."""
    digest = hashlib.sha256()
    for path in sorted(PROJECT.rglob("*")):
        if path.is_file() and path.suffix in {".sql", ".yml", ".csv"}:
            digest.update(f"{path.relative_to(PROJECT)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def fingerprint(settings: Settings) -> str:
    """What the next build would be made from: the same fingerprint gives the same tables.

    Under the system's clock the day counts and not the second: stored are instants and sums, and what moves
    with the clock is computed on reading, so one cut-off a day is enough where nothing new has landed.
    """
    interactions, catalog = Manifest.read(settings, INTERACTIONS), Manifest.read(settings, CATALOG)
    return _fingerprint(settings, interactions, catalog, motives.current(settings))


def _fingerprint(
    settings: Settings, interactions: Manifest, catalog: Manifest, read_anew: DataFile | None
) -> str:
    now = clock.now(settings)
    parts = {
        "interactions": interactions.fingerprint(),
        "catalog": catalog.fingerprint(),
        "motives": read_anew.sha256 if read_anew else "",
        "identity": resolution.digest(settings),
        "project": project_fingerprint(),
        "now": now.isoformat() if settings.now else now.date().isoformat(),
        "business_timezone": settings.business_timezone,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Inputs:
    """What one build reads. The lake goes on growing meanwhile, by the second where the stream lands.

    Attributes:
        fingerprint: of these batches, this project and this clock.
        accepted: channel → rows of interactions in these batches.
        stream: partition of the event stream → the last stream id in these batches: the build's watermark.
        as_of: what time the build takes it to be.
        kept: what a later build may continue from, once this one has ended.
        anew: why it begins anew; empty where it continues the build before.
    """

    fingerprint: str
    accepted: Mapping[str, int]
    stream: Mapping[int, str]
    as_of: str
    kept: "Kept"
    anew: str = ""


@dataclass(frozen=True)
class Kept:
    """What the tables that are kept from one build to the next were made from.

    Attributes:
        batches: every name that a row of the lake may have as `_batch_id`, and that has been read.
        retired: rows that had left the lake.
        project: fingerprint of the dbt project.
        engine: DuckDB's version: hashes that are kept are its own.
        business_timezone: by which days begin.
        as_of: the cut-off.
        build_number: how many builds have continued since the tables were begun anew.
        made_at: by the system's clock.
        motives: of the texts that had been read anew; empty: of none.
    """

    batches: tuple[str, ...]
    retired: tuple[str, ...]
    project: str
    engine: str
    business_timezone: str
    as_of: str
    build_number: int
    made_at: str
    motives: str = ""

    def objection(self, now: "Kept") -> str:
        """Why a build of `now` cannot continue this one; empty where it can."""
        if self.business_timezone != now.business_timezone:
            return "the business time zone has changed"
        zone = ZoneInfo(now.business_timezone)
        before, after = (datetime.fromisoformat(each.as_of) for each in (self, now))
        told = {
            "the dbt project has changed": self.project != now.project,
            "DuckDB has changed": self.engine != now.engine,
            "texts have been read anew": self.motives != now.motives,
            "rows have left the lake": self.retired != now.retired,
            "the clock was set back": after < before,
            # Everybody is compared with another population then; and it is as good a day as any to begin anew.
            "a month has begun": f"{before.astimezone(zone):%Y-%m}" != f"{after.astimezone(zone):%Y-%m}",
            "batches have gone": any(
                not each.startswith(STREAM_BATCH) for each in set(self.batches) - set(now.batches)
            ),
            "the build before is too long ago": datetime.fromisoformat(now.made_at)
            - datetime.fromisoformat(self.made_at)
            > _NAMES_STAY,
        }
        return next((reason for reason, holds in told.items() if holds), "")


_NAMES_STAY: Final = timedelta(days=6)
"""Batches that were folded into one keep the names of their rows for a day longer (genome/lake/maintain.py)."""
_BEGINNING: Final = "1970-01-01T00:00:00+00:00"


def write_inputs(settings: Settings, before: Kept | None = None, anew: str = "") -> Inputs:
    """Write down which committed files the next build reads, and what time it takes it to be.

    Args:
        settings: where the lake is.
        before: what the build before was made from, where it is to be continued if possible.
        anew: why there is nothing to continue.
    """
    interactions, catalog = Manifest.read(settings, INTERACTIONS), Manifest.read(settings, CATALOG)
    rows: list[dict[str, str | None]] = [
        {"dataset": INTERACTIONS, "channel": channel, "path": str(path)}
        for channel in interactions.channels()
        for path in interactions.files(channel)
    ]
    rows += [
        {"dataset": feed, "channel": None, "path": str(path)}
        for feed in catalog.channels()
        for path in catalog.files(feed)
    ]
    rows += [
        {"dataset": name, "channel": None, "path": str(path)}
        for name, path in resolution.current(settings).items()
    ]
    read_anew = motives.current(settings)
    if read_anew is not None:
        rows.append({"dataset": MOTIVES, "channel": None, "path": str(settings.lake / read_anew.path)})
    if scored_file(settings).is_file():
        rows.append({"dataset": "offer_scores", "channel": None, "path": str(scored_file(settings))})
    files.write_json(_folder(settings) / "lake_files.json", rows)
    as_of = clock.now(settings).isoformat()
    kept = Kept(
        batches=_batch_names(interactions),
        retired=tuple(sorted(each.compaction_id for each in interactions.compactions if not each.files)),
        project=project_fingerprint(),
        engine=version("duckdb"),
        business_timezone=settings.business_timezone,
        as_of=as_of,
        build_number=before.build_number + 1 if before else 0,
        made_at=datetime.now(UTC).isoformat(),
        motives=read_anew.sha256 if read_anew else "",
    )
    if before is not None:
        anew = before.objection(kept)
        if anew:
            before, kept = None, replace(kept, build_number=0)
    since = before.as_of if before else _BEGINNING
    files.write_json(
        _folder(settings) / "clock.json",
        [{"as_of": as_of, "since": since, "build_number": kept.build_number}],
    )
    seen = set(before.batches) if before else set()
    files.write_json(
        _folder(settings) / "new_batches.json",
        [{"batch_id": name} for name in kept.batches if name not in seen],
    )
    return Inputs(
        fingerprint=_fingerprint(settings, interactions, catalog, read_anew),
        accepted=interactions.rows_by_channel(),
        stream=interactions.positions(),
        as_of=as_of,
        kept=kept,
        anew=anew,
    )


def _batch_names(interactions: Manifest) -> tuple[str, ...]:
    """What rows of these batches may call theirs; batches that were folded into one keep their rows' own names."""
    names = {entry.batch_id for entry in interactions.entries}
    for batch in interactions.stream:
        names |= {batch.batch_id, *batch.supersedes}
    return tuple(sorted(names))


def _read_kept(settings: Settings) -> Kept | None:
    path = _kept(settings)
    if not (path.is_file() and settings.warehouse.is_file()):
        return None
    document = files.read_json(path)
    if set(document) != {each.name for each in fields(Kept)}:
        return None  # written by another version: its build is not continued
    return Kept(**{**document, "batches": tuple(document["batches"]), "retired": tuple(document["retired"])})


# dbt ---------------------------------------------------------------------------------------------------


def dbt(
    settings: Settings,
    command: str,
    *,
    select: str | None = None,
    exclude: str | None = None,
    continues: bool = False,
    buckets: int = 1,
    on_node: Callable[[Node, int], None] | None = None,
) -> DbtReport:
    """Run dbt in a process of its own and say what became of each node.

    Args:
        settings: where the state is.
        command: `build`, `run`, `test`, `parse` …
        select: dbt's node selection.
        exclude: what to leave out of it.
        continues: keep what the build before has made, but for what this one touches; else all is made anew.
        buckets: in so many parts of all customers the lists of their genes and purchases are made.
        on_node: called with each finished node and the number of nodes, while dbt runs.

    Raises:
        GenomeError: a node failed; it names the first one and where the log is.
    """
    target = _folder(settings) / "target"
    files.make_folder(target)
    files.make_folder(settings.logs / "dbt")
    call = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "--log-format", "json", command]
    call += ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    call += ["--target-path", str(target), "--log-path", str(settings.logs / "dbt")]
    call += ["--select", *select.split()] if select else []
    call += ["--exclude", *exclude.split()] if exclude else []
    if command in _MAKES and not continues:
        call += ["--full-refresh"]
    if continues:
        # Unit tests are about the project, which has not changed since they passed.
        call += ["--exclude-resource-type", "unit_test"]
    results = target / "run_results.json"
    results.unlink(missing_ok=True)
    started = time.monotonic()
    process = subprocess.Popen(
        call,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(settings)
        | {"GENOME_CONTINUES": "1" if continues else "0", "GENOME_BUCKETS": str(buckets)},
        cwd=settings.home,
    )
    try:
        errors = _follow(process, on_node)
    finally:
        if process.poll() is None:
            process.terminate()
        status = process.wait()
        if process.stdout is not None:
            process.stdout.close()
    nodes = _nodes(results)
    if status != 0:
        if any(node.failed and node.name.startswith(_PREMISES) for node in nodes):
            raise _CannotContinueError(
                "The build cannot continue the one before.", "It begins anew by itself."
            )
        raise _failure(settings, command, nodes, errors)
    # A parse leaves the manifest; which files it came from is remembered beside it.
    (target / "project.sha256").write_text(project_fingerprint())
    return DbtReport(command, nodes, time.monotonic() - started)


def manifest(settings: Settings) -> Mapping[str, Any]:
    """dbt's manifest of this project: contracts, descriptions, meta. Parsed anew when a file has changed."""
    target = _folder(settings) / "target"
    mark, path = target / "project.sha256", target / "manifest.json"
    if not (path.is_file() and mark.is_file() and mark.read_text() == project_fingerprint()):
        with _exclusive(settings):
            if not (_folder(settings) / "clock.json").is_file():
                write_inputs(settings)
            dbt(settings, "parse")
    document: Mapping[str, Any] = files.read_json(path)
    return document


def published_tables(settings: Settings) -> tuple[ExportedTable, ...]:
    """Which dbt models and seeds leave the warehouse, as their YAML says."""
    found = (ExportedTable.of_node(node) for node in manifest(settings)["nodes"].values())
    return tuple(sorted((each for each in found if each is not None), key=lambda table: table.name))


# The steps of a build ----------------------------------------------------------------------------------


def build(
    settings: Settings,
    *,
    force: bool = False,
    full: bool = False,
    on_node: Callable[[Node, int], None] | None = None,
) -> DbtReport:
    """Build every layer but the scores, with dbt's tests, and reconcile the rows with the lake.

    Args:
        settings: where the state is.
        force: build also when nothing has changed since the current publication.
        full: begin with an empty warehouse (it is always rebuildable from the lake); implies `force`. Else a build
            continues the one before where it can: what has landed since, and whom it touches.
        on_node: called with each finished node, while dbt runs.
    """
    print_of = fingerprint(settings)
    current = publish.current(settings, "genome")
    if not (force or full) and current is not None and current.fingerprint == print_of:
        return DbtReport("build", skipped=True, fingerprint=print_of)
    with _exclusive(settings):
        build_before = files.read_json(_built(settings))["build_id"] if _built(settings).is_file() else None
        _built(settings).unlink(missing_ok=True)
        if full:
            settings.warehouse.unlink(missing_ok=True)
            settings.warehouse.with_name(f"{settings.warehouse.name}.wal").unlink(missing_ok=True)
        before = None if full else _read_kept(settings)
        _kept(settings).unlink(missing_ok=True)  # what a killed build leaves is continued by none
        inputs = write_inputs(settings, before, "asked for" if full else "there is nothing to continue")
        try:
            report = _run(settings, inputs, on_node)
        except _CannotContinueError:
            inputs = write_inputs(settings, anew="what has landed changes what was closed")
            report = _run(settings, inputs, on_node)
        with _reading(settings) as connection:
            nodes = _with_rows(connection, report.nodes)
            hops = _ledger(inputs.accepted, connection)
        _reconcile(hops)
        built = DbtReport(
            "build", nodes, report.seconds, fingerprint=inputs.fingerprint, ledger=hops, anew=inputs.anew
        )
        files.write_json(_kept(settings), asdict(inputs.kept))
        files.write_json(
            _built(settings),
            {
                "build_id": secrets.token_hex(8),
                "build_number": inputs.kept.build_number,
                "continues": None if inputs.anew else build_before,
                "fingerprint": inputs.fingerprint,
                "as_of": inputs.as_of,
                "stream": {str(partition): last for partition, last in inputs.stream.items()},
                "ledger": [asdict(hop) for hop in hops],
                "seconds": round(report.seconds, 1),
            },
        )
    return built


def _run(settings: Settings, inputs: Inputs, on_node: Callable[[Node, int], None] | None) -> DbtReport:
    continues = not inputs.anew
    exclude = f"tag:{_SCORES}" + (f" {_OF_THE_WHOLE}" if continues else "")
    at_once = max(1, round(_gigabytes(settings.memory_limit) * _BUCKET_ROWS_IN_A_GIGABYTE))
    buckets = 1 + sum(inputs.accepted.values()) // at_once
    return dbt(settings, "build", exclude=exclude, continues=continues, buckets=buckets, on_node=on_node)


def _gigabytes(memory_limit: str) -> float:
    """A memory limit as DuckDB writes it; a part of the machine's memory where it is one."""
    found = re.fullmatch(r"\s*([0-9.]+)\s*([KMGT]?)i?B?\s*", memory_limit, re.IGNORECASE)
    if found is None:
        import psutil

        share = re.fullmatch(r"\s*([0-9.]+)\s*%\s*", memory_limit)
        return float(psutil.virtual_memory().total) / 2**30 * (float(share[1]) / 100 if share else 0.8)
    return float(found[1]) * 1000.0 ** ("KMGT".find(found[2].upper()) - 2 if found[2] else -3)


def stage(settings: Settings) -> StageReport:
    """Export the last build's tables into a sealed staging area; nothing when they are published already."""
    tables = [table for table in published_tables(settings) if table.group == "genome"]
    # Said and exported under one lock: another build may end in between.
    with _exclusive(settings):
        current = publish.current(settings, "genome")
        if not _built(settings).is_file():
            if current is not None and current.fingerprint == fingerprint(settings):
                return StageReport("genome", None)
            raise GenomeError("There is no finished build to stage.", "Run `genome build`.")
        built = files.read_json(_built(settings))
        if current is not None and current.provenance.get("build_id") == built["build_id"]:
            return StageReport("genome", None)
        return _stage(settings, "genome", tables, built["fingerprint"], built)


def build_scores(settings: Settings, *, on_node: Callable[[Node, int], None] | None = None) -> StageReport:
    """Bring what scoring wrote through dbt, and stage it for the gate.

    Raises:
        GenomeError: nothing has been scored.
    """
    scored = scored_file(settings)
    if not scored.is_file():
        raise GenomeError(f"There are no scores at {scored}.", "Run `genome publish`, which scores first.")
    tables = [table for table in published_tables(settings) if table.group == _SCORES]
    with _exclusive(settings):
        write_inputs(settings)
        report = dbt(settings, "build", select=f"tag:{_SCORES} +tag:{_SCORES},tag:staging", on_node=on_node)
        genome = publish.current(settings, "genome")
        return _stage(
            settings,
            _SCORES,
            tables,
            files.sha256(scored),
            {"genome_epoch": genome.epoch if genome else None, "seconds": round(report.seconds, 1)},
        )


def _stage(
    settings: Settings,
    group: str,
    tables: Sequence[ExportedTable],
    print_of: str,
    provenance: Mapping[str, Any],
) -> StageReport:
    """Export and seal; the caller holds the warehouse."""
    started = time.monotonic()
    current = publish.current(settings, group)
    build = _build_of(settings, provenance, current)
    made: dict[str, Made] = {}
    with _reading(settings) as connection:
        area = publish.stage(settings, group)
        for table in tables:
            before = current.tables.get(table.name) if current is not None else None
            known = export(connection, area, table, build, before)
            if known is not None:
                made[table.name] = known
    area.seal(fingerprint=print_of, provenance={**provenance, "group": group}, made=made)
    rows = {table.name: area.rows(table.name) for table in tables}
    return StageReport(group, area.epoch, rows, time.monotonic() - started)


def _build_of(
    settings: Settings, built: Mapping[str, Any], current: publish.Publication | None
) -> Build | None:
    """The build that is staged; None of scores, which are made whole each time."""
    if "build_number" not in built:
        return None
    published = current.provenance.get("build_id") if current is not None else None
    return Build(
        as_of=built["as_of"],
        number=built["build_number"],
        timezone=settings.business_timezone,
        continues=published is not None and built["continues"] == published,
    )


# Parts -------------------------------------------------------------------------------------------------


def _folder(settings: Settings) -> Path:
    return settings.home / "dbt"


def _kept(settings: Settings) -> Path:
    return _folder(settings) / "kept.json"


def _built(settings: Settings) -> Path:
    return _folder(settings) / "built.json"


@contextmanager
def _exclusive(settings: Settings) -> Iterator[None]:
    """One user of the warehouse file at a time, on this machine."""
    files.make_folder(_folder(settings))
    with files.exclusive(_folder(settings) / "warehouse.lock", patience_seconds=1800):
        yield


@contextmanager
def _reading(settings: Settings) -> "Iterator[duckdb.DuckDBPyConnection]":
    import duckdb

    try:
        connection = duckdb.connect(
            str(settings.warehouse),
            read_only=True,
            config={
                "threads": settings.threads,
                "memory_limit": settings.memory_limit,
                "temp_directory": str(_folder(settings) / "spill"),
            },
        )
    except duckdb.IOException as error:
        raise GenomeError(
            f"{settings.warehouse} cannot be read ({str(error).splitlines()[0]}).",
            "End the program that holds it open; if it is damaged, `genome build --full` makes it anew.",
        ) from error
    with connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def _environment(settings: Settings) -> dict[str, str]:
    """What the dbt process sees: our own environment without settings, and the few that the profile names."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GENOME_")}
    return inherited | {
        "GENOME_HOME": str(settings.home),
        "GENOME_THREADS": str(settings.threads),
        "GENOME_MEMORY_LIMIT": settings.memory_limit,
        "GENOME_BUSINESS_TIMEZONE": settings.business_timezone,
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _follow(process: "subprocess.Popen[str]", on_node: Callable[[Node, int], None] | None) -> list[str]:
    """Read dbt's events as they come; returns what it said at error level."""
    errors: list[str] = []
    total = 0
    if process.stdout is None:
        raise AssertionError("dbt's output was not asked for")
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            # Not an event: a traceback before logging began, or another library's warning.
            if line.strip():
                errors.append(line.rstrip())
            continue
        data, info = event.get("data", {}), event.get("info", {})
        total = data.get("total", total)
        if info.get("level") == "error" and info.get("msg"):
            errors.append(str(info["msg"]))
        if info.get("name") in _RESULTS and on_node is not None:
            node = data.get("node_info", {})
            on_node(
                Node(
                    name=node.get("node_name", "?"),
                    kind=node.get("resource_type", ""),
                    status=str(data.get("status", "")).lower(),
                    seconds=float(data.get("execution_time", 0.0)),
                ),
                total,
            )
    return errors


def _nodes(results: Path) -> tuple[Node, ...]:
    if not results.is_file():
        return ()
    document = files.read_json(results)
    return tuple(
        Node(
            name=each["unique_id"].split(".")[-1]
            if not each["unique_id"].startswith("test.")
            else each["unique_id"].split(".")[-2],
            kind=each["unique_id"].split(".")[0],
            status=each["status"],
            seconds=float(each["execution_time"]),
            failures=each.get("failures"),
            message=each.get("message"),
        )
        for each in document["results"]
    )


def _failure(settings: Settings, command: str, nodes: tuple[Node, ...], errors: list[str]) -> GenomeError:
    log = settings.logs / "dbt" / "dbt.log"
    failed = [node for node in nodes if node.failed]
    if failed:
        first = failed[0]
        others = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        rows = f"{first.failures} row(s): " if first.failures else ""
        message = " ".join((first.message or "").split())[:500]
        return GenomeError(
            f"dbt {command}: {first.kind} {first.name} failed{others}: {rows}{message}.",
            f"Nothing was published. {log} has the whole story; mend the source or the rule and build again.",
        )
    said = " ".join(" ".join(errors[-3:]).split())[:700] or "it gave no reason"
    return GenomeError(
        f"dbt {command} failed: {said}.",
        f"See {log}. A damaged warehouse is rebuilt by `genome build --full`.",
    )


def _with_rows(connection: "duckdb.DuckDBPyConnection", nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The same nodes, tables with their row counts (which DuckDB keeps as metadata)."""
    estimates = dict(connection.execute("select table_name, estimated_size from duckdb_tables()").fetchall())
    return tuple(
        Node(**{**asdict(node), "rows": estimates.get(node.name)}) if node.kind in {"model", "seed"} else node
        for node in nodes
    )


def _ledger(accepted: Mapping[str, int], connection: "duckdb.DuckDBPyConnection") -> tuple[Hop, ...]:
    staged = {
        channel: (int(rows), int(kept), int(again))
        for channel, rows, kept, again in connection.execute(
            "select channel, sum(staged_count), sum(interaction_count), sum(redelivered_count)"
            " from fct_interaction_counts group by channel"
        ).fetchall()
    }
    return tuple(
        Hop(channel, accepted.get(channel, 0), *staged.get(channel, (0, 0, 0)))
        for channel in sorted(accepted.keys() | staged.keys())
    )


def _reconcile(hops: tuple[Hop, ...]) -> None:
    for hop in hops:
        if not hop.reconciled:
            raise GenomeError(
                f"Rows of channel '{hop.channel}' do not add up: the lake holds {hop.accepted}, dbt staged "
                f"{hop.staged} and kept {hop.interactions} + {hop.redelivered} redelivered.",
                "A new channel needs its staging in dbt_project/models/staging and its place in "
                "int_interactions_unioned; if none is new, run the build again.",
            )
