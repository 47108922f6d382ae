"""What every verb prints with: a table for people, or `--json` for programs."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text for people.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def report(result: Any, *, as_json: bool, human: Callable[[Console], None]) -> None:
    """Print `result` as one JSON document, or let `human` print it.

    Args:
        result: a pydantic model, or anything `json.dumps` takes (dates become ISO 8601).
        as_json: what the caller asked for.
        human: prints the same for people.
    """
    if as_json:
        plain = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
        sys.stdout.write(json.dumps(plain, indent=2, default=str, ensure_ascii=False) + "\n")
    else:
        human(out)


def progress() -> "Progress":
    """A bar with a count and the time, on a terminal; nothing in a log."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
        transient=True,
    )


def log_to_stderr() -> None:
    """Let the library's log lines go to stderr: what a verb prints on stdout is its answer, often JSON."""
    import structlog

    # Asked anew for each line, because tests and pagers put another stderr in its place.
    structlog.configure(logger_factory=lambda *_: structlog.WriteLogger(sys.stderr))
