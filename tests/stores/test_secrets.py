import stat
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from genome.settings import Settings
from genome.stores.secrets import made_once


def test_many_callers_at_once_get_one_secret(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    numbers = count()
    with ThreadPoolExecutor(16) as pool:
        got = list(
            pool.map(lambda _: made_once(settings, "key", lambda: f"secret-{next(numbers)}"), range(64))
        )
    assert len(set(got)) == 1
    assert made_once(settings, "key", lambda: "another") == got[0]
    assert [path.name for path in settings.secrets.iterdir()] == ["key"]


def test_a_secret_is_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    made_once(settings, "key", lambda: "x")
    assert stat.S_IMODE((settings.secrets / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.secrets.stat().st_mode) == 0o700
