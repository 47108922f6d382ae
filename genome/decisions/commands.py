"""Verbs about decisions: decide, explain, offers."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, report

if TYPE_CHECKING:
    from genome.decisions.records import Decision


def decide(
    customer: Annotated[str, typer.Argument(help="customer_id, for example household:1")],
    placement: Annotated[str, typer.Option(help="Where the answer will appear, for example homepage.")],
    channel: Annotated[str | None, typer.Option(help="One of the placement's channels.")] = None,
    count: Annotated[int | None, typer.Option(help="At most so many offers.", min=1, max=20)] = None,
    product: Annotated[
        list[str] | None,
        typer.Option(
            help="What it is about: a product in the basket, looked at, out of stock. Again for more."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what to offer a customer next, or why to stay silent; the decision is recorded."""
    from genome.api.service import open_service
    from genome.decisions.records import Ask
    from genome.settings import load

    service = open_service(load())
    try:
        decision, _ = service.decide(
            Ask(
                customer_id=customer,
                placement=placement,
                channel=channel,
                count=count,
                product_ids=tuple(product or ()),
            )
        )
    finally:
        service.close()
    report(decision, as_json=as_json, human=lambda console: print_decision(console, decision))


def explain(
    decision_id: Annotated[str, typer.Argument(help="As `genome decide` or the API gave it.")],
    as_json: AsJson = False,
) -> None:
    """Tell a recorded decision: the offers and reasons, what was dropped and why, versions, feedback."""
    from genome.api.service import open_service
    from genome.settings import load

    service = open_service(load())
    try:
        told = service.decision(decision_id)
    finally:
        service.close()

    def human(console: Console) -> None:
        print_decision(console, told.decision)
        if told.decision.dropped:
            table = Table("not offered", "score", "why", title="Dropped", title_justify="left")
            for each in told.decision.dropped:
                table.add_row(each.offer_id, f"{each.score:.4g}", f"{each.reason}: {each.message}")
            console.print(table)
        for match in (match for offer in told.decision.offers for match in offer.matches):
            console.print(
                f"  {match.label}: your share {match.share:.1%}, everybody's {match.population_share:.1%}, "
                f"the offer's {match.weight:.0%}",
                style="dim",
                markup=False,
            )
        for name, value in told.decision.versions.model_dump().items():
            console.print(f"  {name}: {value}", style="dim", markup=False)
        for event in told.feedback:
            console.print(f"{event.occurred_at:%Y-%m-%d %H:%M} {event.event} {event.offer_id}", markup=False)
        if told.is_reproduced is not None:
            console.print(
                "Made again from its log: the same."
                if told.is_reproduced
                else "[red]Made again from its log: another answer. The rules or the code have changed.[/red]"
            )

    report(told, as_json=as_json, human=human)


offers = typer.Typer(help="The offers that there are.", no_args_is_help=True)


@offers.command("list")
def offers_list(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are not live now.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the live offers."""
    from genome.api.service import published_offers
    from genome.settings import load

    found = published_offers(load(), live_only=not everything)

    def human(console: Console) -> None:
        table = Table("offer", "what", "kind", "from", "until", "products")
        for offer in found:
            table.add_row(
                offer.offer_id,
                offer.label,
                offer.kind,
                f"{offer.starts_at:%Y-%m-%d}",
                f"{offer.ends_at:%Y-%m-%d}",
                f"{offer.product_count:,}",
            )
        console.print(table)
        console.print(
            f"{len(found):,} offers" + ("" if everything else " are live now (--all for the others).")
        )

    report([offer.model_dump(mode="json") for offer in found], as_json=as_json, human=human)


def print_decision(console: Console, decision: "Decision") -> None:
    """A decision for people: the offers with their reasons, or silence with its own."""
    console.print(
        f"{decision.customer_id} in {decision.placement}, {decision.decided_at:%Y-%m-%d %H:%M} UTC",
        style="bold",
        markup=False,
    )
    if decision.silence is not None:
        console.print(f"Silence ({decision.silence.reason}): {decision.silence.message}", markup=False)
    for offer in decision.offers:
        console.print(f"{offer.rank}. {offer.label}", style="bold", markup=False)
        console.print(
            f"   {offer.offer_id}, {offer.kind}, score {offer.score:.4g}, until {offer.ends_at:%Y-%m-%d}",
            style="dim",
            markup=False,
        )
        for reason in offer.reasons:
            console.print(f"   {reason}", markup=False)
    if decision.decision_id is not None:
        console.print(f"genome explain {decision.decision_id}", style="dim", markup=False)
