from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genome.errors import GenomeError
from genome.lake import files, publish
from genome.settings import Settings

NOW = datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", now=NOW)


def _stage(settings: Settings, values: list[int], epoch: str | None = None) -> publish.StagingArea:
    area = publish.stage(settings, "genome", epoch)
    pq.write_table(pa.table({"x": values}), area.file("features", "feat_a"))
    pq.write_table(pa.table({"y": values}), area.file("genes", "dim_b"))
    return area.seal(fingerprint="f1", provenance={"dbt": "1.11"})


def _values(publication: publish.Publication) -> list[int]:
    [path] = publication.files("feat_a")
    return pq.read_table(path).column("x").to_pylist()


def test_staged_tables_are_invisible_until_they_are_published(settings: Settings) -> None:
    area = _stage(settings, [1])
    assert publish.current(settings, "genome") is None
    assert not list(settings.lake.glob("features/**/*.parquet"))
    publication = publish.publish(area, {"gate": "passed"})
    assert publish.current(settings, "genome") == publication
    assert _values(publication) == [1]
    assert publication.fingerprint == "f1"
    assert publication.provenance == {"dbt": "1.11", "gate": "passed"}
    assert publication.summary()["rows"] == {"dim_b": 1, "feat_a": 1}
    assert publication.path("feat_a") == settings.lake / "features" / "feat_a" / f"v={publication.epoch}"
    assert publication.tables["feat_a"].sha256 == files.sha256(publication.files("feat_a")[0])
    assert publish.staged(settings, "genome") is None


def test_the_age_of_a_publication_is_measured_on_the_injected_clock(settings: Settings) -> None:
    publication = publish.publish(_stage(settings, [1]))
    assert publication.age(NOW + timedelta(hours=3)) == timedelta(hours=3)


def test_an_unpublished_candidate_leaves_the_last_good_version_serving(settings: Settings) -> None:
    first = publish.publish(_stage(settings, [1]))
    _stage(settings, [2])
    current = publish.current(settings, "genome")
    assert current is not None
    assert (current.epoch, _values(current)) == (first.epoch, [1])


def test_a_candidate_that_changed_after_its_seal_is_refused_and_moves_nothing(settings: Settings) -> None:
    area = _stage(settings, [1])
    pq.write_table(pa.table({"x": [666]}), area.file("features", "feat_a"))
    with pytest.raises(GenomeError, match="changed since they were sealed"):
        publish.publish(area)
    assert publish.current(settings, "genome") is None
    assert not list(settings.lake.glob("features/**/*.parquet"))


@pytest.mark.parametrize("writes_before_the_crash", range(4))
def test_a_publication_killed_at_any_step_is_finished_by_a_second_call(
    settings: Settings, writes_before_the_crash: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = publish.publish(_stage(settings, [1]))
    _stage(settings, [2])
    real, left = files.commit, [writes_before_the_crash]

    def dying(written: Path, final: Path) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(written, final)

    with monkeypatch.context() as patch:
        patch.setattr(files, "commit", dying)
        with pytest.raises(KeyboardInterrupt):
            publish.publish_staged(settings, "genome")
    between = publish.current(settings, "genome")
    assert between is not None
    assert (between.epoch, _values(between)) == (old.epoch, [1])
    assert _values(publish.publish_staged(settings, "genome")) == [2]


def test_publishing_with_nothing_staged_keeps_the_current_version(settings: Settings) -> None:
    with pytest.raises(GenomeError, match="Nothing of 'genome' is staged"):
        publish.publish_staged(settings, "genome")
    first = publish.publish(_stage(settings, [1]))
    assert publish.publish_staged(settings, "genome") == first


def test_a_published_version_never_changes(settings: Settings) -> None:
    publish.publish(_stage(settings, [1], epoch="e1"))
    with pytest.raises(GenomeError, match="published with other bytes"):
        publish.publish(_stage(settings, [2], epoch="e1"))
    current = publish.current(settings, "genome")
    assert current is not None
    assert _values(current) == [1]


def test_prune_keeps_the_newest_versions_and_removes_the_files_of_the_others(settings: Settings) -> None:
    epochs = [publish.publish(_stage(settings, [n])).epoch for n in range(5)]
    assert epochs == sorted(epochs)
    assert publish.prune(settings, "genome", keep=3) == epochs[:2]
    assert [path.name for path in sorted((settings.lake / "features" / "feat_a").iterdir())] == [
        f"v={epoch}" for epoch in epochs[2:]
    ]
    current = publish.current(settings, "genome")
    assert current is not None
    assert _values(current) == [4]
    with pytest.raises(GenomeError, match="keep=0"):
        publish.prune(settings, "genome", keep=0)


def test_names_that_would_leave_the_folder_are_refused(settings: Settings) -> None:
    with pytest.raises(GenomeError, match="cannot be a file name"):
        publish.stage(settings, "../genome")
    with pytest.raises(GenomeError, match="cannot be a file name"):
        publish.stage(settings, "genome").file("..", "feat_a")


def test_a_table_without_parts_and_an_unknown_table_are_named_in_the_error(settings: Settings) -> None:
    area = publish.stage(settings, "genome")
    area.folder("features", "feat_a")
    with pytest.raises(GenomeError, match=r"feat_a holds no part"):
        area.seal()
    publication = publish.publish(_stage(settings, [1]))
    with pytest.raises(GenomeError, match=r"no table 'feat_z' \(it has dim_b, feat_a\)"):
        publication.path("feat_z")


def test_two_tables_of_one_name_in_a_group_are_refused(settings: Settings) -> None:
    area = publish.stage(settings, "genome")
    area.folder("features", "feat_a")
    area.folder("genome", "feat_a")
    with pytest.raises(GenomeError, match="staged as features/ and genome/"):
        area.tables()
