"""A page as a file."""

from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.image import imread

from genome.customers import picture
from genome.customers.picture import write_page
from genome.errors import GenomeError, UnavailableError

PAGE = "<!doctype html><body style='background:#0a0'><p>x</p></body>"


def test_html_is_written_as_it_is(tmp_path: Path) -> None:
    write_page(PAGE, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == PAGE


def test_chromium_draws_a_picture(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    require_tool("chromium")
    write_page(PAGE, tmp_path / "page.png")
    pixels = imread(tmp_path / "page.png")
    assert pixels.shape[:2] == (picture.HEIGHT, picture.WIDTH)
    assert tuple(pixels[700, 500, :3].round(2)) == (0.0, 0.67, 0.0)


def test_without_chromium_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "BROWSERS", ("no-such-browser",))
    with pytest.raises(UnavailableError, match="no Chromium") as error:
        write_page(PAGE, tmp_path / "page.png")
    assert "page.html" in str(error.value.remedy)


def test_a_browser_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "BROWSERS", ("false",))
    with pytest.raises(GenomeError, match="drew no picture"):
        write_page(PAGE, tmp_path / "page.png")
