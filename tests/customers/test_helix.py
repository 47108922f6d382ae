"""The pictures of a genome: what they draw follows from the figures, and data cannot become markup."""

import re
from datetime import date
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from genome.customers.helix import helix, lines
from genome.customers.view import GeneView, LocusView

SVG = "{http://www.w3.org/2000/svg}"


def gene(label: str, months: float | None, weeks: float | None = None, **other: object) -> GeneView:
    values: dict[str, object] = {
        "gene_id": f"category:{label}",
        "locus_id": "category",
        "label": label,
        "share_now": weeks,
        "share_character": months,
        "trend": None,
        "direction": "steady",
        "confidence": 20.0,
        "distinctiveness": 0.0,
        "last_on": None,
    }
    return GeneView(**(values | other))  # type: ignore[arg-type]


def locus(*genes: GeneView, name: str = "category") -> LocusView:
    return LocusView(locus_id=name, label=name, gene_count=len(genes), genes=genes)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def test_a_rung_for_each_of_the_three_strongest_genes_of_a_locus() -> None:
    picture = parsed(
        helix([locus(*(gene(f"g{n}", 0.2) for n in range(5))), locus(gene("b", 0.5), name="brand")])
    )
    titles = [each.text for each in picture.iter("title")]
    assert [title.split(":")[0] for title in titles if title] == ["g0", "g1", "g2", "b"]
    assert [each.text for each in picture.iter("text") if each.get("class") == "locus"] == [
        "category",
        "brand",
    ]


def test_areas_follow_the_shares_of_months_and_of_the_last_weeks() -> None:
    picture = parsed(helix([locus(gene("big", 0.4, 0.1), gene("small", 0.1, 0.4))]))
    dots = [float(each.get("r", "0")) for each in picture.iter("circle")]
    big_months, big_weeks, small_months, small_weeks = dots
    assert big_months == small_weeks == pytest.approx(9.0)
    assert big_weeks == small_months
    # A quarter of the share is a quarter of the area above the least dot.
    assert big_weeks - 2.5 == pytest.approx((9.0 - 2.5) / 2, abs=0.06)


def test_little_evidence_is_faint_and_what_is_singular_has_a_ring() -> None:
    picture = parsed(
        helix([locus(gene("sure", 0.2, distinctiveness=5.0), gene("hardly", 0.2, confidence=1.0))])
    )
    sure, hardly = (float(each.get("opacity", "1")) for each in picture.iter("g"))
    assert sure == 1.0
    assert hardly < 0.5
    assert sum(each.get("class") == "ring" for each in picture.iter("circle")) == 1
    assert "distinctive, z = 5.0" in (next(picture.iter("title")).text or "")


def test_a_name_of_the_catalogue_cannot_become_markup() -> None:
    evil = '"><script>alert(1)</script>'
    for picture in (
        helix([locus(gene(evil, 0.2), name=evil)]),
        lines([date(2017, 1, 1), date(2017, 2, 1)], {evil: [0.1, 0.2]}),
    ):
        assert "<script" not in picture
        parsed(picture)


def test_nobody_without_genes_gets_an_empty_picture() -> None:
    assert "<svg" not in helix([])
    assert lines([date(2017, 1, 1)], {"a": [0.1]}) == ""
    assert lines([date(2017, 1, 1), date(2017, 2, 1)], {"a": [None, None]}) == ""


def test_a_line_for_each_gene_named_at_its_end_without_overlap() -> None:
    months = [date(2017, month, 1) for month in range(1, 7)]
    picture = parsed(lines(months, {"a": [0.1] * 6, "b": [0.1, 0.2, None, 0.2, 0.1, 0.101], "c": [0.3] * 6}))
    drawn = [each.get("points", "").split() for each in picture.iter("polyline")]
    assert [len(points) for points in drawn] == [6, 5, 6]
    height = {0: float(drawn[0][0].split(",")[1]), 2: float(drawn[2][0].split(",")[1])}
    assert height[2] < height[0]  # a larger share is higher up
    ends = sorted(float(each.get("y", "0")) for each in picture.iter("text") if each.get("class") == "end")
    assert all(later - earlier >= 14.9 for earlier, later in pairwise(ends))


def test_names_of_lines_neither_cover_each_other_nor_the_axis() -> None:
    months = [date(2026, month, 1) for month in (1, 2, 3)]
    svg = lines(months, {f"gene {number}": [0.5, 0.2, 0.001 * number] for number in range(6)})
    heights = sorted(float(at) for at in re.findall(r'class="end" x="[0-9.]+" y="([0-9.]+)"', svg))
    assert len(heights) == 6
    assert min(later - earlier for earlier, later in pairwise(heights)) >= 14.9
    axis = min(float(at) for at in re.findall(r'y="([0-9.]+)" text-anchor="middle"', svg))
    assert heights[-1] <= axis - 14
