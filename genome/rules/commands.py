"""Verbs of rules: what there is, and whether a file is right."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, report
from genome.rules.rules import MomentRule, SegmentRule

rules = typer.Typer(help="Typed rules: which there are, and whether a file is right.", no_args_is_help=True)


@rules.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the moments and segments in force: the installation's own rules, else the shipped ones."""
    from genome.rules.rules import moments, own_file, segments
    from genome.settings import load

    settings = load()
    _tell(
        [*moments(own_file(settings, "moments")), *segments(own_file(settings, "segments"))], as_json=as_json
    )


@rules.command("check")
def check(
    path: Annotated[Path, typer.Argument(help="a file of moment or segment rules")], as_json: AsJson = False
) -> None:
    """Read a file of rules; what is wrong is named with its place, its value and what may stand there."""
    from genome.rules.rules import moments, segments

    _tell([*(segments(path) if "segment" in path.name else moments(path))], as_json=as_json)


def _tell(found: list[MomentRule | SegmentRule], *, as_json: bool) -> None:
    rows = [
        {
            "id": rule.id,
            "kind": "moment" if isinstance(rule, MomentRule) else "segment",
            "moment": rule.moment if isinstance(rule, MomentRule) else None,
            "about": rule.about,
        }
        for rule in found
    ]

    def human(console: Console) -> None:
        table = Table("rule", "kind", "makes", "about")
        for row in rows:
            table.add_row(row["id"], row["kind"], row["moment"] or "", row["about"])
        console.print(table)

    report({"rules": rows}, as_json=as_json, human=human)
