"""A suite is typed: what is wrong in it is found before it judges anything."""

import re
from pathlib import Path

import pytest

from expectations.rules import SUPPORTED
from expectations.suite import SUITES, suites
from genome.errors import GenomeError
from genome.settings import PROJECT_ROOT


def test_every_suite_of_the_project_is_valid() -> None:
    found = suites()
    assert {path.stem for path in SUITES.glob("*.yml")} == set(found)
    assert "feat_customer_genome" in found


def test_a_rule_without_a_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.yml").write_text(
        "table: t\nexpectations: [{type: expect_column_values_to_be_unique, kwargs: {column: a}}]\n"
    )
    with pytest.raises(GenomeError, match=r"(?s)t\.yml is no suite: .*why"):
        suites(tmp_path)


def test_a_misspelt_field_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.yml").write_text("table: t\nexpectation: []\n")
    with pytest.raises(GenomeError, match="expectation"):
        suites(tmp_path)


def test_a_file_is_named_after_its_table(tmp_path: Path) -> None:
    (tmp_path / "t.yml").write_text("table: other\n")
    with pytest.raises(GenomeError, match=r"Name the file other\.yml"):
        suites(tmp_path)


def test_the_documentation_names_what_a_suite_can_ask() -> None:
    page = (PROJECT_ROOT / "docs" / "gate.md").read_text()
    assert re.findall(r"^\| `(expect_[a-z_]+)` \|", page, re.MULTILINE) != []
    assert set(re.findall(r"^\| `(expect_[a-z_]+)` \|", page, re.MULTILINE)) == set(SUPPORTED)
