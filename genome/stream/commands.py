"""Verbs of the live path: run a consumer of the stream, and see to what it parked."""

from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, report
from genome.stream.registry import ABOUT, CONSUMERS

stream = typer.Typer(help="Consumers of the event stream: run one, see what it parked.", no_args_is_help=True)

Partitions = Annotated[
    str, typer.Option(help="Only these, all of them, with commas: 0,1. Default: this process's share.")
]


def _register(name: str) -> None:
    def run(partitions: Partitions = "") -> None:
        _run(name, partitions)

    stream.command(name, help=f"Run `{name}` until it is told to end: {ABOUT[name]}.")(run)


def _run(name: str, partitions: str) -> None:
    from genome.api.server import configure_logging
    from genome.errors import UsageError
    from genome.settings import load
    from genome.stream import registry

    settings = load()
    configure_logging(settings)
    try:
        chosen = [int(each) for each in partitions.split(",") if each.strip()]
    except ValueError:
        raise UsageError(
            f"--partitions {partitions} is no list of numbers.", "Write it so: --partitions 0,1"
        ) from None
    registry.make(name, settings, chosen or None).run_until_signal()


for _name in CONSUMERS:
    _register(_name)


Consumer = Annotated[str, typer.Argument(help="Whose: " + ", ".join(CONSUMERS) + ".")]


@stream.command("parked")
def list_parked(consumer: Consumer = "land", as_json: AsJson = False) -> None:
    """What a consumer could not take, with the reason; the messages are sealed."""
    from genome.settings import load
    from genome.stream import parked

    found = list(parked.listed(load(), _known(consumer)))
    document = [
        {"id": each.parked_id, "partition": each.partition, **msgspec.to_builtins(each.why)} for each in found
    ]

    def human(console: Console) -> None:
        if not found:
            console.print(f"'{consumer}' has parked nothing.")
            return
        table = Table("id", "channel", "source", "reason", "tries")
        for each in found:
            why = each.why
            table.add_row(each.parked_id, why.channel, why.source, why.reason, str(why.tries or ""))
        console.print(table)

    report({"parked": document}, as_json=as_json, human=human)


@stream.command("replay")
def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="As `parked` lists them; none: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Land what `land` has parked, after a fix: each message once; exit 1 where some stay."""
    from genome.settings import load
    from genome.stream.land import Land

    landed, still = Land(load()).replay(ids or ())

    def human(console: Console) -> None:
        console.print(f"{landed} landed, {len(still)} stay.")
        for name, reason in still.items():
            console.print(f"{name}: {reason}", markup=False)

    report({"landed": landed, "still_parked": still}, as_json=as_json, human=human)
    if still:
        raise typer.Exit(1)


@stream.command("queue")
def queue(
    newest: Annotated[int, typer.Option(min=1, help="So many of each partition, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the moments that wait for whoever decides."""
    from datetime import UTC, datetime, timedelta

    from genome.settings import load
    from genome.stores import valkey
    from genome.stream.moments import waiting

    settings = load()
    with valkey.connect(settings, "events") as client:
        found = sorted(waiting(settings, client, newest), key=lambda each: -each.at)
    start = datetime(1970, 1, 1, tzinfo=UTC)
    rows: list[dict[str, Any]] = [
        {
            "id": each.id,
            "moment": each.moment,
            "source_key": each.source_key,
            "at": (start + timedelta(microseconds=each.at)).isoformat(timespec="seconds"),
            "details": each.details,
        }
        for each in found
    ]

    def human(console: Console) -> None:
        table = Table("moment", "whose", "at", "details")
        for row in rows:
            details = " ".join(f"{name}={value}" for name, value in row["details"].items())
            table.add_row(row["moment"], row["source_key"], row["at"], details)
        console.print(table)

    report({"moments": rows}, as_json=as_json, human=human)


def _known(consumer: str) -> str:
    from genome.errors import UsageError

    if consumer not in CONSUMERS:
        raise UsageError(f"There is no consumer '{consumer}'.", f"There are: {', '.join(CONSUMERS)}.")
    return consumer
