"""The verbs about one customer's genome: show, diff, why."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genome.console import AsJson, report
from genome.customers.picture import write_page
from genome.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genome.customers.history import History
    from genome.customers.view import GeneView, GenomeView, LocusView
    from genome.settings import Settings

_ARROWS = {"rising": ("▲", "green"), "falling": ("▼", "red"), "steady": ("", "dim")}


AsOf = Annotated[
    str | None,
    typer.Option(
        help="Valid time: what had happened before it (2017-07-01, or with time and offset). Now where left out."
    ),
]
KnownAt = Annotated[
    str | None,
    typer.Option(help="Known time: only what the platform knew before it. Where left out: all it knows now."),
]
Customer = Annotated[str, typer.Argument(help="customer_id, for example household:1")]


def show(
    customer: Customer,
    genes: Annotated[int, typer.Option(help="So many genes of each locus.", min=1, max=50)] = 5,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    page: Annotated[
        Path | None,
        typer.Option(
            help="Write the service agent's page there: HTML, or, where the name ends in .png, a picture of it "
            "(Chromium draws it)."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a customer's genome: traits in words, what is singular, the strongest genes of each locus.

    With --as-of or --known-at it is computed from the history: the genome at that time, as it was known then.
    """
    from genome.api.service import open_service
    from genome.settings import load

    settings = load()
    if as_of is None and known_at is None:
        service = open_service(settings)
        try:
            genome = service.genome(customer, by_locus=genes)
            if page is not None:
                write_page(service.page(customer), page)
        finally:
            service.close()
        report(genome, as_json=as_json, human=lambda console: print_genome(console, genome))
        return
    if page is not None:
        raise UsageError("The page shows the present.", "Leave out --as-of and --known-at, or --page.")
    valid, known = _times(settings, as_of, known_at)
    past = _history(settings, customer).genome(valid, known, by_locus=genes)

    def human(console: Console) -> None:
        console.print(
            f"{customer} at {valid:%Y-%m-%d %H:%M} UTC, as known at {known:%Y-%m-%d %H:%M} UTC",
            style="bold",
            markup=False,
        )
        print_genes(console, past.distinctive, past.loci)

    report(past, as_json=as_json, human=human)


def diff(
    customer: Customer,
    before: Annotated[str, typer.Argument(help="The earlier time, for example 2017-05-01.")],
    after: Annotated[str, typer.Argument(help="The later time.")],
    known_at: KnownAt = None,
    least: Annotated[float, typer.Option(help="Leave out changes of a share below it.", min=0, max=1)] = 0.01,
    limit: Annotated[int, typer.Option(help="At most so many changes of each locus.", min=1, max=100)] = 5,
    as_json: AsJson = False,
) -> None:
    """Tell how a customer's genome changed between two times, in words."""
    from genome.settings import load

    settings = load()
    valid, known = _times(settings, after, known_at)
    found = _history(settings, customer).diff(_instant(settings, before), valid, known, least=least)

    def human(console: Console) -> None:
        console.print(f"{customer}, {before} → {after}", style="bold", markup=False)
        loci = dict.fromkeys(change.locus_id for change in found.changes)
        if not loci:
            console.print(f"  no share of a locus moved by {least:.1%} or more", markup=False)
        for locus in loci:
            console.print(locus.replace("_", " "), style="bold", markup=False)
            for change in [each for each in found.changes if each.locus_id == locus][:limit]:
                console.print(f"  {change.in_words}", markup=False)

    report(found, as_json=as_json, human=human)


def why(
    customer: Customer,
    gene: Annotated[str, typer.Argument(help="<locus>:<allele>, as `genome show --json` lists them.")],
    as_of: AsOf = None,
    known_at: KnownAt = None,
    limit: Annotated[int, typer.Option(help="Print so many interactions, the heaviest first.", min=1)] = 15,
    as_json: AsJson = False,
) -> None:
    """List the interactions behind an affinity, and what is left of each: they add up to it."""
    from genome.settings import load

    settings = load()
    valid, known = _times(settings, as_of, known_at)
    found = _history(settings, customer).why(gene, valid, known)

    def human(console: Console) -> None:
        share = "–" if found.share_character is None else f"{found.share_character:.1%}"
        console.print(f"{customer} · {found.label} ({gene})", style="bold", markup=False)
        console.print(
            f"  affinity {found.affinity_character:.3f} over months ({share} of its locus), "
            f"{found.affinity_now:.3f} lately; {len(found.contributions)} pieces of evidence, worth "
            f"{found.confidence or 0:.0f} equal ones",
            markup=False,
        )
        channels = ", ".join(f"{name} {left:.3f}" for name, left in found.by_channel.items())
        console.print(f"  by channel: {channels}", markup=False)
        table = Table(box=None, pad_edge=False)
        for name in ("on", "what", "product"):
            table.add_column(name, no_wrap=name != "product")
        for name in ("given", "months", "lately"):
            table.add_column(name, justify="right", no_wrap=True)
        for each in found.contributions[:limit]:
            table.add_row(
                f"{each.occurred_at:%Y-%m-%d}",
                each.interaction_type,
                Text(each.product),
                f"{each.evidence:.3f}",
                f"{each.character:.3f}",
                f"{each.now:.3f}",
            )
        left = found.contributions[limit:]
        if left:
            table.add_row(
                "",
                f"and {len(left)} more",
                "",
                "",
                f"{sum(each.character for each in left):.3f}",
                f"{sum(each.now for each in left):.3f}",
            )
        table.add_row(
            "", "sum", "", "", f"{found.affinity_character:.3f}", f"{found.affinity_now:.3f}", style="bold"
        )
        console.print(table)

    report(found, as_json=as_json, human=human)


def _history(settings: "Settings", customer: str) -> "History":
    from genome.api.published import Published
    from genome.customers.history import History

    return History(settings, Published(settings).catalogue(), customer)


def _times(settings: "Settings", as_of: str | None, known_at: str | None) -> tuple[datetime, datetime]:
    """Valid and known time; what is left out is now."""
    from genome import clock

    now = clock.now(settings)
    return (
        now if as_of is None else _instant(settings, as_of),
        now if known_at is None else _instant(settings, known_at),
    )


def _instant(settings: "Settings", text: str) -> datetime:
    from genome.customers.history import instant

    return instant(settings, text)


def print_genome(console: Console, genome: "GenomeView") -> None:
    """A genome for people, with a bar for each gene."""
    console.print(
        f"{genome.customer_id}, data up to {genome.as_of:%Y-%m-%d %H:%M} UTC", style="bold", markup=False
    )
    for sentence in genome.in_words:
        console.print(f"  {sentence}", markup=False)
    print_genes(console, genome.distinctive, genome.loci)


def print_genes(console: Console, distinctive: "Sequence[GeneView]", loci: "Sequence[LocusView]") -> None:
    """What is singular, and the strongest genes of each locus with a bar for each."""
    if distinctive:
        singular = ", ".join(f"{gene.label} ({gene.distinctiveness:.1f})" for gene in distinctive)
        console.print(f"Most singular (z-score): {singular}", markup=False)
    width = max(8, min(30, console.width - 70))
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("gene", width=24, no_wrap=True)
    table.add_column("months", min_width=width, no_wrap=True)
    for name in ("share", "lately", "evidence"):
        table.add_column(name, justify="right", min_width=max(6, len(name)), no_wrap=True)
    for locus in loci:
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
