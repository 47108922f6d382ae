import json

import pytest

from genome.errors import GenomeError
from genome.lake import layout, manifest
from genome.lake.manifest import Counts, DataFile, Entry, Manifest, Source
from genome.settings import Settings

COUNTS = Counts(3, 2, 1)


def entry(batch: str, channel: str = "pos", counts: Counts = COUNTS, **more: object) -> Entry:
    path = layout.interactions_file(channel, "2017-03", batch)
    fields: dict[str, object] = {
        "batch_id": batch,
        "dataset": "interactions",
        "channel": channel,
        "files": (DataFile(path, counts.accepted, 10, "aa", max_received_at="2017-03-05T00:00:00+00:00"),),
        "source": Source(f"{batch}.csv", "bb", 20),
        "counts": counts,
        "ingested_at": "2018-01-01T00:00:00+00:00",
        "contract": "cc",
    }
    return Entry(**(fields | more))  # type: ignore[arg-type]


def test_an_entry_reads_back_as_it_was_written(settings: Settings) -> None:
    written = entry("pos-1", quarantine=DataFile("quarantine/pos/pos-1.parquet", 1, 5, "dd"), resolves=())
    manifest.commit(settings, written)
    assert Manifest.read(settings, "interactions").entries == (written,)
    assert manifest.committed(settings, "interactions", "pos-1") == written
    assert manifest.committed(settings, "interactions", "pos-2") is None


def test_the_json_holds_what_other_readers_are_promised(settings: Settings) -> None:
    manifest.commit(settings, entry("pos-1"))
    document = json.loads((settings.lake / "_manifest" / "interactions" / "pos-1.json").read_text())
    assert document["files"][0]["path"] == "interactions/channel=pos/month=2017-03/pos-1.parquet"
    assert document["source"] == {"name": "pos-1.csv", "sha256": "bb", "bytes": 20}
    assert document["counts"] == {"received": 3, "accepted": 2, "quarantined": 1, "duplicate": 0}
    assert (document["dataset"], document["channel"], document["batch_id"]) == (
        "interactions",
        "pos",
        "pos-1",
    )


def test_files_and_counts_are_those_of_the_channel_that_was_asked_for(settings: Settings) -> None:
    manifest.commit(settings, entry("pos-1"))
    manifest.commit(settings, entry("crm-1", "crm", Counts(5, 5)))
    read = Manifest.read(settings, "interactions")
    assert read.files("crm") == [settings.lake / "interactions/channel=crm/month=2017-03/crm-1.parquet"]
    assert len(read.files()) == 2
    assert read.counts() == Counts(8, 7, 1)
    assert read.counts_by_channel() == {"crm": Counts(5, 5), "pos": Counts(3, 2, 1)}
    assert read.files("loyalty") == []
    assert str(read.max_received_at("pos")) == "2017-03-05 00:00:00+00:00"
    assert read.max_received_at("loyalty") is None


def test_the_fingerprint_changes_with_the_batches_and_with_nothing_else(settings: Settings) -> None:
    empty = Manifest.read(settings, "interactions").fingerprint()
    manifest.commit(settings, entry("pos-1"))
    one = Manifest.read(settings, "interactions").fingerprint()
    manifest.commit(settings, entry("pos-1", ingested_at="2019-01-01T00:00:00+00:00"))
    assert Manifest.read(settings, "interactions").fingerprint() == one
    manifest.commit(settings, entry("pos-2"))
    assert len({empty, one, Manifest.read(settings, "interactions").fingerprint()}) == 3


def test_a_replay_moves_rows_within_the_ledger_and_receives_none(settings: Settings) -> None:
    manifest.commit(settings, entry("pos-1", counts=Counts(10, 6, 4)))
    manifest.commit(
        settings, entry("pos-2", counts=Counts(3, 2, 0, 1), resolves=("pos-1:1", "pos-1:2", "pos-1:3"))
    )
    counts = Manifest.read(settings, "interactions").counts()
    assert counts == Counts(received=10, accepted=8, quarantined=1, duplicate=1)
    assert counts.balanced


def test_a_batch_that_does_not_balance_is_never_committed(settings: Settings) -> None:
    with pytest.raises(AssertionError, match="does not balance"):
        manifest.commit(settings, entry("pos-1", counts=Counts(3, 2)))
    assert Manifest.read(settings, "interactions").entries == ()


def test_a_damaged_entry_is_an_error_that_names_its_file(settings: Settings) -> None:
    manifest.commit(settings, entry("pos-1"))
    path = settings.lake / "_manifest" / "interactions" / "pos-1.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(GenomeError, match=r"pos-1\.json is damaged"):
        Manifest.read(settings, "interactions")


def test_leftovers_of_a_killed_writer_are_no_entries(settings: Settings) -> None:
    manifest.commit(settings, entry("pos-1"))
    folder = settings.lake / "_manifest" / "interactions"
    (folder / ".pos-2.json.123.tmp").write_text("{")
    assert [each.batch_id for each in Manifest.read(settings, "interactions").entries] == ["pos-1"]
