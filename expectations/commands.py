"""The verb `build`: lake → dbt → staged Parquet → gate → published by pointer."""

from typing import Annotated, Any

import typer
from rich.console import Console

from genome.console import AsJson, err, log_to_stderr, report
from genome.settings import load


def build(
    full: Annotated[bool, typer.Option("--full", help="Begin with an empty warehouse.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Build also when nothing has changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the genome from what has landed, check it, and publish it.

    When nothing has changed since the current publication, it says so and does nothing.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from expectations import gate
    from genome import warehouse
    from genome.identity.resolve import resolve
    from genome.lake import publish

    settings = load()
    log_to_stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        nodes = progress.add_task("dbt build", total=None)

        def show(node: warehouse.Node, total: int) -> None:
            progress.update(nodes, advance=1, total=total, description=f"dbt {node.kind} {node.name}")

        progress.update(nodes, description="who is who")
        resolved = resolve(settings)
        built = warehouse.build(settings, full=full, force=force, on_node=show)
        progress.update(nodes, description="stage")
        staged = warehouse.stage(settings)
        progress.update(nodes, description="gate")
        judged = gate.check(settings, group="genome")
        progress.update(nodes, description="publish")
        published = publish.publish_staged(settings, group="genome")

    document: dict[str, Any] = {
        "identity": resolved.summary(),
        "build": built.summary(),
        "stage": staged.summary(),
        "gate": judged.summary(),
        "publication": published.summary(),
    }

    def human(console: Console) -> None:
        if built.skipped:
            console.print(f"Nothing new since publication {published.epoch}; --force builds anyway.")
            return
        _print_nodes(console, built)
        _print_ledger(console, built)
        console.print(
            f"Gate: {len(judged.outcomes)} expectations of {len(judged.profiles)} tables hold "
            f"({judged.seconds:.1f} s)."
        )
        _print_publication(console, published)

    report(document, as_json=as_json, human=human)


def _print_nodes(console: Console, built: Any) -> None:
    from rich.table import Table

    table = Table("dbt model", "rows", "seconds", title=f"dbt build, {built.seconds:.0f} s")
    for node in built.of("model"):
        rows = "view" if node.rows is None else f"{node.rows:,}"
        table.add_row(node.name, rows, f"{node.seconds:.1f}")
    console.print(table)
    console.print(f"{len(built.of('test'))} data tests and {len(built.of('unit_test'))} unit tests passed.")


def _print_ledger(console: Console, built: Any) -> None:
    from rich.table import Table

    table = Table(
        "channel", "in the lake", "staged", "interactions", "redelivered", title="Where the rows went"
    )
    for hop in built.ledger:
        counts = (hop.accepted, hop.staged, hop.interactions, hop.redelivered)
        table.add_row(hop.channel, *(f"{count:,}" for count in counts))
    console.print(table)


def _print_publication(console: Console, published: Any) -> None:
    from rich.table import Table

    table = Table("published table", "rows", title=f"Published as {published.epoch}")
    for name, entry in sorted(published.tables.items()):
        table.add_row(name, f"{entry.rows:,}")
    console.print(table)
