"""SQL transforms data at rest, in dbt_project/. The exceptions are listed here by name, with the reason."""

import ast
import re
from pathlib import Path

from support.source import ROOT, tracked

EXCEPTIONS = {
    "genome/lake/": "connectors compile a typed mapping into DuckDB reads of source files and the lake",
    "genome/demo/complete_journey.py": "plays the retailer's export jobs: writes what sources would send",
    "genome/warehouse.py": "moves finished dbt tables out of the build's file",
    "genome/identity/components.py": "finds the components that new batches touch, before any dbt model can run",
    "genome/identity/facts.py": "turns pairs of keys into numbers for the rules, before any dbt model can run",
    "genome/identity/kept.py": "reads and writes what a resolution keeps for the next one",
    "genome/identity/likeness.py": "reads the vault's values into memory for Splink, which writes its own SQL",
    "genome/identity/sightings.py": "reduces identifiers of the lake to pairs, before any dbt model can run",
    "genome/identity/tables.py": "writes what was resolved as Parquet, which dbt reads as a source",
    "genome/identity/texts.py": "what people wrote, in the identity vault, which no dbt model may read",
    "genome/identity/vault.py": "the identity vault's own tables, which no dbt model may read",
    "benchmarks/": "the raw engine beside ours",
    "tests/": "oracles written by hand",
}
STATEMENT = re.compile(
    r"^\s*(select\s.+\sfrom\s|with\s+\w+\s+as\s*\(|insert\s+into\s|create\s+(or\s+replace\s+)?(temp\s+)?(table|view)\s"
    r"|copy\s*\(|delete\s+from\s|update\s+\w+\s+set\s)",
    re.IGNORECASE | re.DOTALL,
)


def _strings(path: Path) -> list[tuple[int, str]]:
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            found.append((node.lineno, node.value))
        elif isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)
            found.append((node.lineno, str(text)))
    return found


def test_no_python_file_outside_the_list_holds_sql() -> None:
    files = [
        path for path in tracked("*.py") if not str(path.relative_to(ROOT)).startswith(tuple(EXCEPTIONS))
    ]
    assert len(files) > 10
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text.strip()[:60]!r}"
        for path in files
        for line, text in _strings(path)
        if STATEMENT.match(text)
    ]
    assert wrong == []


def test_every_exception_is_still_needed() -> None:
    assert [name for name in EXCEPTIONS if not (ROOT / name).exists()] == []
