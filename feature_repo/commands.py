"""The verb `genome serve-features`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, report


def serve_features(
    check: Annotated[
        int, typer.Option("--check", min=0, help="Compare this many customers online and offline afterwards.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Register the feature views and fill the online store from what is published."""
    from feature_repo.serve import apply, load_online
    from genome.settings import load

    settings = load()
    applied = apply(settings)
    loaded = load_online(settings)
    parity = None
    if check:
        from feature_repo.parity import compare

        parity = compare(settings, check)

    def human(console: Console) -> None:
        table = Table("feature view", "entities", "removed", "epoch", "as of")
        for view in loaded.loaded:
            table.add_row(
                view.view,
                f"{view.rows:,}",
                f"{loaded.removed[view.view]:,}",
                view.epoch,
                f"{view.as_of:%F %T}Z",
            )
        console.print(table)
        for view_name in loaded.unpublished:
            console.print(f"{view_name} is not published yet.")
        console.print(f"Services: {', '.join(applied.services)}. Loaded in {loaded.seconds:.1f} s.")
        if parity:
            compared = ", ".join(f"{count:,} {entity}s" for entity, count in parity.entities.items())
            verdict = "online = offline" if parity.is_equal else f"{parity.differences:,} values differ"
            console.print(f"Compared {parity.values:,} values of {compared}: {verdict}.")
            for each in parity.examples:
                console.print(f"  {each.feature} of {each.id}: {each.sides}")

    summary = {"registered": applied.summary(), "loaded": loaded.summary()}
    if parity:
        summary["parity"] = parity.summary()
    report(summary, as_json=as_json, human=human)
    if parity and not parity.is_equal:
        raise typer.Exit(1)
