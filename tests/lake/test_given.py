"""What `genome ingest` may be given: files, folders, and URLs that fsspec knows."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path

import duckdb
import fsspec
import pytest

from genome.lake import quarantine
from genome.lake.ingest import DUPLICATE, LANDED, REFUSED, ingest
from genome.lake.manifest import Counts, Manifest
from genome.settings import Settings

HEADER = "campaign_id,household_id,sent_at\n"


def rows(*households: str) -> bytes:
    return (HEADER + "".join(f"1,{each},2017-03-01\n" for each in households)).encode()


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


def test_a_folder_gives_every_finished_file_below_it_in_order(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    (folder / "march").mkdir(parents=True)
    (folder / "b.csv").write_bytes(rows("h2"))
    (folder / "a.csv").write_bytes(rows("h1"))
    (folder / "march" / "c.csv").write_bytes(rows("h3"))
    (folder / "d.csv.part").write_bytes(rows("h4"))
    (folder / ".e.csv").write_bytes(rows("h5"))
    report = ingest(settings, "direct_mail", [folder])
    assert [(each.name, each.status) for each in report.files] == [
        ("a.csv", LANDED),
        ("b.csv", LANDED),
        ("c.csv", LANDED),
    ]
    assert report.counts == Counts(received=3, accepted=3)
    assert ingest(settings, "direct_mail", [tmp_path / "export" / "march"]).files[0].status == DUPLICATE


def test_an_empty_folder_and_an_empty_inbox_are_no_mistakes(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert ingest(settings, "direct_mail", [tmp_path / "empty"]).files == ()
    assert ingest(settings, "direct_mail").files == ()


def test_a_file_url_is_a_file_of_this_machine(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "two words.csv"
    path.write_bytes(rows("h1"))
    [outcome] = ingest(settings, "direct_mail", [path.as_uri()]).files
    assert (outcome.name, outcome.status) == ("two words.csv", LANDED)


def test_a_url_gives_a_file_a_folder_or_what_matches_its_pattern(
    settings: Settings, memory: fsspec.AbstractFileSystem
) -> None:
    for name in ("2017/a.csv", "2017/b.csv", "2017/deep/c.csv", "2017/d.csv.tmp", "2017/.hidden/e.csv"):
        memory.pipe(f"/exports/{name}", rows(name))
    [one] = ingest(settings, "direct_mail", ["memory://exports/2017/a.csv"]).files
    assert (one.name, one.status, one.counts) == ("a.csv", LANDED, Counts(received=1, accepted=1))
    matching = ingest(settings, "direct_mail", ["memory://exports/2017/*.csv"])
    assert [(each.name, each.status) for each in matching.files] == [("a.csv", DUPLICATE), ("b.csv", LANDED)]
    folder = ingest(settings, "direct_mail", ["memory://exports/2017/"])
    assert [(each.name, each.status) for each in folder.files] == [
        ("a.csv", DUPLICATE),
        ("b.csv", DUPLICATE),
        ("c.csv", LANDED),
    ]
    # The same bytes from the inbox are the same delivery.
    path = settings.inbox / "direct_mail" / "mine.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(rows("2017/a.csv"))
    assert ingest(settings, "direct_mail").files[0].status == DUPLICATE
    assert Manifest.read(settings, "interactions").counts("direct_mail") == Counts(received=3, accepted=3)


def test_a_refused_file_from_elsewhere_is_kept_like_any_other(
    settings: Settings, memory: fsspec.AbstractFileSystem
) -> None:
    memory.pipe("/exports/bad.csv", b"campaign_id\n1\n")
    [bad] = ingest(settings, "direct_mail", ["memory://exports/bad.csv"]).files
    assert bad.status == REFUSED
    [item] = quarantine.open_items(settings)
    assert quarantine.raw(settings, item) == b"campaign_id\n1\n"


def test_what_cannot_be_reached_is_refused_without_its_url_and_the_others_land(
    settings: Settings, memory: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    (tmp_path / "good.csv").write_bytes(rows("h1"))
    report = ingest(
        settings,
        "direct_mail",
        [
            "memory://exports/gone.csv",
            "nosuch://user:pass-word-canary@host/x.csv",
            "https://user:pass-word-canary@localhost:1/y.csv?token=pass-word-canary",
            tmp_path / "good.csv",
        ],
    )
    assert [each.status for each in report.files] == [REFUSED, REFUSED, REFUSED, LANDED]
    assert "gone.csv: it cannot be read from there (FileNotFoundError)." in report.files[0].what
    assert report.files[1].what.startswith("x.csv: it cannot be read")
    assert "pass-word-canary" not in str(report)
    assert not any(
        b"pass-word-canary" in path.read_bytes() for path in settings.home.rglob("*") if path.is_file()
    )
    assert quarantine.open_items(settings) == []


def test_a_file_that_ends_early_is_refused(
    settings: Settings, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/exports/a.csv", rows("h1"))
    monkeypatch.setattr(type(memory), "size", lambda *_: 1000)
    [outcome] = ingest(settings, "direct_mail", ["memory://exports/a.csv"]).files
    assert outcome.what == "a.csv: 49 of its 1,000 bytes came."


# Of one day


def test_a_day_takes_the_files_that_name_it_and_those_without_a_name_that_came_on_it(
    settings: Settings,
) -> None:
    inbox = settings.inbox / "web"
    (inbox / "2026-01-06").mkdir(parents=True)
    names = {
        "events-2026-01-05.csv": True,
        "events-20260105.csv": True,
        "events-2026-01-06.csv": False,
        "2026-01-06/events.csv": False,
        "order-120260105999.csv": True,  # a number, no day: it came on it
        "plain.csv": True,
        "plain-late.csv": False,
    }
    came = datetime.fromisoformat("2026-01-06T03:00:00+00:00").timestamp()  # still the 5th in New York
    for name in names:
        path = inbox / name
        path.write_text(f"event_id,event,timestamp,user_id\n{name},Page Viewed,2017-05-05T10:00:00Z,u1\n")
        os.utime(path, (came, came + (86_400 if name == "plain-late.csv" else 0)))
    day = date(2026, 1, 5)
    landed = ingest(settings, "web", day=day)
    assert {each.name for each in landed.files} == {name for name, wanted in names.items() if wanted}
    before = rows_of(settings)
    again = ingest(settings, "web", day=day)
    assert {each.status for each in again.files} == {"duplicate"}
    assert rows_of(settings) == before


def test_a_day_twice_at_once_gives_each_row_once(settings: Settings) -> None:
    inbox = settings.inbox / "web"
    inbox.mkdir(parents=True)
    lines = "".join(f"e{n},Page Viewed,2017-05-05T10:00:00Z,u{n}\n" for n in range(50))
    (inbox / "events-2017-05-05.csv").write_text("event_id,event,timestamp,user_id\n" + lines)
    with ThreadPoolExecutor(2) as both:
        done = list(both.map(lambda _: ingest(settings, "web", day=date(2017, 5, 5)), range(2)))
    assert sorted(each.counts.accepted for each in done) == [0, 50]
    assert len(rows_of(settings)) == len(set(rows_of(settings))) == 50


def rows_of(settings: Settings) -> list[tuple[object, ...]]:
    paths = [str(path) for path in Manifest.read(settings, "interactions").files("web")]
    return duckdb.sql(f"SELECT * FROM read_parquet({paths}) ORDER BY ALL").fetchall()
