"""Verbs about everybody: segments, how a gene is distributed, and clusters of customers who choose alike."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, report

segments = typer.Typer(help="Segments: typed rules over traits and genes.", no_args_is_help=True)

Segment = Annotated[str, typer.Argument(help="A segment's id, as `genome segments list` says.")]


@segments.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the segments in force, with how many customers each describes."""
    from genome.customers import segments as library
    from genome.settings import load

    rows = [
        {"id": each.rule.id, "about": each.rule.about, "members": each.members, "share": each.share}
        for each in library.sizes(load())
    ]

    def human(console: Console) -> None:
        table = Table("segment", "customers", "of all", "about")
        for row in rows:
            table.add_row(str(row["id"]), f"{row['members']:,}", f"{row['share']:.1%}", str(row["about"]))
        console.print(table)

    report({"segments": rows}, as_json=as_json, human=human)


@segments.command("show")
def show(segment: Segment, as_json: AsJson = False) -> None:
    """Show what a segment asks for."""
    from genome.customers import segments as library
    from genome.settings import load

    rule = library.named(load(), segment)
    asked = sorted({str(each) for each in library.fields_of(rule.where)})

    def human(console: Console) -> None:
        console.print(f"{rule.id}: {rule.about}", style="bold", markup=False)
        for each in asked:
            console.print(f"  {each}", markup=False)

    report({"id": rule.id, "about": rule.about, "asks": asked}, as_json=as_json, human=human)


@segments.command("members")
def members(
    segment: Segment,
    limit: Annotated[int, typer.Option(help="Print so many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List whom a segment describes, by customer_id; all of them with --json."""
    from genome.customers import segments as library
    from genome.settings import load

    found = library.members(load(), segment)

    def human(console: Console) -> None:
        for each in found[:limit]:
            console.print(each, markup=False)
        if len(found) > limit:
            console.print(f"… and {len(found) - limit:,} more", style="dim")

    report({"segment": segment, "customer_ids": found}, as_json=as_json, human=human)


def population(
    gene: Annotated[str, typer.Argument(help="<locus>:<allele>, as `genome show --json` lists them.")],
    as_json: AsJson = False,
) -> None:
    """Show how a gene is distributed over customers: who shows it, and how much of their choices it is."""
    from genome.api.published import Published
    from genome.customers.population import distribution
    from genome.settings import load

    settings = load()
    found = distribution(settings, Published(settings).catalogue(), gene)

    def human(console: Console) -> None:
        console.print(f"{found.label} ({gene})", style="bold", markup=False)
        mean = "–" if found.mean_share is None else f"{found.mean_share:.1%}"
        console.print(
            f"  {found.showing:,} of {found.customers:,} customers show it; mean share {mean} over the "
            f"{found.knowing:,} of whom anything of its kind is known",
            markup=False,
        )
        most = max([1, *(band.customers for band in found.bands)])
        table = Table("share", "customers", "", "of all confidence")
        for band in found.bands:
            bar = "█" * round(40 * band.customers / most)
            table.add_row(f"≤ {band.up_to:.0%}", f"{band.customers:,}", bar, f"{band.weight:.1%}")
        console.print(table)

    report(found, as_json=as_json, human=human)


def clusters(
    locus: Annotated[str, typer.Option(help="By the genes of this locus.")] = "category",
    number: Annotated[
        int | None, typer.Option(help="So many clusters; left out: the most stable number.", min=2, max=50)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 1,
    members: Annotated[
        Path | None, typer.Option(help="Write customer_id and cluster of everybody there, as Parquet.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Write the page clusters.md into this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Group customers who choose alike, and name each group by its most distinctive genes."""
    from genome.api.published import Published
    from genome.customers import clusters as library
    from genome.settings import load

    settings = load()
    found, names = library.find(
        settings, Published(settings).catalogue(), locus_id=locus, number=number, seed=seed
    )
    if members is not None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"customer_id": list(names), "cluster": list(names.values())}), members)
    if to is not None:
        (to / "clusters.md").write_text(library.page(found))

    def human(console: Console) -> None:
        table = Table("cluster", "customers", "of all", "share here", "elsewhere", "z")
        for each in found.clusters:
            table.add_row(
                each.name,
                f"{each.customers:,}",
                f"{each.part:.0%}",
                "\n".join(f"{gene.share:.1%}" for gene in each.genes),
                "\n".join(f"{gene.others:.1%}" for gene in each.genes),
                "\n".join(f"{gene.z:.0f}" for gene in each.genes),
            )
        console.print(table)
        console.print(library.in_words(found), markup=False)

    report(found, as_json=as_json, human=human)
