"""What runs, how old what readers see is, how the last runs went, and where every row that came in ended."""

from dataclasses import asdict
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel

from genome import clock
from genome.collector import summary
from genome.lake import publish
from genome.lake.manifest import Manifest
from genome.services import processes, runs, state
from genome.settings import Settings
from genome.stores import valkey
from genome.stream import figures
from genome.stream import ledger as landing

GROUPS = ("genome", "scores")


class ServiceLine(BaseModel):
    """One service."""

    name: str
    state: str
    url: str | None
    pid: int | None
    memory_mb: float | None
    restarts: int
    message: str


class PublicationLine(BaseModel):
    """What readers of one group of tables see."""

    group: str
    epoch: str
    published_at: AwareDatetime
    age_hours: float
    rows: dict[str, int]


class RunLine(BaseModel):
    """The last run of one DAG."""

    dag_id: str
    state: str
    started_at: AwareDatetime
    seconds: float
    failed_task: str | None
    error: str | None


class LedgerLine(BaseModel):
    """A channel, feed or source: received = accepted + quarantined + suppressed + duplicate."""

    channel: str
    received: int
    accepted: int
    quarantined: int
    duplicate: int
    is_balanced: bool
    suppressed: int = 0


class LandingLine(BaseModel):
    """The accepted events of one live source: accepted = landed + waiting + parked."""

    source: str
    channel: str
    accepted: int
    landed: int
    waiting: int
    parked: int
    rows: int
    is_balanced: bool


class ConsumerLine(BaseModel):
    """One consumer of the event stream, all partitions together."""

    consumer: str
    partitions: int
    lag: int
    lag_seconds: float
    rate: float
    parked: int
    failing: list[str]
    told_seconds_ago: float


class Status(BaseModel):
    """All of it."""

    home: str
    now: AwareDatetime
    is_up: bool
    services: list[ServiceLine]
    publications: list[PublicationLine]
    runs: list[RunLine]
    ledger: list[LedgerLine]
    landing: list[LandingLine] = []
    consumers: list[ConsumerLine] = []


def read(settings: Settings) -> Status:
    """Look at everything, and start nothing."""
    supervised = state.read(settings)
    is_up = supervised is not None and supervised.supervisor.is_alive()
    services = _services(supervised, is_up=is_up)
    known = {line.name for line in services}
    services += [line for line in _stores(settings) if line.name not in known]
    return Status(
        home=str(settings.home),
        now=clock.now(settings),
        is_up=is_up,
        services=services,
        publications=_publications(settings),
        runs=[_run(record) for record in runs.last(settings)],
        ledger=_ledger(settings),
        landing=[
            LandingLine(**asdict(hop), is_balanced=hop.is_balanced) for hop in landing.summary(settings)
        ],
        consumers=_consumers(settings),
    )


def _consumers(settings: Settings) -> list[ConsumerLine]:
    found: dict[str, list[figures.Figure]] = {}
    for each in figures.read(settings):
        found.setdefault(each.consumer, []).append(each)
    now = datetime.now(UTC).timestamp()
    return [
        ConsumerLine(
            consumer=name,
            partitions=len(parts),
            lag=sum(each.lag for each in parts),
            lag_seconds=max(each.lag_seconds for each in parts),
            rate=round(sum(each.rate for each in parts), 1),
            parked=sum(each.parked for each in parts),
            failing=sorted({each.failing for each in parts if each.failing}),
            told_seconds_ago=round(max(0.0, now - max(each.at for each in parts) / 1000), 1),
        )
        for name, parts in found.items()
    ]


def _services(supervised: state.SupervisorState | None, *, is_up: bool) -> list[ServiceLine]:
    lines = []
    for each in supervised.services if supervised is not None else []:
        alive = each.process is not None and each.process.is_alive()
        lines.append(
            ServiceLine(
                name=each.name,
                # A supervisor that was killed could not write down what became of its services.
                state=each.state if is_up else "left behind" if alive else "stopped",
                url=each.url,
                pid=each.process.pid if each.process and alive else None,
                memory_mb=round(processes.resident_bytes(each.process) / 1e6, 1)
                if each.process and alive
                else None,
                restarts=each.restarts,
                message=each.message,
            )
        )
    return lines


def _stores(settings: Settings) -> list[ServiceLine]:
    lines = []
    for name in valkey.STORES:
        found = valkey.status(settings, name)
        lines.append(
            ServiceLine(
                name=name,
                state="ready" if found.is_running else "stopped",
                url=found.address,
                pid=found.pid,
                memory_mb=round(found.memory_bytes / 1e6, 1) if found.memory_bytes else None,
                restarts=0,
                message=found.problem or "",
            )
        )
    return lines


def _publications(settings: Settings) -> list[PublicationLine]:
    lines = []
    for group in GROUPS:
        publication = publish.current(settings, group)
        if publication is not None:
            age = publication.age(clock.now(settings))
            lines.append(
                PublicationLine(
                    group=group,
                    epoch=publication.epoch,
                    published_at=publication.published_at.astimezone(UTC),
                    age_hours=round(age.total_seconds() / 3600, 2),
                    rows={name: table.rows for name, table in publication.tables.items()},
                )
            )
    return lines


def _run(record: runs.RunRecord) -> RunLine:
    last = record.tasks[-1]
    began = processes.ProcessId(pid=last.pid, created=last.pid_created)
    lost = last.state == "running" and not began.is_alive()
    return RunLine(
        dag_id=record.dag_id,
        state="lost" if lost else record.state,
        started_at=record.started_at,
        seconds=round(
            (datetime.now(UTC) - record.started_at).total_seconds()
            if record.state == "running" and not lost
            else record.seconds,
            1,
        ),
        failed_task=last.task_id if last.error or lost else None,
        error="its process is gone" if lost else last.error,
    )


def _ledger(settings: Settings) -> list[LedgerLine]:
    lines = []
    for dataset in ("interactions", "catalog"):
        for channel, counts in Manifest.read(settings, dataset).counts_by_channel().items():
            lines.append(
                LedgerLine(
                    channel=channel,
                    received=counts.received,
                    accepted=counts.accepted,
                    quarantined=counts.quarantined,
                    duplicate=counts.duplicate,
                    is_balanced=counts.balanced,
                )
            )
    for row in summary.ledger_rows(settings):
        lines.append(
            LedgerLine(
                channel=f"{row['channel']} from {row['source']}",
                received=row["received"],
                accepted=row["accepted"],
                quarantined=row["quarantined"],
                duplicate=row["duplicate"],
                is_balanced=row["is_balanced"],
                suppressed=row["suppressed"],
            )
        )
    return lines
