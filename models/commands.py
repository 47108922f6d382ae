"""The verbs `genome train`, `genome publish` and `genome models …`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, err, report

_WIDE = 140
"""Columns of a screen on which a table with its leads is not cut."""

_FIGURES = ("auc", "pr_auc", "ndcg_at_10", "recall_at_10")


Force = Annotated[bool, typer.Option("--force", help="Do it also when nothing has changed.")]


def train(force: Force = False, as_json: AsJson = False) -> None:
    """Train the ML model that ranks offers, compare it with the baselines, and decide who is champion.

    The training set is joined point in time through Feast; everything is logged to MLflow. The alias moves on
    the validation campaigns alone; the test campaigns are reported.
    """
    from genome.settings import load
    from models.promote import decide
    from models.train import train as run

    settings = load()
    with err.status("training (a minute or two)"):
        trained = run(settings, force=force)
        decided = decide(settings, trained.run_id)

    def human(console: Console) -> None:
        _figures(console, trained.summary()["figures"])
        how = "nothing has changed since" if trained.skipped else f"{trained.seconds:.0f} s:"
        console.print(f"{how} run {trained.run_id}, version {trained.version}")
        _champion(console, decided)

    report({"training": trained.summary(), "promotion": decided.summary()}, as_json=as_json, human=human)


def publish(force: Force = False, as_json: AsJson = False) -> None:
    """Score every customer for every live offer, bring the scores past the gate, publish and serve them."""
    from expectations.gate import check
    from feature_repo.serve import load_online
    from genome.lake.publish import publish_staged
    from genome.settings import load
    from genome.warehouse import build_scores
    from models.score import score

    settings = load()
    with err.status("scoring and publishing"):
        scored = score(settings, force=force)
        staged = build_scores(settings)
        checked = check(settings, group="scores")
        published = publish_staged(settings, group="scores")
        loaded = load_online(settings, views=["feat_customer_offer_scores"])

    def human(console: Console) -> None:
        console.print(
            f"{scored.rows:,} scores of {scored.customers:,} customers for {scored.offers:,} live offers by "
            f"version {scored.version} ({scored.ranker}){', unchanged' if scored.skipped else ''}; "
            f"published as {published.epoch}, online in {loaded.seconds:.1f} s"
        )

    result = {
        "scores": scored.summary(),
        "staged": staged.summary(),
        "gate": checked.summary(),
        "publication": published.summary(),
        "online": loaded.summary(),
    }
    report(result, as_json=as_json, human=human)


models = typer.Typer(
    help="The ML models: versions, who is champion, how good they are.", no_args_is_help=True
)


@models.command("list")
def list_versions(as_json: AsJson = False) -> None:
    """Every version, newest first."""
    from genome.settings import load
    from models import tracking

    found = tracking.versions(tracking.client(load()))

    def human(console: Console) -> None:
        table = Table("version", "", "ranker", "made", "run", box=None, pad_edge=False)
        for each in found:
            table.add_row(
                each.version,
                ", ".join(each.aliases),
                each.name,
                f"{each.made_at:%F %T}Z",
                each.run_id[:8],
            )
        console.print(table if found else "No version yet: run `genome train`.")
        for each in found:
            if each.decision:
                console.print(f"{each.version}: {each.decision}", markup=False)

    report({"versions": [each.document() for each in found]}, as_json=as_json, human=human)


@models.command()
def promote(
    version: Annotated[str, typer.Argument(help="The version's number, from `genome models list`.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept with the version.")],
    as_json: AsJson = False,
) -> None:
    """Make a version champion by hand; `genome publish` then scores with it."""
    from genome.settings import load
    from models.promote import promote as run

    _decided(run(load(), version, reason), as_json)


@models.command()
def rollback(as_json: AsJson = False) -> None:
    """Give the alias back to who was champion before."""
    from genome.settings import load
    from models.promote import rollback as run

    _decided(run(load()), as_json)


@models.command("report")
def show_report(
    run_id: Annotated[str | None, typer.Argument(help="A run; none: the champion's.")] = None,
    as_json: AsJson = False,
) -> None:
    """The figures of a training beside the baselines'."""
    from genome.settings import load
    from models import tracking
    from models.quality import of_run

    settings = load()
    found = of_run(tracking.client(settings), run_id)

    def human(console: Console) -> None:
        _figures(console, found.summary()["figures"])
        console.print(f"run {found.run_id}, version {found.version}")

    report(found.summary(), as_json=as_json, human=human)


def _decided(decided: Any, as_json: bool) -> None:
    report(decided.summary(), as_json=as_json, human=lambda console: _champion(console, decided))


def _champion(console: Console, decided: Any) -> None:
    said = f"Champion: version {decided.champion.version} ({decided.champion.name}). {decided.reason}"
    console.print(said, markup=False)


def _figures(console: Console, figures: Mapping[str, list[dict[str, Any]]]) -> None:
    """A table for each label and split; the candidate's leads where the screen is wide enough."""
    is_wide = console.width >= _WIDE
    for label, rows in figures.items():
        console.print(f"[bold]{label}[/]")
        table = Table(box=None, pad_edge=False)
        table.add_column("ranker", no_wrap=True)
        for name in ("AUC", "PR-AUC", "NDCG@10", "Recall@10"):
            table.add_column(name, justify="right", no_wrap=True)
        if is_wide:
            table.add_column("lead in PR-AUC", no_wrap=True)
            table.add_column("lead in NDCG@10", no_wrap=True)
        for row in rows:
            lead, published = row["candidate_minus_this"], row["published"] or {}
            leads = [_lead(lead[name]) if lead else "" for name in ("pr_auc", "ndcg_at_10")]
            table.add_row(
                row["ranker"],
                *(_figure(row[name], published.get(name)) for name in _FIGURES),
                *(leads if is_wide else ()),
            )
        console.print(table)
        console.print()
    if any(row["published"] for rows in figures.values() for row in rows):
        console.print("In parentheses: what an independent script found for the same ranker and pairs.")


def _figure(value: float, published: float | None) -> str:
    return f"{value:.3f}" if published is None else f"{value:.3f} ({published:.3f})"


def _lead(interval: Mapping[str, float]) -> str:
    return f"{interval['difference']:+.3f} ({interval['low']:+.3f} … {interval['high']:+.3f})"
