"""A page as a file: HTML as it is, or a picture that Chromium draws of it."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from genome.errors import GenomeError, UnavailableError

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1100, 1500
_SECONDS: Final = 120


def write_page(html: str, path: Path) -> None:
    """Write a page.

    Args:
        html: the page, whole: it loads nothing from elsewhere.
        path: where to; a name that ends in .png gets a picture.

    Raises:
        UnavailableError: a picture is wanted, and there is no Chromium.
        GenomeError: Chromium drew nothing.
    """
    if path.suffix != ".png":
        path.write_text(html)
        return
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise UnavailableError(
            "There is no Chromium to draw the picture.",
            "Run `make test-deps`, or write HTML: --page page.html.",
        )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(html)
        call = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        call += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        call += ["--hide-scrollbars", f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}"]
        call += [f"--screenshot={path.resolve()}", source.as_uri()]
        done = subprocess.run(call, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0 or not path.is_file():
        raise GenomeError(
            f"Chromium drew no picture of the page: {done.stderr.strip()[-300:]}",
            "Write HTML instead: --page page.html, and open it in a browser.",
        )
