"""The truth is sealed: only the simulator and named evaluation code may know where it lies."""

import ast
import re
import stat
from pathlib import Path

from support.source import ROOT, imports, tracked

ALLOWED = {
    "genome/simulate/": "writes it, and reads it to recover what was planted",
    "benchmarks/simulate.py": "measures the simulator",
    "tests/": "tests, which are evaluation",
}
"""Who may open the truth. An evaluation module is added here by name, with the reason."""

LIGHT = {"genome/cli.py": {"genome.simulate.commands"}}
PLACE = re.compile(r"(^|[/\\\"'\s])truth([/\\\"']|-part|$)")


def outsiders() -> list[Path]:
    patterns = ("*.py", "*.sql", "*.yml", "*.yaml", "*.toml", "*.sh", "Makefile")
    return [path for path in tracked(*patterns) if not str(path.relative_to(ROOT)).startswith(tuple(ALLOWED))]


def mentions(path: Path) -> list[str]:
    """Words that would open the folder: its name as a text of code, never in prose."""
    if path.suffix != ".py":
        return [
            line
            for line in path.read_text().splitlines()
            if re.search(r"truth[/\\]|[/\\]truth|truth-part", line)
        ]
    tree = ast.parse(path.read_text())
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return [text for text in texts if " " not in text.strip() and PLACE.search(text)]


def test_nothing_in_the_platform_names_the_folder_of_the_truth() -> None:
    files = outsiders()
    assert len(files) > 20
    found = {str(path.relative_to(ROOT)): mentions(path) for path in files}
    assert {name: words for name, words in found.items() if words} == {}


def test_nothing_in_the_platform_imports_the_simulator() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.module}"
        for path in outsiders()
        if path.suffix == ".py"
        for found in imports(path)
        if found.module.startswith("genome.simulate")
        and found.module not in LIGHT.get(str(path.relative_to(ROOT)), set())
    ]
    assert wrong == []


def test_the_check_sees_an_opened_truth(tmp_path: Path) -> None:
    for line in (
        "path = out / 'truth' / 'people-part-0000.parquet'",
        "open('mall/truth/people.parquet')",
        "glob('truth-part-*')",
    ):
        spy = tmp_path / "spy.py"
        spy.write_text(line + "\n")
        assert mentions(spy), line
    honest = tmp_path / "honest.py"
    honest.write_text('"""The lake is the truth; files are not."""\nlabel = "ground truth of a test"\n')
    assert mentions(honest) == []


def test_every_exception_still_exists() -> None:
    assert [name for name in ALLOWED if not (ROOT / name).exists()] == []


def test_only_its_owner_may_enter_the_folder(mall_folder: Path) -> None:
    assert stat.S_IMODE((mall_folder / "truth").stat().st_mode) == 0o700


def test_no_channel_file_carries_a_true_number(mall_folder: Path) -> None:
    import pyarrow.parquet as pq

    names = {
        name for path in (mall_folder / "inbox").rglob("*.parquet") for name in pq.read_schema(path).names
    }
    assert "person_id" not in names
    assert {"household_id", "device_id"} <= names
