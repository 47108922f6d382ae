"""`genome demo`: the whole journey on a retailer's data, and what came of it."""

from typing import Annotated, Any

import typer

from genome.console import AsJson, err, out, report


def demo(
    data: Annotated[
        str, typer.Option(help="Whose files to take through the journey: complete-journey or mall.")
    ] = "complete-journey",
    keep: Annotated[
        bool, typer.Option("--keep", help="Reuse the last state: what has not changed is not done again.")
    ] = False,
    customers: Annotated[
        int | None,
        typer.Option(
            "--customers",
            "--households",
            min=1,
            help="Only so many customers, for a quick look (of the mall: 20 or more).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a retailer through the whole journey, and show what came of it.

    Of **complete-journey**, one year of a real grocer; of **mall**, half a year of a made-up shopping mall in all
    twelve channels and five feeds (docs/simulator.md).

    Files → lake → genome → gate → features → model → scores → decisions, each step run by its Airflow DAG.
    Everything is written under GENOME_HOME (default `.genome`), which the demo makes anew unless `--keep`.
    """
    import time

    from genome.demo import journey
    from genome.demo.data import data_set
    from genome.demo.report import JourneyReport, look, render

    chosen = data_set(data)
    began = time.monotonic()
    settings = journey.prepare_home(chosen, keep=keep)
    journey.start_stores(settings)
    with _Progress(quiet=as_json) as progress:
        progress.begin("(the retailer)", "export_files")
        exported, settings = journey.write_inbox(chosen, settings, customers)
        progress.done(exported.task_id, exported.seconds, exported.peak_rss_mb)
        steps = [exported, *journey.run_dags(settings, progress.watch)]
        progress.begin("(you)", "look")
        looked = look(settings, exported.summary, kept=keep)
    result = JourneyReport(
        data=chosen.name,
        title=chosen.title,
        home=str(settings.home),
        seconds=round(time.monotonic() - began, 1),
        steps=[step.document() for step in steps],
        **looked,
    )
    journey.save(settings, result.model_dump(mode="json"))
    report(result, as_json=as_json, human=lambda console: render(console, settings, result))


class _Progress:
    """One line a finished step, and a moving line for the step at work."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        # With --json the document alone goes to stdout; the progress stays visible on stderr.
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err if quiet else out,
            transient=True,
        )
        self._task = self._bar.add_task("starting Airflow", total=None)
        self._planned = 0
        self._done = 0

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, dag_id: str, task_id: str) -> None:
        """A step is at work."""
        self._bar.update(self._task, description=f"{dag_id} · {task_id}")

    def done(self, name: str, seconds: float, peak_rss_mb: float, what: str = "") -> None:
        """A step is finished."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        self._bar.console.print(f"  [green]✓[/] {name:<46} {seconds:6.1f} s {peak_rss_mb:6.0f} MB  {what}")

    def watch(self, event: dict[str, Any]) -> None:
        """Show what Airflow says."""
        match event["event"]:
            case "planned":
                self._planned = len(event["dag_ids"])
                self._bar.update(
                    self._task, description=f"{self._planned} DAGs, in the order of their Assets"
                )
            case "task_started":
                self.begin(event["dag_id"], event["task_id"])
            case "task_finished":
                name = f"{event['dag_id']} · {event['task_id']}"
                self.done(name, event["seconds"], event["peak_rss_mb"])
            case "task_retrying" | "task_failed":
                name = f"{event['dag_id']} · {event['task_id']}"
                self._bar.console.print(f"  [red]✗[/] {name}: {event['error']}")
