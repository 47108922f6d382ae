"""`genome simulate`: make a mall, send it live, and look at what was planted."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, progress, report
from genome.errors import UsageError

simulate = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    invoke_without_command=True,
    help="Make a mall with a known truth: channel files, feeds, and a sealed folder for evaluation.",
)

Folder = Annotated[Path, typer.Argument(help="The folder of a mall.")]


@simulate.callback()
def make(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="A new folder, or one that holds a mall: it is replaced.")
    ] = None,
    preset: Annotated[str, typer.Option(help="small, demo, large, or a TOML file of parameters.")] = "small",
    customers: Annotated[int | None, typer.Option(help="People in the mall.")] = None,
    days: Annotated[int | None, typer.Option(help="Days of history.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    workers: Annotated[int | None, typer.Option(help="Processes; never changes the bytes.")] = None,
    live: Annotated[
        str | None, typer.Option(help="Send the live channels to this collector's address.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Events a second for --live.")] = 500.0,
    write_key: Annotated[
        str,
        typer.Option(
            help="The collector's write key, or one for each channel: web=KEY,app=KEY,location=KEY.",
            envvar="GENOME_WRITE_KEY",
        ),
    ] = "mall",
    live_days: Annotated[
        int | None,
        typer.Option(help="Last days of web, app and location kept for a collector (--live: 1)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a mall with a known truth (docs/simulator.md)."""
    if context.invoked_subcommand:
        return
    if out is None:
        raise UsageError("'genome simulate' needs --out DIR.", "Name the folder that the mall is written to.")
    from genome.simulate import parameters as reader
    from genome.simulate.run import simulate as run

    kept = live_days if live_days is not None else 1 if live else None
    parameters = reader.load(preset, customers=customers, days=days, workers=workers, live_days=kept)
    with progress() as bar:
        task = bar.add_task("people", total=parameters.run.customers)
        mall = run(parameters, seed, out, lambda done, _: bar.update(task, completed=done))
    result: dict[str, Any] = mall.model_dump(mode="json", exclude={"sha256", "parameters"})
    if live:
        from genome.simulate.live import LiveOptions, send

        options = LiveOptions(url=live, rate=rate, seed=seed, **_keys(write_key))
        with progress() as bar:
            task = bar.add_task("events", total=None)
            sent = send(out, options, lambda done, total: bar.update(task, completed=done, total=total))
        result["live"] = sent.model_dump(mode="json")

    def human(console: Console) -> None:
        table = Table("stream", "rows", title=f"{mall.interactions:,} interactions in {out}")
        for key, count in mall.rows.items():
            table.add_row(key, f"{count:,}")
        console.print(table)
        console.print(
            f"Cut-off: GENOME_NOW={mall.cut_off.isoformat()} GENOME_BUSINESS_TIMEZONE={mall.timezone}"
        )
        if live:
            _show_live(console, result["live"])

    report(result, as_json=as_json, human=human)


@simulate.command("recover")
def recover(folder: Folder, as_json: AsJson = False) -> None:
    """Estimate every planted effect from the truth and put it beside the planted number."""
    from dataclasses import asdict

    from genome.simulate.recover import recover as estimate

    effects = estimate(folder)
    rows = [asdict(effect) | {"is_recovered": effect.is_recovered} for effect in effects]

    def human(console: Console) -> None:
        table = Table("effect", "planted", "recovered", "± error", "cases", "")
        for effect in effects:
            table.add_row(
                effect.name,
                f"{effect.planted:.4f}",
                f"{effect.recovered:.4f}",
                f"{effect.error:.4f}",
                f"{effect.evidence:,}",
                "recovered" if effect.is_recovered else "MISSED",
            )
        console.print(table)

    report({"effects": rows}, as_json=as_json, human=human)


@simulate.command("tastes")
def tastes(
    folder: Folder,
    to: Annotated[Path | None, typer.Option(help="Write the page into this folder too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Correlate the genomes of the built mall with the latent tastes that made it.

    It reads the home that ingested and built the mall (`genome demo --data mall`: the folder is `mall` in it).
    """
    from dataclasses import asdict

    from genome.settings import load
    from genome.simulate import tastes as library
    from genome.simulate.figures import tastes_page
    from genome.simulate.run import Mall

    rows = library.compare(load(), folder)
    if to is not None:
        (to / "tastes.md").write_text(tastes_page(Mall.read(folder), rows))

    def human(console: Console) -> None:
        table = Table("purchase lines", "people", *library.MEASURES)
        for row in rows:
            table.add_row(*row.cells())
        console.print(table)

    report({"rows": [asdict(row) for row in rows]}, as_json=as_json, human=human)


@simulate.command("identity")
def identity(
    folder: Folder,
    to: Annotated[
        Path | None, typer.Option(help="Write the page into this folder too, with FEBRL's sets beside it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold who is who against the truth of the mall that a home has ingested: pairs, and what became of each trap.

    It reads the home's last resolution (`genome identity resolve`, or any build).
    """
    from genome.settings import load
    from genome.simulate import febrl, identities
    from genome.simulate.figures import identity_page
    from genome.simulate.run import Mall

    settings = load()
    measured = identities.measure(settings, folder)
    if to is not None:
        (to / "identity.md").write_text(identity_page(Mall.read(folder), measured, febrl.measure(settings)))

    def human(console: Console) -> None:
        pairs = Table("pairs with a key of", "joined", "precision", "linkable", "recall")
        for score in measured.scores:
            pairs.add_row(
                score.name,
                f"{score.joined:,}",
                f"{score.precision:.4f}",
                f"{score.linkable:,}",
                f"{score.recall:.4f}",
            )
        console.print(pairs)
        traps = Table("trap", "things", "nobody's", "with one user", "with a stranger", "persons merged")
        for trap in measured.traps:
            counts = (trap.things, trap.alone, trap.with_one, trap.with_stranger, trap.merges)
            traps.add_row(trap.name, *(f"{count:,}" for count in counts))
        console.print(traps)
        console.print(f"Customers that hold keys of two persons: {measured.mixed:,}.")

    report(measured.document(), as_json=as_json, human=human)


@simulate.command("motives")
def motives(
    folder: Folder,
    to: Annotated[Path | None, typer.Option(help="Write the page into this folder too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put the motives that the platform recognised in the mall's texts beside those they were written for.

    It reads the home that ingested the mall (`genome demo --data mall`: the folder is `mall` in it).
    """
    from dataclasses import asdict

    from genome.settings import load
    from genome.simulate import motives as library
    from genome.simulate.figures import motives_page
    from genome.simulate.run import Mall

    rows = library.measure(load(), folder)
    if to is not None:
        (to / "motives.md").write_text(motives_page(Mall.read(folder), rows))

    def human(console: Console) -> None:
        table = Table("motive", "written for", "true", "recognised", "both", "precision", "recall")
        for row in rows:
            table.add_row(*row.cells())
        console.print(table)

    report({"rows": [asdict(row) for row in rows]}, as_json=as_json, human=human)


@simulate.command("figures")
def figures(
    folder: Folder,
    to: Annotated[Path, typer.Option(help="Where the documents go.")] = Path("docs/simulator"),
    as_json: AsJson = False,
) -> None:
    """Write the documents that are made from a mall: effects, parameters, files, calibration."""
    from genome.simulate.figures import write

    written = write(folder, to)

    def human(console: Console) -> None:
        for path in written:
            console.print(f"wrote {path}")

    report({"written": [str(path) for path in written]}, as_json=as_json, human=human)


@simulate.command("live")
def live(
    folder: Folder,
    url: Annotated[str, typer.Argument(help="The collector's address.")],
    rate: Annotated[float, typer.Option(help="Events a second.")] = 500.0,
    write_key: Annotated[
        str,
        typer.Option(
            help="The collector's write key, or one for each channel: web=KEY,app=KEY,location=KEY.",
            envvar="GENOME_WRITE_KEY",
        ),
    ] = "mall",
    limit: Annotated[int | None, typer.Option(help="Stop after so many events.")] = None,
    seed: Annotated[int, typer.Option(help="Of the disorder.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Send a mall's live channels to a collector, in disorder, and say exactly what was sent."""
    from genome.simulate.live import LiveOptions, send

    options = LiveOptions(url=url, rate=rate, limit=limit, seed=seed, **_keys(write_key))
    with progress() as bar:
        task = bar.add_task("events", total=None)
        sent = send(folder, options, lambda done, total: bar.update(task, completed=done, total=total))
    plain = sent.model_dump(mode="json")
    report(plain, as_json=as_json, human=lambda console: _show_live(console, plain))


def _keys(said: str) -> dict[str, Any]:
    """One write key, or one for each channel."""
    if "=" not in said:
        return {"write_key": said}
    from genome.simulate.tables import LIVE

    pairs = [each.partition("=") for each in said.split(",")]
    wrong = [channel for channel, _, _ in pairs if channel not in LIVE]
    if wrong:
        raise UsageError(f"--write-key names '{wrong[0]}'.", f"Live channels are {', '.join(LIVE)}.")
    return {"write_keys": {channel: key for channel, _, key in pairs}}


def _show_live(console: Console, sent: dict[str, Any]) -> None:
    table = Table("sent to the collector", "")
    for name, value in sent.items():
        if name != "expected":
            table.add_row(name, str(value))
    console.print(table)
    outcomes = ("received", "accepted", "quarantined", "suppressed", "duplicate")
    expected = Table("the collector's ledger must say", *outcomes)
    for channel, counts in sent["expected"].items():
        expected.add_row(channel, *(f"{counts[name]:,}" for name in outcomes))
    console.print(expected)
