"""Reads the project's own source for the tests of its house rules."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("dags", "models", "feature_repo", "expectations", "genome")


def tracked(*patterns: str) -> list[Path]:
    """Files git knows or would add (so that a new file is checked before its first commit)."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return [ROOT / name for name in sorted(set(listed)) if name and (ROOT / name).exists()]


@dataclass(frozen=True)
class Import:
    """One import statement: which module, from where, at module level or inside a function."""

    path: Path
    line: int
    module: str
    top_level: bool


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, also the ones inside functions."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, id(node) in top)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield Import(path, node.lineno, node.module, id(node) in top)
