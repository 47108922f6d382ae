"""The lake is put in order while everybody reads and writes it: no row is lost, doubled or moved, no reader fails."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.streaming import record

from genome import warehouse
from genome.collector.record import encode
from genome.identity.texts import Text, Texts
from genome.identity.vault import Vault
from genome.lake import ingest, layout, manifest
from genome.lake.maintain import maintain
from genome.lake.manifest import Manifest
from genome.settings import Settings
from genome.stream.consumer import Entry
from genome.stream.land import Land
from tests.conftest import make_settings


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "home", lake_compact_files=4, lake_grace_hours=0.0)


def land(settings: Settings, batches: int, size: int = 5, first: int = 0) -> None:
    """Small batches as the stream lands them, one after another."""
    lander = Land(settings)
    lander.position(0)
    for number in range(first, first + batches):
        records = [
            record(f"{number}-{n}", key=f"u{n}", identifiers=[("anonymous", f"a{n}", None)])
            for n in range(size)
        ]
        lander.handle(
            0, [Entry(f"{1000 + number}-{n}".encode(), each, encode(each)) for n, each in enumerate(records)]
        )


def rows(settings: Settings, *, further: bool = False) -> list[Any]:
    found = Manifest.read(settings, layout.INTERACTIONS)
    paths = [str(path) for path in (found.identifiers() if further else found.files())]
    if not paths:
        return []
    with duckdb.connect() as con:
        return con.execute(
            f"SELECT * FROM read_parquet({paths}, hive_partitioning = false, union_by_name = true) ORDER BY ALL"
        ).fetchall()


def web_file(settings: Settings, number: int) -> Path:
    path = settings.home / f"events-{number}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "event_id,event,timestamp,user_id,product_id\n"
        + "".join(f"f{number}-{n},Product Viewed,2026-01-05T10:00:00Z,u{n},p{n}\n" for n in range(3))
    )
    return path


def test_small_files_become_one_and_every_row_and_every_fact_stays(lake: Settings) -> None:
    later = lake.model_copy(update={"now": datetime.fromisoformat("2026-02-01T00:00:00+00:00")})
    land(lake, 6)
    for number in range(3):
        assert ingest.ingest(later, "web", [web_file(lake, number)]).counts.accepted == 3
    before, further = rows(lake), rows(lake, further=True)
    old = Manifest.read(lake, layout.INTERACTIONS)
    assert (len(old.files()), len(before), len(further)) == (9, 39, 30)
    done = maintain(lake)
    assert (done.compacted, done.made, done.rows, done.folded) == (15, 2, 69, 6)
    new = Manifest.read(lake, layout.INTERACTIONS)
    assert (rows(lake), rows(lake, further=True)) == (before, further)
    assert (len(new.files()), len(new.identifiers()), len(new.stream)) == (1, 1, 1)
    assert new.counts() == old.counts()
    assert new.landed() == old.landed() == {"shop|web": (30, 30)}
    assert new.positions() == old.positions() == {0: "1005-4"}
    assert new.fingerprint() == old.fingerprint()
    assert new.max_received_at() == old.max_received_at()
    assert new.rows_by_channel() == {"web": 39}
    assert Land(lake).position(0) == b"1005-4"
    # What was read once is known for ever, though its own file is gone.
    assert not (lake.lake / old.data_files("web").popitem()[0]).exists()
    (again,) = ingest.ingest(later, "web", [web_file(lake, 1)]).files
    assert again.status == ingest.DUPLICATE
    other = lake.home / "events-again.csv"
    other.write_text(web_file(lake, 1).read_text() + "new,Product Viewed,2026-01-05T10:00:00Z,u1,p1\n")
    counts = ingest.ingest(later, "web", [other]).counts
    assert (counts.accepted, counts.duplicate) == (1, 3)


def test_a_second_run_changes_nothing_and_a_third_takes_up_what_came_since(lake: Settings) -> None:
    land(lake, 4)
    maintain(lake)
    again = maintain(lake)
    assert (again.compacted, again.folded, again.removed) == (0, 0, 0)
    land(lake, 4, first=4)
    maintain(lake)
    found = Manifest.read(lake, layout.INTERACTIONS)
    assert (len(found.files()), len(found.stream), len(found.compactions)) == (1, 1, 2)
    assert len(rows(lake)) == 40
    # Rows keep the names of the batches that landed them, and the folded batch knows those.
    (batch,) = found.stream
    ids = {row[list(layout.INTERACTION_COLUMNS).index("_batch_id")] for row in rows(lake)}
    assert len(ids) == 8
    assert ids <= set(batch.supersedes)
    on_disk = [path for path in (lake.lake / "interactions").rglob("*") if path.is_file()]
    assert [str(path) for path in on_disk] == [str(path) for path in found.files()]


def test_large_files_are_left_alone(lake: Settings) -> None:
    land(lake, 6)
    tiny = lake.model_copy(update={"lake_compact_mb": 1})
    size = max(each.bytes for each in Manifest.read(lake, layout.INTERACTIONS).data_files().values())
    assert size < 1_000_000
    assert maintain(tiny.model_copy(update={"lake_compact_files": 7})).compacted == 0


def test_a_replaced_file_stays_for_those_who_have_begun_to_read_it(lake: Settings) -> None:
    patient = lake.model_copy(update={"lake_grace_hours": 1.0})
    land(lake, 4)
    began = Manifest.read(lake, layout.INTERACTIONS).files()
    maintain(patient)
    assert all(path.exists() for path in began)
    assert Manifest.read(lake, layout.INTERACTIONS).files() != began
    assert maintain(patient).removed == 0
    assert maintain(lake).removed == 8
    assert not any(path.exists() for path in began)


def test_a_build_that_began_before_reads_on_and_reconciles_with_what_it_read(lake: Settings) -> None:
    """The lake grows and is put in order while dbt runs: its inputs are those that were written down."""
    land(lake, 4)
    inputs = warehouse.write_inputs(lake)
    assert inputs.accepted == {"web": 20}
    land(lake, 4, first=4)
    maintain(lake.model_copy(update={"lake_grace_hours": 1.0}))
    assert inputs.accepted == {"web": 20}
    again = warehouse.write_inputs(lake)
    assert again.accepted == {"web": 40}
    assert again.fingerprint != inputs.fingerprint


def test_months_past_their_retention_leave_and_their_files_are_still_known(lake: Settings) -> None:
    now = datetime.fromisoformat("2026-06-15T00:00:00+00:00")
    later = lake.model_copy(update={"now": now})
    assert ingest.ingest(later, "web", [web_file(lake, 0)]).counts.accepted == 3
    lander = Land(lake)
    fresh = record("fresh", occurred=int((now - timedelta(days=1)).timestamp() * 1e6))
    lander.handle(0, [Entry(b"1-0", fresh, encode(fresh))])
    before = Manifest.read(lake, layout.INTERACTIONS).fingerprint()
    keeping = later.model_copy(update={"lake_retention_days": 100})
    assert maintain(keeping).retired == 3
    assert len(rows(lake)) == 1
    found = Manifest.read(lake, layout.INTERACTIONS)
    assert found.rows_by_channel() == {"web": 1}
    assert found.fingerprint() != before
    assert found.counts("web").accepted == 4  # what ever came in stays counted
    (again,) = ingest.ingest(later, "web", [web_file(lake, 0)]).files
    assert again.status == ingest.DUPLICATE
    assert maintain(keeping).retired == 0
    assert maintain(later).retired == 0


def test_texts_leave_the_vault_with_the_month_of_their_interactions(lake: Settings) -> None:
    vault = Vault(lake)
    texts = Texts(vault)
    days = {"old": "2026-02-28T23:59:59+00:00", "young": "2026-03-01T00:00:00+00:00"}
    texts.put(
        [
            Text(name, "user", "u1", "web", "Product Reviewed", at, at, "words", None)
            for name, day in days.items()
            for at in (int(datetime.fromisoformat(day).timestamp() * 1e6),)
        ],
        vocabulary="v1",
    )
    later = lake.model_copy(update={"now": datetime.fromisoformat("2026-06-15T00:00:00+00:00")})
    maintain(later)
    assert texts.count() == 2
    maintain(later.model_copy(update={"lake_retention_days": 100}))  # until the 7th of March
    assert set(texts.find(days, reader="privacy")) == {"young"}
    vault.close()


def test_leftovers_of_killed_runs_go_when_they_are_old_enough_and_young_ones_stay(lake: Settings) -> None:
    land(lake, 1)
    folder = next((lake.lake / "interactions").rglob("month=*"))
    old, young = folder / "orphan-old.parquet", folder / "orphan-young.parquet"
    for path in (old, young):
        path.write_bytes(b"torn")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    assert maintain(lake).removed == 1
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.parametrize("step", ["commit_compaction", "forget", "commit_stream"])
def test_a_run_that_dies_after_any_step_is_finished_by_the_next(
    lake: Settings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    land(lake, 6)
    before = rows(lake)
    real = getattr(manifest, step)

    def dies(*args: Any) -> None:
        if step != "forget":
            real(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(manifest, step, dies)
        with pytest.raises(KeyboardInterrupt):
            maintain(lake)
    assert rows(lake) == before
    maintain(lake)
    found = Manifest.read(lake, layout.INTERACTIONS)
    assert rows(lake) == before
    assert (len(found.files()), len(found.stream), found.positions()) == (1, 1, {0: "1005-4"})
    left = list((lake.lake / "_manifest" / "interactions").iterdir())
    assert len(left) == 3


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.chaos)])
def test_killed_while_it_works_no_reader_meets_an_error_or_a_wrong_number_of_rows(
    lake: Settings, kills: int
) -> None:
    """Promise 17; `make chaos` kills twenty times."""
    patient = lake.model_copy(update={"lake_grace_hours": 0.002, "lake_compact_files": 2})
    landed, done = [0], threading.Event()
    errors: list[str] = []
    reads = [0]

    def read() -> None:
        while not done.is_set():
            try:
                least = landed[0]
                found = len(rows(patient))
                if not least <= found <= landed[0] + 5:
                    errors.append(f"{found} rows where {least} had landed")
                reads[0] += 1
            except Exception as error:  # noqa: BLE001 - what it is, the test says
                errors.append(repr(error))

    readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for each in readers:
        each.start()
    chance = random.Random(17)
    environment = os.environ | patient.environment()
    try:
        for number in range(kills):
            for batch in range(4):
                land(patient, 1, first=4 * number + batch)
                landed[0] += 5
            process = subprocess.Popen([sys.executable, "-m", "genome.cli", "maintain"], env=environment)
            time.sleep(chance.uniform(0.8, 1.6))
            process.send_signal(signal.SIGKILL)
            process.wait(30)
    finally:
        done.set()
        for each in readers:
            each.join(30)
    assert errors == []
    assert reads[0] > kills
    maintain(patient)
    ids = [row[0] for row in rows(patient)]
    assert len(ids) == len(set(ids)) == 20 * kills
