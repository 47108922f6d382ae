"""The front door: `genome VERB`. It knows the verbs by name and loads the module of the one that was asked for.

This table is the one place where genome/ names the layers above it; nothing of theirs is imported here
(docs/adr/layers.md).
"""

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from genome.errors import GenomeError

VERBS: dict[str, str] = {
    "demo": "genome.demo.commands:demo",
    "doctor": "genome.services.commands:doctor",
    "up": "genome.services.commands:up",
    "down": "genome.services.commands:down",
    "status": "genome.services.commands:status",
    "ingest": "genome.lake.commands:ingest",
    "quarantine": "genome.lake.commands:quarantine",
    "maintain": "genome.lake.commands:maintain",
    "build": "expectations.commands:build",
    "serve-features": "feature_repo.commands:serve_features",
    "train": "models.commands:train",
    "publish": "models.commands:publish",
    "models": "models.commands:models",
    "run": "genome.services.commands:run",
    "show": "genome.customers.commands:show",
    "diff": "genome.customers.commands:diff",
    "why": "genome.customers.commands:why",
    "population": "genome.customers.segment_commands:population",
    "clusters": "genome.customers.segment_commands:clusters",
    "segments": "genome.customers.segment_commands:segments",
    "identity": "genome.identity.commands:identity",
    "texts": "genome.identity.text_commands:texts",
    "decide": "genome.decisions.commands:decide",
    "explain": "genome.decisions.commands:explain",
    "relations": "genome.products.commands:relations",
    "offers": "genome.decisions.commands:offers",
    "api": "genome.api.commands:api",
    "collector": "genome.collector.commands:collector",
    "sources": "genome.collector.commands:sources",
    "stream": "genome.stream.commands:stream",
    "rules": "genome.rules.commands:rules",
    "simulate": "genome.simulate.commands:simulate",
    "docs": "genome.docs:docs",
    "settings": "genome.commands:settings",
}
"""verb -> "module:name" of its Typer command (a function) or group (a `typer.Typer`)."""


class _Verbs(TyperGroup):
    """Commands that are imported when they are needed, so that `genome VERB` starts fast."""

    # Typer carries its own copy of click under a private name, so its types cannot be named here.
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        where = VERBS.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        target = getattr(importlib.import_module(module), name)
        command: Any
        if isinstance(target, typer.Typer):
            command = typer.main.get_group(target)
        else:
            single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
            single.command(name=cmd_name)(target)
            command = typer.main.get_command(single)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Verbs,
    name="genome",
    help="Customer Genome: every channel in, one living genome for each customer, the next best offer out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)


@app.callback()
def _root() -> None:
    """Customer Genome: every channel in, one living genome for each customer, the next best offer out."""


def main() -> None:
    """Run a verb; exit 0 when done, 1 when it failed, 2 when the call was wrong."""
    try:
        app()
    except GenomeError as error:
        sys.stderr.write(f"genome: {error}\n")
        sys.exit(error.exit_status)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
