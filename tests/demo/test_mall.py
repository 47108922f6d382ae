import json
from pathlib import Path

import pytest

from genome.demo import mall
from genome.errors import GenomeError
from genome.settings import Settings


def test_the_malls_files_lie_in_the_inbox_and_its_word_on_them_beside(settings: Settings) -> None:
    made = mall.write_inbox(settings, 60)
    assert made.customers == 60
    assert made.now == "2025-01-01T05:00:00Z"
    assert made.timezone == "America/New_York"
    said = json.loads((settings.home / "mall" / "mall.json").read_text())
    found = {
        f"inbox/{path.relative_to(settings.inbox)}" for path in settings.inbox.rglob("*") if path.is_file()
    }
    assert found == set(said["sha256"])
    assert len({path.partition("/")[0] for path in made.rows}) == 17
    # Nothing of what is sealed went along, and no second copy stayed behind.
    assert not list((settings.home / "mall" / "inbox").glob("*/*"))
    assert {path.suffix for path in settings.inbox.rglob("*") if path.is_file()} <= {
        ".csv", ".gz", ".jsonl", ".zst", ".parquet"
    }  # fmt: skip


def test_the_same_mall_again_writes_the_same_files(settings: Settings) -> None:
    mall.write_inbox(settings, 40)
    before = {path: path.read_bytes() for path in settings.inbox.rglob("*.csv")}
    mall.write_inbox(settings, 40)
    assert before
    assert {path: path.read_bytes() for path in settings.inbox.rglob("*.csv")} == before


def test_planted_rows_are_added_up_by_channel() -> None:
    said = mall.Mall(
        now="2025-01-01T05:00:00Z",
        timezone="UTC",
        customers=1,
        rows={"pos/lines": 10, "pos/returns": 2, "web/events": 7, "social/events": 3},
        doubled={"web/events": 1},
        broken={"social/events": 2},
    )
    assert said.planted() == {
        "pos": {"rows": 12, "doubled": 0, "broken": 0},
        "social": {"rows": 3, "doubled": 0, "broken": 2},
        "web": {"rows": 7, "doubled": 1, "broken": 0},
    }


def test_a_mall_that_cannot_be_made_says_why(settings: Settings, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[people]\nhats = 3\n")
    with pytest.raises(GenomeError, match=r"people\.hats"):
        mall.write_inbox(settings, preset=str(wrong))
