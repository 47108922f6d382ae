"""The verbs `genome ingest` and `genome quarantine`."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genome.console import AsJson, report
from genome.errors import UsageError
from genome.settings import load


def ingest(
    channel: Annotated[
        str, typer.Argument(help="A channel or feed: pos, web, app, email, crm, survey, products, offers …")
    ],
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders or URLs (s3://…) to land; none: all that is new in inbox/CHANNEL/."
        ),
    ] = None,
    day: Annotated[
        str | None,
        typer.Option(help="Only files of this day (YYYY-MM-DD): by their names, or when they came."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Land files in the lake: CSV, JSON lines or Parquet, plain, .gz or .zst.

    Each file is checked against its channel's contract (docs/reference/channels.md). Good rows land; bad rows
    go to quarantine with the reason; a file that lacks a column is refused as a whole. A file that was landed
    before, under whatever name, changes nothing. So it is always safe to run this again.

    Exit status 1 says that a file was refused; all the others have landed all the same.

    A channel may have several kinds of files (pos: lines and returns): the beginning of a name tells which.

    Examples: `genome ingest pos` · `genome ingest pos /exports/lines-2017-03.csv.gz` ·
    `genome ingest web s3://exports/web/2017-03/`
    """
    from genome.lake.ingest import DUPLICATE, LANDED, WAITING
    from genome.lake.ingest import ingest as run

    settings = load()
    result = run(settings, channel, paths or None, day=_date(day))
    document = result.summary() | {"files": [each.summary() for each in result.files]}

    def human(console: Console) -> None:
        if not result.files:
            # What was named is not repeated: a URL may hold a password.
            place = "what you named" if paths else settings.inbox / channel
            console.print(f"Nothing in {place}: put files there, or name them.")
            return
        table = Table("file", "outcome", "received", "accepted", "quarantined", "duplicate")
        words = {LANDED: "landed", DUPLICATE: "seen before", WAITING: "refused before"}
        for each in result.files:
            counts = each.counts
            shown = [f"{number:,}" for number in (counts.received, counts.accepted)]
            shown += [f"{number:,}" for number in (counts.quarantined, counts.duplicate)]
            table.add_row(escape(each.name), words.get(each.status, each.status), *shown)
        console.print(table)
        for each in result.files:
            for reason, rows in list(each.reasons.items())[:5]:
                console.print(f"{escape(each.name)}: {rows:,} × {escape(reason)}")
            if each.what:
                console.print(
                    f"[bold]{'Refused' if each.status != WAITING else 'Still refused'}[/]: "
                    f"{escape(each.what)} {escape(each.remedy)}"
                )
        total = result.counts
        console.print(
            f"{total.received:,} rows received = {total.accepted:,} accepted "
            f"+ {total.quarantined:,} quarantined + {total.duplicate:,} duplicate."
        )
        if total.quarantined or result.refused:
            console.print(f"Look closer: genome quarantine list --channel {channel}")

    report(document, as_json=as_json, human=human)
    if result.refused:
        raise typer.Exit(1)


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"--day {text} is no day.", "Write it so: --day 2026-01-05") from None


def maintain(as_json: AsJson = False) -> None:
    """Put small files of the lake together, apply retention, trim the stream, clear leftovers.

    Readers and writers go on meanwhile. Run it as often as you like; the DAG `maintain_lake` does so hourly.
    """
    from genome.lake.maintain import maintain as run

    done = run(load())

    def human(console: Console) -> None:
        console.print(
            f"{done.compacted:,} small files became {done.made:,} ({done.rows:,} rows); {done.folded:,} documents "
            f"folded; {done.retired:,} rows past their retention; {done.removed:,} files removed; "
            f"{done.trimmed:,} entries left the stream."
        )

    report(done.summary(), as_json=as_json, human=human)


quarantine = typer.Typer(
    help="What could not be let in: look at it, and try it again after a fix.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@quarantine.command("list")
def list_items(
    channel: Annotated[str | None, typer.Option(help="Only this channel's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many lines.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what waits in quarantine: refused files, and rows with the reason.

    Reasons name the column and the rule, never the value; `genome quarantine show ID` shows the row itself.
    """
    from collections import Counter
    from dataclasses import asdict

    from genome.collector.quarantine import lake_items
    from genome.lake.quarantine import open_items
    from genome.stream import parked

    settings = load()
    items = [*open_items(settings, channel), *lake_items(settings, channel)]
    items += parked.lake_items(settings, "land", channel)
    reasons = Counter(item.reason for item in items if item.raw_kind != "file")
    document: dict[str, Any] = {
        "count": len(items),
        "reasons": dict(reasons.most_common()),
        "items": [asdict(item) for item in items[:limit]],
    }

    def human(console: Console) -> None:
        if not items:
            console.print("Quarantine is empty.")
            return
        # The id is there to be copied, so it is never cut; it begins with the channel's name.
        table = Table("id", "reason", "source", "record", box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        table.columns[0].overflow = "ignore"
        for item in items[:limit]:
            table.add_row(
                item.id,
                escape(item.reason),
                escape(item.source),
                "file" if item.offset is None else f"{item.offset:,}",
            )
        console.print(table)
        if len(items) > limit:
            console.print(f"… {len(items) - limit:,} more (--limit).")
        console.print("Next: genome quarantine show ID · after a fix: genome quarantine replay [ID …]")

    report(document, as_json=as_json, human=human)


@quarantine.command("show")
def show(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="As `genome quarantine list` prints it.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the decrypted bytes to this file instead of showing them.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one quarantined row or file, decrypted with the vault's key. It may hold personal data."""
    from dataclasses import asdict

    from genome.collector.quarantine import is_ours, lake_items, open_entry
    from genome.lake.quarantine import find, raw
    from genome.stream import parked

    settings = load()
    if parked.is_ours(item_id):
        (item, content), is_open = parked.show(settings, item_id), True
    elif is_ours(item_id):
        content = open_entry(settings, item_id)[1]
        item, is_open = next(each for each in lake_items(settings) if each.id == item_id), True
    else:
        item, is_open = find(settings, item_id)
        content = raw(settings, item)
    if out is not None:
        out.touch(mode=0o600)
        out.write_bytes(content)
    head = content[:4000].decode("utf-8", errors="backslashreplace")
    document = asdict(item) | {"waits": is_open, "bytes": len(content), "raw": None if out else head}

    def human(console: Console) -> None:
        console.print(f"[bold]{item.id}[/] from {escape(item.source)}, channel {item.channel}")
        console.print(f"Reason: {escape(item.reason)}")
        console.print("It waits." if is_open else "It has landed since.")
        if out is not None:
            console.print(f"{len(content):,} bytes written to {escape(str(out))}.")
        elif content:
            console.print(escape(head) + (" …" if len(content) > len(head) else ""))

    report(document, as_json=as_json, human=human)


@quarantine.command("replay")
def replay(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Rows or files; none: everything that waits."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send rows and files through the contract again, after the contract or the code was fixed.

    What passes lands once, and a second replay adds nothing. What fails again stays, with its reason, and
    makes the exit status 1.
    """
    from genome.collector import quarantine as door
    from genome.lake.replay import ReplayReport
    from genome.lake.replay import replay as run
    from genome.stream import parked
    from genome.stream.land import Land

    settings = load()
    at_the_door = [each for each in ids or () if door.is_ours(each)]
    set_aside = [each for each in ids or () if parked.is_ours(each)]
    in_the_lake = [each for each in ids or () if not (door.is_ours(each) or parked.is_ours(each))]
    result = run(settings, in_the_lake) if in_the_lake or not ids else ReplayReport()
    if at_the_door or (not ids and door.lake_items(settings)):
        events = door.replay(settings, ids=at_the_door)
        result.items += events.landed + events.known + events.suppressed + len(events.still)
        result.accepted += events.landed
        result.duplicate += events.known
        result.still.update(events.still)
    if set_aside or (not ids and parked.lake_items(settings, "land")):
        landed, still = Land(settings).replay(set_aside)
        result.items += landed + len(still)
        result.accepted += landed
        result.still.update(still)

    def human(console: Console) -> None:
        console.print(
            f"{result.items:,} tried again: {result.accepted:,} rows landed, {result.duplicate:,} were in "
            f"the lake already, {len(result.still):,} stay in quarantine."
        )
        for each, why in list(result.still.items())[:20]:
            console.print(f"{each}: {escape(why)}")
        for each in result.done[:20]:
            console.print(f"{each}: landed before; nothing to do.")

    report(result.summary(), as_json=as_json, human=human)
    if result.still:
        raise typer.Exit(1)
