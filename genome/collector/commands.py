"""Verbs of the collector: serve it, and say who may send."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, report
from genome.settings import load


def collector(
    workers: Annotated[int | None, typer.Option(help="Processes; default: the setting.")] = None,
) -> None:
    """Serve the tracking API by itself, until it is told to end (it finishes what it has begun)."""
    from genome.collector.serve import serve

    serve(load(), workers=workers)


sources = typer.Typer(help="Who may send events: sources and their write keys.", no_args_is_help=True)


@sources.command("add")
def add(
    source: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits, _ and -.")],
    channel: Annotated[str, typer.Option(help="web, app, email, sms_push, pos, loyalty …")],
    seller: Annotated[str | None, typer.Option(help="Whose shop it is, in a mall.")] = None,
    consent_category: Annotated[str, typer.Option(help="Purpose that a consent must allow.")] = "analytics",
    require_consent: Annotated[bool, typer.Option(help="Suppress events that carry no consent.")] = False,
    calling_code: Annotated[
        str | None, typer.Option(help="Country code of telephone numbers written without one.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="For webhooks: sendgrid, mailgun or typeform.")] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="File with the provider's signing secret or public key.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register a source and print its write key. It is shown this once."""
    from genome.collector import sources as library

    key = library.add(
        load(),
        source,
        channel,
        seller_id=seller,
        consent_category=consent_category,
        is_consent_required=require_consent,
        calling_code=calling_code,
        provider=provider,
        secret=secret_file.read_text(encoding="utf-8").strip() if secret_file else None,
    )
    _show_key(source, key, as_json)


@sources.command("exchange-key")
def exchange_key(source: Annotated[str, typer.Argument(help="The source.")], as_json: AsJson = False) -> None:
    """Give a source a new write key; the one before it goes on working until the next exchange."""
    from genome.collector import sources as library

    _show_key(source, library.exchange_key(load(), source), as_json)


@sources.command("remove")
def remove(source: Annotated[str, typer.Argument(help="The source.")], as_json: AsJson = False) -> None:
    """Close a source: its keys open nothing from now on. Its events stay."""
    from genome.collector import sources as library

    library.remove(load(), source)
    report({"removed": source}, as_json=as_json, human=lambda console: console.print(f"Closed '{source}'."))


@sources.command("list")
def list_sources(as_json: AsJson = False) -> None:
    """The sources, and what became of their events."""
    from genome.collector import sources as library
    from genome.collector.summary import ledger_rows

    settings = load()
    counts = {row["source"]: row for row in ledger_rows(settings)}
    rows: list[dict[str, Any]] = [
        {
            "source": each.source_id,
            "channel": each.channel,
            "provider": each.provider,
            "keys": len(each.key_hashes),
            **{
                name: counts.get(each.source_id, {}).get(name, 0)
                for name in ("received", "accepted", "quarantined", "suppressed", "duplicate", "replayed")
            },
        }
        for each in library.read(settings).values()
    ]

    def human(console: Console) -> None:
        if not rows:
            console.print("No source is registered. Add one: genome sources add shop --channel web")
            return
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        console.print(table)

    report({"sources": rows}, as_json=as_json, human=human)


def _show_key(source: str, key: str, as_json: bool) -> None:
    def human(console: Console) -> None:
        console.print(f"Write key of '{source}' (shown this once): {key}", soft_wrap=True)

    report({"source": source, "write_key": key}, as_json=as_json, human=human)
