"""What came of the journey: rows by hop, the gate, the model beside the baselines, three people, the time."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table

from genome.demo.data import data_set
from genome.settings import Settings

PEOPLE = (0.999, 0.97, 0.25)
"""Whom the demo shows: customers at these quantiles of their best score."""


class JourneyReport(BaseModel):
    """Everything the demo prints, for programs."""

    model_config = ConfigDict(frozen=True)

    data: str = Field(description="whose files, as --data takes it")
    title: str
    home: str
    seconds: float
    steps: list[dict[str, Any]]
    ledger: list[dict[str, Any]] = Field(
        description="rows by channel and hop, from the manifest and the build"
    )
    published: list[dict[str, Any]] = Field(description="the tables that readers see now")
    people: list[dict[str, Any]] = Field(description="a genome and a decision each")

    def summary_of(self, task_id: str, dag_id: str | None = None) -> dict[str, Any]:
        """What the last task of that name returned."""
        found = [s for s in self.steps if s["task_id"] == task_id and dag_id in (None, s["dag_id"])]
        return dict(found[-1]["summary"]) if found else {}


def look(settings: Settings, exported: dict[str, Any], *, kept: bool = False) -> dict[str, Any]:
    """Read back what the journey made: the ledger of each hop, the published tables, and three people.

    Args:
        settings: where it is.
        exported: what the retailer said of its files.
        kept: the home is an earlier run's, so that files of others may lie beside the retailer's.
    """
    return {
        "ledger": ledger(settings, exported, kept=kept),
        "published": published(settings),
        "people": people(settings),
    }


def ledger(settings: Settings, exported: dict[str, Any], *, kept: bool = False) -> list[dict[str, Any]]:
    """Rows by channel and hop, and whether each hop holds exactly what the one before handed on.

    The first hop is the retailer's own word: rows written and, where it says so, how many of them it doubled or
    broke on purpose. They must be the lake's duplicates and its quarantine, to the row. `interactions`
    and `redelivered` are what the published build made of the channel's accepted rows (None for the feeds, which
    are no interactions).
    """
    from genome.lake import publish
    from genome.lake.manifest import Manifest

    publication = publish.current(settings, "genome")
    built = {hop["channel"]: hop for hop in (publication.provenance.get("ledger", ()) if publication else ())}
    rows: list[dict[str, Any]] = []
    for dataset in ("interactions", "catalog"):
        for channel, counts in Manifest.read(settings, dataset).counts_by_channel().items():
            hop = built.get(channel) if dataset == "interactions" else None
            written = exported["rows"].get(channel, 0)
            planted = exported.get("planted", {}).get(channel, {})
            as_written = (
                counts.received == written
                and counts.duplicate == planted.get("doubled", 0)
                and counts.quarantined == planted.get("broken", 0)
            )
            is_reconciled = counts.balanced and (as_written or (kept and counts.received > written))
            if dataset == "interactions":
                is_reconciled = (
                    is_reconciled
                    and hop is not None
                    and counts.accepted == hop["staged"] == hop["interactions"] + hop["redelivered"]
                )
            rows.append(
                {
                    "channel": channel,
                    "dataset": dataset,
                    "written": written,
                    "received": counts.received,
                    "accepted": counts.accepted,
                    "quarantined": counts.quarantined,
                    "duplicate": counts.duplicate,
                    "interactions": hop["interactions"] if hop else None,
                    "redelivered": hop["redelivered"] if hop else None,
                    "is_reconciled": is_reconciled,
                }
            )
    return rows


def published(settings: Settings) -> list[dict[str, Any]]:
    """The tables that readers see now."""
    from genome.lake import publish

    rows: list[dict[str, Any]] = []
    for group in ("genome", "scores"):
        publication = publish.current(settings, group)
        if publication is not None:
            rows += [
                {"table": name, "rows": table.rows, "path": table.path}
                for name, table in sorted(publication.tables.items())
            ]
    return rows


def people(settings: Settings) -> list[dict[str, Any]]:
    """Three customers who have bought, from the likeliest to take an offer to one who rather would not."""
    import pyarrow.compute as pc

    from genome.api.service import open_service
    from genome.decisions.records import Ask
    from genome.lake import publish

    features, publication = publish.current(settings, "genome"), publish.current(settings, "scores")
    if features is None or publication is None:
        return []
    traits = features.read("feat_customer_traits", ["customer_id", "order_count"])
    buyers = set(traits.filter(pc.greater(traits["order_count"], 0))["customer_id"].to_pylist())
    table = publication.read("feat_customer_offer_scores", ["customer_id", "scores"])
    best = sorted(
        (scores[0], customer)
        for customer, scores in zip(
            table["customer_id"].to_pylist(), table["scores"].to_pylist(), strict=True
        )
        if scores and customer in buyers
    )
    if not best:
        return []
    chosen = dict.fromkeys(best[round(quantile * (len(best) - 1))][1] for quantile in PEOPLE)
    service = open_service(settings)
    try:
        return [
            {
                "genome": service.genome(customer, by_locus=3).model_dump(mode="json"),
                "decision": service.decide(Ask(customer_id=customer, placement="homepage", count=1))[
                    0
                ].model_dump(mode="json"),
            }
            for customer in chosen
        ]
    finally:
        service.close()


def render(console: Console, settings: Settings, result: JourneyReport) -> None:
    """The report, for people."""
    console.print(f"[bold]{result.title[0].upper()}{result.title[1:]}[/]")
    console.rule("[bold]What was built")
    _render_ledger(console, result)
    console.rule("[bold]The gate")
    _render_gate(console, result)
    console.rule("[bold]The model beside the baselines")
    _render_model(console, result)
    console.rule("[bold]Three customers")
    _render_people(console, result)
    console.rule("[bold]Where the time went")
    _render_time(console, result)
    console.rule("[bold]Look further")
    _render_next(console, settings, result)


def _render_ledger(console: Console, result: JourneyReport) -> None:
    columns = ("received", "accepted", "quarantined", "duplicate", "interactions", "redelivered")
    headings = ("received", "accepted", "quarantined", "duplicate", "built", "again")
    table = Table("channel", *headings, "", box=None, pad_edge=False)
    for column in table.columns[1:-1]:
        column.justify = "right"
    for row in result.ledger:
        counts = ["[dim]–[/]" if row[name] is None else f"{row[name]:,}" for name in columns]
        table.add_row(row["channel"], *counts, "[green]=[/]" if row["is_reconciled"] else "[red]≠[/]")
    console.print(table)
    console.print(
        "received = written by the retailer = accepted + quarantined + duplicate; accepted = built (dbt's "
        "interactions) + again (delivered before).",
        style="dim",
    )
    wrong = [row["channel"] for row in result.ledger if not row["is_reconciled"]]
    console.print(
        f"[red]Not reconciled: {', '.join(wrong)}[/]" if wrong else "[green]Every hop is reconciled.[/]"
    )
    console.print()
    tables = Table("published table", "rows", box=None, pad_edge=False)
    tables.columns[1].justify = "right"
    for row in result.published:
        tables.add_row(row["table"], f"{row['rows']:,}")
    console.print(tables)


def _render_gate(console: Console, result: JourneyReport) -> None:
    for step in result.steps:
        if step["task_id"] != "check_gate":
            continue
        gate = step["summary"]
        if "skipped" in gate:
            console.print(f"{step['dag_id']}: nothing new to judge; what is published passed before.")
            continue
        verdict = f"[red]{len(gate['failed'])} failed[/]" if gate["failed"] else "[green]all hold[/]"
        console.print(
            f"{step['dag_id']}: {gate['expectations']} expectations over {len(gate['rows'])} tables, {verdict}"
        )


def _render_model(console: Console, result: JourneyReport) -> None:
    trained, decided = result.summary_of("train_model"), result.summary_of("decide_champion")
    for title, rows in (trained.get("figures") or {}).items():
        console.print(f"[bold]{title}[/]")
        table = Table("ranker", "AUC", "PR-AUC", "NDCG@10", "Recall@10", box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        figures = ("auc", "pr_auc", "ndcg_at_10", "recall_at_10")
        for row in rows:
            table.add_row(row["ranker"], *(f"{row[name]:.3f}" for name in figures))
            independent = row["published"] or {}
            if independent:
                cells = (f"{independent[name]:.3f}" if name in independent else "" for name in figures)
                table.add_row("  an independent script", *cells, style="dim")
        console.print(table)
        console.print()
    if any(row["published"] for rows in (trained.get("figures") or {}).values() for row in rows):
        console.print(
            "An independent script ranked the same pairs (see docs/model-quality.md).", style="dim", end=" "
        )
    console.print("The champion is decided on validation; test windows decide nothing.", style="dim")
    if decided:
        console.print(
            f"Champion: version {decided['champion']} ({decided['ranker']}). {decided['reason']}",
            markup=False,
        )


def _render_people(console: Console, result: JourneyReport) -> None:
    for person in result.people:
        genome, decision = person["genome"], person["decision"]
        console.print(f"[bold]{genome['customer_id']}[/]  {' '.join(genome['in_words'])}")
        for locus in genome["loci"]:
            if locus["locus_id"] in {"category", "brand_type", "price_tier"}:
                genes = ", ".join(
                    f"{gene['label']} {gene['share_character'] or 0:.0%}" for gene in locus["genes"]
                )
                console.print(f"  {locus['label']}: {genes}")
        for offer in decision["offers"]:
            console.print(f"  → [green]{offer['label']}[/] (score {offer['score']:.4f})")
            for reason in offer["reasons"]:
                console.print(f"    {reason}")
        if decision["silence"]:
            console.print(f"  → [yellow]silence[/]: {decision['silence']['message']}")
        console.print()


def _render_time(console: Console, result: JourneyReport) -> None:
    table = Table("DAG", "task", "seconds", "peak MB", box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for step in result.steps:
        table.add_row(step["dag_id"], step["task_id"], f"{step['seconds']:.1f}", f"{step['peak_rss_mb']:.0f}")
    spent = sum(step["seconds"] for step in result.steps)
    table.add_row("", "Airflow's own", f"{result.seconds - spent:.1f}", "")
    table.add_row("[bold]all", "", f"[bold]{result.seconds:.1f}", "")
    console.print(table)


def _render_next(console: Console, settings: Settings, result: JourneyReport) -> None:
    who = result.people[0]["genome"]["customer_id"] if result.people else "household:1"
    base = f"http://{settings.host}:{settings.api_port}"
    key = f"$(cat {settings.secrets / 'decide.key'})"
    for line, what in (
        (f"genome show {who}", "the genome of one customer"),
        (f"genome decide {who} --placement homepage", "the next best offer, or silence, and why"),
        ("genome quarantine list", "rows that no contract takes, with the reason"),
        ("genome models list", "versions, and who is champion"),
        *((line.format(home=settings.home), what) for line, what in data_set(result.data).further),
        ("genome up", "Airflow, MLflow, the API: one table of addresses"),
    ):
        console.print(f"  .venv/bin/{line}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"      {what}", style="dim", markup=False)
    console.print("  while `genome up` runs:", markup=False)
    console.print(
        f"""  curl -s -X POST {base}/v1/decisions -H "Authorization: Bearer {key}" """
        f"""-H "Content-Type: application/json" -d '{{"customer_id": "{who}", "placement": "homepage"}}'""",
        markup=False,
        soft_wrap=True,
    )
    console.print(
        f"  {base}/v1/customers/{who}  (a page; the agent's key logs in)", markup=False, soft_wrap=True
    )
