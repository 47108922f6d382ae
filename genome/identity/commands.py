"""The verbs about who is who: `genome identity …`."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genome.console import AsJson, log_to_stderr, report
from genome.errors import GenomeError, UsageError
from genome.settings import Settings, load

identity = typer.Typer(
    help="Who is who: which keys are one customer, what was refused and why, merge and unmerge by hand.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Reason = Annotated[str, typer.Option(help="Why, in your words; kept with the decision.")]
By = Annotated[str | None, typer.Option(help="Who decides; the user of this machine where left out.")]


@identity.command("resolve")
def resolve(
    force: Annotated[
        bool, typer.Option("--force", help="From nothing, also when nothing new has landed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Resolve what has landed; `genome build` does it by itself before dbt."""
    from genome.identity.resolve import resolve as run

    log_to_stderr()
    done = run(load(), force=force)

    def human(console: Console) -> None:
        if done.skipped:
            console.print("Nothing new has landed since the last resolution; --force resolves anyway.")
            return
        how = (
            f"from nothing, as {done.anew}"
            if done.anew
            else f"{done.again:,} keys of {done.batches:,} new batches"
        )
        console.print(
            f"{done.customers:,} customers of several keys ({done.keys:,} keys in {done.links:,} links); "
            f"{done.refused:,} links refused; {done.households:,} households; "
            f"{how}; {done.seconds:.1f} s."
        )

    report(done.summary(), as_json=as_json, human=human)


@identity.command("show")
def show(
    key: Annotated[str, typer.Argument(help="A source key: user:u1, email:email_1_…, household:7.")],
    as_json: AsJson = False,
) -> None:
    """Tell whose a key was believed to be, and which links it has, followed and refused."""
    import pyarrow.compute as pc

    settings = load()
    beliefs = _rows(settings, "identity_keys", pc.field("source_key") == key)
    links = _rows(settings, "identity_links", (pc.field("owner_key") == key) | (pc.field("other_key") == key))
    if not beliefs and not links:
        raise UsageError(
            f"No link is known of '{key}'.", "A key that nothing links is a customer of its own."
        )

    def human(console: Console) -> None:
        table = Table("customer", "believed from", "until")
        for row in beliefs:
            table.add_row(escape(row["customer_id"]), _day(row["known_at"]), _day(row["known_to"]) or "now")
        console.print(table)
        _print_links(console, links)

    report({"key": key, "beliefs": beliefs, "links": links}, as_json=as_json, human=human)


@identity.command("refused")
def refused(
    reason: Annotated[str | None, typer.Option(help="Only this reason: shared, too_many, conflict …")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many lines.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the links that were not followed, the newest first, each with its reason."""
    import pyarrow.compute as pc

    from genome.identity.rules import MEANING
    from genome.identity.rules import Reason as Why

    if reason is not None and reason not in set(Why):
        raise UsageError(f"There is no reason '{reason}'.", f"Reasons: {', '.join(Why)}.")
    wanted = pc.field("reason").is_valid() if reason is None else pc.field("reason") == reason
    links = _rows(load(), "identity_links", wanted)
    links.sort(key=lambda row: (row["refused_at"], row["owner_key"], row["other_key"]), reverse=True)
    counts: dict[str, int] = {}
    for row in links:
        counts[row["reason"]] = counts.get(row["reason"], 0) + 1

    def human(console: Console) -> None:
        if not links:
            console.print("No link is refused.")
            return
        for name, count in sorted(counts.items(), key=lambda each: -each[1]):
            console.print(f"{count:,} × [bold]{name}[/]: {escape(MEANING[Why(name)])}")
        _print_links(console, links[:limit])
        if len(links) > limit:
            console.print(f"… {len(links) - limit:,} more (--limit).")

    report({"count": len(links), "reasons": counts, "links": links[:limit]}, as_json=as_json, human=human)


@identity.command("merge")
def merge(
    one: Annotated[str, typer.Argument(help="A customer, or any of their source keys.")],
    other: Annotated[str, typer.Argument(help="The customer who is the same person.")],
    reason: Reason = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Say that two customers are one person. It counts from the next build on, and can be taken back."""
    from genome.identity import decisions

    done = decisions.merge(load(), one, other, by=by or _me(), reason=reason)
    _say(done, f"{one} and {other} are one customer from the next `genome build` on.", as_json)


@identity.command("unmerge")
def unmerge(
    one: Annotated[str, typer.Argument(help="A source key of the customer.")],
    other: Annotated[str, typer.Argument(help="The key that is somebody else's.")],
    reason: Reason = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Take back a merge of these two keys; where rules made them one, take the second out of the customer."""
    from genome.identity import decisions

    done = decisions.unmerge(load(), one, other, by=by or _me(), reason=reason)
    _say(done, f"{one} and {other} are taken apart by the next `genome build`.", as_json)


def _say(done: Any, words: str, as_json: bool) -> None:
    document = asdict(done) | {"decided_at": done.decided_at.isoformat()}
    report(document, as_json=as_json, human=lambda console: console.print(words, markup=False))


def _me() -> str:
    import getpass

    return getpass.getuser()


def _rows(settings: Settings, table: str, wanted: Any) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    from genome.identity.resolve import current

    tables = current(settings)
    if not tables:
        raise GenomeError("Nothing is resolved yet.", "Run `genome build`, or `genome identity resolve`.")
    rows: list[dict[str, Any]] = pq.read_table(tables[table], filters=wanted).to_pylist()
    return [
        {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
        for row in rows
    ]


def _print_links(console: Console, links: list[dict[str, Any]]) -> None:
    table = Table(
        "owner", "other", "proof", "met", "followed from", "refused", "why", box=None, pad_edge=False
    )
    for column in table.columns[:2]:
        column.overflow = "fold"  # keys are there to be copied
    for row in links:
        table.add_row(
            escape(row["owner_key"]),
            escape(row["other_key"]),
            row["proof"],
            f"{row['sighting_count']:,} ×",
            _day(row["known_at"]),
            _day(row["refused_at"]),
            row["reason"] or "",
        )
    console.print(table)


def _day(instant: str | None) -> str:
    return instant[:10] if instant else ""
