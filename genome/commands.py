"""Verbs about the installation itself."""

from typing import Any

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from genome.console import AsJson, report


def settings(as_json: AsJson = False) -> None:
    """Print the settings in force and where each came from (secrets masked)."""
    import os
    import tomllib
    from pathlib import Path

    from genome.settings import OWN_FILE, Settings, load

    values = load()
    beside = Path(OWN_FILE)
    said = tomllib.loads(beside.read_text()) if beside.is_file() else {}
    own = values.home / OWN_FILE
    said_at_home = tomllib.loads(own.read_text()) if own.is_file() else {}
    rows: list[dict[str, Any]] = []
    for name, field in Settings.model_fields.items():
        value = getattr(values, name)
        variable = f"GENOME_{name.upper()}"
        source = (
            variable
            if variable in os.environ
            else OWN_FILE
            if name in said
            else "home's genome.toml"
            if name in said_at_home
            else "default"
        )
        shown = "********" if isinstance(value, SecretStr) else None if value is None else str(value)
        rows.append({"name": name, "value": shown, "source": source, "meaning": field.description})

    def human(console: Console) -> None:
        table = Table("setting", "value", "from", "meaning")
        for row in rows:
            table.add_row(
                row["name"], "" if row["value"] is None else row["value"], row["source"], row["meaning"]
            )
        console.print(table)

    report({"settings": rows}, as_json=as_json, human=human)
