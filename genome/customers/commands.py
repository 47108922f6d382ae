"""The verb that shows one customer."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genome.console import AsJson, report

if TYPE_CHECKING:
    from genome.customers.view import GeneView, GenomeView

_ARROWS = {"rising": ("▲", "green"), "falling": ("▼", "red"), "steady": ("", "dim")}


def show(
    customer: Annotated[str, typer.Argument(help="customer_id, for example household:1")],
    genes: Annotated[int, typer.Option(help="So many genes of each locus.", min=1, max=50)] = 5,
    as_json: AsJson = False,
) -> None:
    """Show a customer's genome: traits in words, what is singular, the strongest genes of each locus."""
    from genome.api.service import open_service
    from genome.settings import load

    service = open_service(load())
    try:
        genome = service.genome(customer, by_locus=genes)
    finally:
        service.close()
    report(genome, as_json=as_json, human=lambda console: print_genome(console, genome))


def print_genome(console: Console, genome: "GenomeView") -> None:
    """A genome for people, with a bar for each gene."""
    console.print(
        f"{genome.customer_id}, data up to {genome.as_of:%Y-%m-%d %H:%M} UTC", style="bold", markup=False
    )
    for sentence in genome.in_words:
        console.print(f"  {sentence}", markup=False)
    if genome.distinctive:
        singular = ", ".join(f"{gene.label} ({gene.distinctiveness:.1f})" for gene in genome.distinctive)
        console.print(f"Most singular (z-score): {singular}", markup=False)
    width = max(8, min(30, console.width - 70))
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("gene", width=24, no_wrap=True)
    table.add_column("months", min_width=width, no_wrap=True)
    for name in ("share", "lately", "evidence"):
        table.add_column(name, justify="right", min_width=max(6, len(name)), no_wrap=True)
    for locus in genome.loci:
        longest = max(gene.share_character or 0.0 for gene in locus.genes) or 1.0
        for place, gene in enumerate(locus.genes):
            table.add_row(
                Text(locus.label if place == 0 else "", style="bold"),
                Text(gene.label),
                Text("█" * round(width * (gene.share_character or 0.0) / longest), style="blue"),
                _percent(gene.share_character),
                _now(gene),
                "" if gene.confidence is None else f"{gene.confidence:.0f}",
            )
    console.print(table)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _now(gene: "GeneView") -> Text:
    arrow, style = _ARROWS[gene.direction or "steady"]
    return Text(f"{_percent(gene.share_now)} {arrow}", style=style)
