"""Reference pages made from the code, so that they cannot drift: `genome docs` writes, `--check` compares."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from genome.console import AsJson, report
from genome.errors import GenomeError
from genome.settings import PROJECT_ROOT, Settings, load

REFERENCE = PROJECT_ROOT / "docs" / "reference"
_NOTE = "<!-- Made by `genome docs`; edit {source} and run it again. -->\n"


def _cell(text: object) -> str:
    return " ".join(str(text if text is not None else "").split()).replace("|", "\\|")


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def settings_page(_: Settings) -> str:
    """Every setting, its variable, default and meaning."""
    rows: list[tuple[object, ...]] = [
        (
            f"`{name}`",
            f"`GENOME_{name.upper()}`",
            f"`{field.default}`" if field.default is not None else "unset",
            field.description,
        )
        for name, field in Settings.model_fields.items()
    ]
    return (
        _NOTE.format(source="genome/settings.py")
        + "# Settings\n\nSet them as environment variables, or by name in `genome.toml` beside the process; "
        "the environment wins. `genome settings` prints what is in force and where it came from.\n\n"
        + _table(("name", "variable", "default", "meaning"), rows)
    )


def cli_page(_: Settings) -> str:
    """Every verb with its arguments and options."""
    from genome.cli import VERBS, app

    group: Any = typer.main.get_group(app)
    context: Any = None  # listing commands asks nothing of it
    parts = [
        _NOTE.format(source="the verb's own function"),
        "# Command line\n\nEvery verb also takes `--json`. Exit status: 0 done, 1 failed, 2 wrong call.\n",
    ]

    def describe(command: Any, name: str) -> None:
        # Typer carries its own copy of click, so a group is told by what it can do and not by its class.
        if hasattr(command, "list_commands"):
            parts.append(f"## `{name}`\n\n{(command.help or '').strip()}\n")
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                if found is not None:
                    describe(found, f"{name} {child}")
            return
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        usage = " ".join(
            (each.name or "").upper() if each.required else f"[{(each.name or '').upper()}]"
            for each in arguments
        )
        parts.append(f"## `{name}{' ' + usage if usage else ''}`\n\n{(command.help or '').strip()}\n")
        rows: list[tuple[object, ...]] = [
            (f"`{', '.join(each.opts)}`", getattr(each, "help", ""))
            for each in command.params
            if each.param_type_name == "option" and "--help" not in each.opts
        ]
        if rows:
            parts.append(_table(("option", "meaning"), rows))

    for verb in VERBS:
        found = group.get_command(context, verb)
        if found is not None:
            describe(found, f"genome {verb}")
    return "\n".join(parts)


def http_page(settings: Settings) -> str:
    """Every route with its scope and meaning."""
    from genome.api.app import create_app
    from genome.api.auth import ROUTE_SCOPES

    document = create_app(settings).openapi()
    rows: list[tuple[object, ...]] = []
    for path, methods in sorted(document["paths"].items()):
        for method, operation in sorted(methods.items()):
            scope = ROUTE_SCOPES.get((method.upper(), path))
            rows.append(
                (
                    f"`{method.upper()} {path}`",
                    scope or "open",
                    operation.get("summary", operation.get("description")),
                )
            )
    return (
        _NOTE.format(source="genome/api/")
        + "# HTTP\n\nSend `Authorization: Bearer KEY`; a key has one or more scopes. The keys of scope `ingest` "
        "are the sources' write keys, sent as tracking clients send them (Basic, user name). "
        "The full description is at `/openapi.json`.\n\n" + _table(("route", "scope", "what it does"), rows)
    )


def tables_page(settings: Settings) -> str:
    """Every dbt model: grain, description, columns, and where it is published or served."""
    from genome.warehouse import manifest

    document = manifest(settings)
    models = sorted(
        (node for node in document["nodes"].values() if node["resource_type"] == "model"),
        key=lambda node: node["name"],
    )
    parts = [
        _NOTE.format(source="the YAML beside the dbt model"),
        "# Tables\n\nOne section for each dbt model. Columns and types are the contract that dbt enforces; "
        "the Feast views and the gate's structure are made from the same place.\n",
    ]
    for node in models:
        meta = node.get("config", {}).get("meta") or node.get("meta") or {}
        parts.append(f"## `{node['name']}`\n\n{node['description'].strip()}\n")
        facts = [f"Grain: {meta.get('grain', '?')}"]
        if node["config"].get("contract", {}).get("enforced"):
            facts.append("contract enforced")
        if "feast" in meta:
            facts.append(f"served by Feast for the entity `{meta['feast']['entity']}`")
        parts.append("; ".join(facts) + ".\n")
        rows: list[tuple[object, ...]] = [
            (f"`{column['name']}`", column.get("data_type") or "", column.get("description") or "")
            for column in node["columns"].values()
        ]
        if rows:
            parts.append(_table(("column", "type", "meaning"), rows))
    return "\n".join(parts)


def channels_page(_: Settings) -> str:
    """Every connector: the columns that its files must have, and what becomes of them."""
    from genome.channels import registry
    from genome.channels.describe import describe

    parts = [_NOTE.format(source="genome/channels/"), "# Channels and feeds\n"]
    parts += [describe(connector) for _, connector in sorted(registry().items())]
    return "\n".join(parts)


PAGES: dict[str, Callable[[Settings], str]] = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "http.md": http_page,
    "tables.md": tables_page,
    "channels.md": channels_page,
}


@dataclass(frozen=True)
class DocsReport:
    """Which reference pages were written, or differ from what the code says."""

    written: tuple[str, ...]
    stale: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """As plain values."""
        return {"written": list(self.written), "stale": list(self.stale)}


def generate(settings: Settings, folder: Path = REFERENCE, *, check: bool = False) -> DocsReport:
    """Write the reference pages into `folder`, or only compare them with what lies there.

    Raises:
        GenomeError: with `check`, when a page differs from what the code says now.
    """
    written, stale = [], []
    for name, page in PAGES.items():
        text = page(settings).rstrip() + "\n"
        path = folder / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            written.append(name)
    if check and stale:
        raise GenomeError(
            f"docs/reference is stale: {', '.join(stale)}.", "Run `make docs` and commit what it wrote."
        )
    return DocsReport(tuple(written), tuple(stale))


def docs(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a page is stale.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the reference pages in docs/reference from the code."""
    result = generate(load(), check=check)

    def human(console: Console) -> None:
        console.print(
            "docs/reference is up to date." if not result.written else f"Wrote {', '.join(result.written)}."
        )

    report(result.summary(), as_json=as_json, human=human)
