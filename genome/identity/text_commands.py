"""The verbs about what people wrote: `genome texts …`."""

from textwrap import indent
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from genome.console import AsJson, log_to_stderr, progress, report
from genome.identity.vault import Reader
from genome.settings import Settings, load

texts = typer.Typer(
    help="What people wrote: reviews, survey answers, comments, messages. The words lie encrypted in the identity "
    "vault; all else knows only the motives that the vocabulary recognises in them (docs/text-dna.md).",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@texts.command("list")
def list_(
    customer: Annotated[
        str, typer.Argument(help="A customer, or any of their source keys: user:u1, email:email_1_…")
    ],
    for_privacy: Annotated[
        bool, typer.Option("--for-privacy", help="Log it as a privacy request's reading, not as the desk's.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Print so many; all of them with --json.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Print what a customer wrote, the newest first: day, channel, what it came with, the words.

    It decrypts, so it works only where the vault's key lies, and each reading is logged: who read, and how many texts.
    Of long texts the first 20,000 characters are kept; digits of payment cards are zeros.

    Examples: `genome texts list user:u1` · `genome texts list user:u1 --for-privacy --json`
    """
    from genome.identity.texts import Texts
    from genome.identity.vault import Vault

    log_to_stderr()
    settings = load()
    reader: Reader = "privacy" if for_privacy else "service"
    keys = _keys(settings, customer)
    vault = Vault(settings)
    try:
        found = Texts(vault).of(keys, reader=reader)
    finally:
        vault.close()

    def human(console: Console) -> None:
        if not found:
            console.print(
                f"No text of {customer} is kept. Customers are named as in `genome show`.", markup=False
            )
        for each in found[:limit]:
            day = each.occurred_at.astimezone(ZoneInfo(settings.business_timezone)).date()
            console.print(f"{day}  {each.channel}  {each.interaction_type}", style="bold", markup=False)
            console.print(indent(_printable(each.text), "  "), markup=False)
        if len(found) > limit:
            console.print(f"… {len(found) - limit:,} more (--limit).")

    document = [
        {
            "interaction_id": each.interaction_id,
            "source_key": each.source_key,
            "occurred_at": each.occurred_at.isoformat(),
            "received_at": each.received_at.isoformat(),
            "channel": each.channel,
            "interaction_type": each.interaction_type,
            "text": each.text,
            "motives": each.motives,
        }
        for each in found
    ]
    report({"customer": customer, "count": len(found), "texts": document}, as_json=as_json, human=human)


@texts.command("read")
def read(as_json: AsJson = False) -> None:
    """Read old texts anew with the vocabulary of now; the next `genome build` sees what they say.

    Run it after a change of dbt_project/seeds/vocabulary.csv. Texts that this vocabulary has read are passed over, so
    it is always safe to run again, and a run that was ended goes on where it stopped. The words stay in the vault: the
    lake gets the motives that differ, and the next build begins anew. Motives count from when they were said.

    A collector that runs goes on with the vocabulary that it began with until it is started again.

    Example: `genome texts read && genome build`
    """
    from genome.identity.rereading import reread

    log_to_stderr()
    with progress() as bar:
        task = bar.add_task("texts", total=None)
        done = reread(load(), on_read=lambda count, total: bar.update(task, completed=count, total=total))

    def human(console: Console) -> None:
        if not done.read:
            console.print(f"Every text has been read with this vocabulary ({done.vocabulary}).")
        else:
            console.print(
                f"{done.read:,} texts read with the vocabulary {done.vocabulary}; "
                f"{done.changed:,} say something else now."
            )
        if done.is_new:
            console.print("`genome build` brings it into the genome.")

    report(done.summary(), as_json=as_json, human=human)


def _keys(settings: Settings, customer: str) -> list[str]:
    """The source keys of a customer in what is published, and what was asked for itself."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from genome.lake import publish

    publication = publish.current(settings, "genome")
    if publication is None:
        return [customer]
    asked = (pc.field("customer_id") == customer) | (pc.field("source_key") == customer)
    columns = ["source_key", "customer_id"]
    files = publication.files("dim_customers")
    of = pq.read_table(files, columns=columns, filters=asked).column("customer_id").unique()
    theirs = pq.read_table(files, columns=columns, filters=pc.field("customer_id").isin(of))
    return sorted({customer, *theirs.column("source_key").to_pylist()})


def _printable(text: str) -> str:
    """A stranger's text must not move the cursor or colour the screen of whoever reads it."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)
