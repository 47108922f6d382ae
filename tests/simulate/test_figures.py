"""The pages under docs/simulator/ agree with the code."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.source import ROOT

from genome.simulate.calibration import Shapes, draw
from genome.simulate.figures import code_pages
from genome.simulate.parameters import Parameters

DOCS = ROOT / "docs" / "simulator"


@pytest.mark.parametrize("name", sorted(code_pages()))
def test_a_page_made_from_code_is_fresh(name: str) -> None:
    assert (DOCS / name).read_text() == code_pages()[name], "run `genome simulate figures DIR`"


def test_the_published_effects_are_those_of_the_present_parameters() -> None:
    row = r"^\| `(\w+)` \|.*?\| (-?[\d.]+) \| .*\| (yes|\*\*no\*\*) \|$"
    rows = re.findall(row, (DOCS / "effects.md").read_text(), re.MULTILINE)
    assert len(rows) >= 20
    planted = {name: value for group in Parameters().model_dump().values() for name, value in group.items()}
    published = {name: float(value) for name, value, _ in rows if name in planted}
    assert len(published) >= 30
    assert published == {name: pytest.approx(planted[name]) for name in published}
    assert {verdict for _, _, verdict in rows} == {"yes"}


def test_what_else_is_modelled_stands_among_the_recovered_effects() -> None:
    page = (ROOT / "docs" / "simulator.md").read_text()
    section = page.partition("## Also modelled")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 9
    published = set(re.findall(r"^\| `(\w+)`", (DOCS / "effects.md").read_text(), re.MULTILINE))
    for row in rows:
        named = set(re.findall(r"`(\w+)`", row.split("|")[3])) - {"motives"}
        assert named, row
        assert named <= published, row


def test_every_parameter_of_the_response_model_stands_in_its_formulas() -> None:
    page = (ROOT / "docs" / "simulator.md").read_text()
    spoken = {"move_email", "move_sms_push", "move_direct_mail"}  # written as move_h
    spoken |= {"holdout_share", "fatigue_tolerance", "pressure_low", "pressure_high", "cross_brand_share"}
    spoken |= {"up_sell_share", "click_match"}
    names = set(Parameters().response.model_dump()) - spoken
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_a_figure_of_the_same_shapes_is_the_same_file(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rates = dict.fromkeys(("Type A", "Type B", "Type C"), 0.1)
    shapes = [
        Shapes(name, random.lognormal(1, 1, 500), random.gamma(1, 5, 500), np.linspace(0, 1, 101), rates)
        for name in ("one", "other")
    ]
    draw(*shapes, tmp_path / "a.svg")
    draw(*shapes, tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert "share of baskets" in text
