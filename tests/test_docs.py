"""Pages that name tests name tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"


def named() -> list[tuple[str, list[str]]]:
    """Test file → the tests that the page names in it."""
    parts = re.split(r"`(tests/[\w/]+\.py)`", PAGE.read_text())
    found = []
    for file, rest in zip(parts[1::2], parts[2::2], strict=True):
        found.append((file, re.findall(r"\b([a-z0-9]+(?:_[a-z0-9]+){2,})", rest.split("\n")[0])))
    return found


def test_every_test_that_the_page_of_promises_names_is_there() -> None:
    assert len(named()) > 30
    missing = [
        f"{file}: {name}"
        for file, names in named()
        for name in names or [""]
        if not (ROOT / file).is_file() or f"def test_{name}" not in (ROOT / file).read_text()
    ]
    assert missing == []


def test_the_page_of_promises_misses_none_of_the_collectors() -> None:
    rows = re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.M)
    assert [int(each) for each in rows][:14] == list(range(1, 15))
