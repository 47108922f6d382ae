"""What `genome ingest` may be given: files, folders, and URLs that fsspec knows."""

from collections.abc import Iterator
from pathlib import Path

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
