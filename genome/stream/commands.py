"""Verbs of the live path: run a consumer of the stream, and see to what it parked."""

from typing import Annotated

import typer

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
