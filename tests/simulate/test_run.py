import json
import resource
import time
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from genome.errors import UsageError
from genome.simulate import parameters
from genome.simulate.parameters import Parameters
from genome.simulate.run import Mall, simulate
from genome.simulate.sink import iso
from genome.simulate.tables import STREAMS
from genome.simulate.truth import Truth


def little(**run: object) -> Parameters:
    return parameters.load("small", **({"customers": 200, "days": 21, "block": 100} | run))


def truth_bytes(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "truth").iterdir())}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    one = simulate(little(), 3, tmp_path / "one")
    again = simulate(little(), 3, tmp_path / "again")
    other = simulate(little(), 4, tmp_path / "other")
    assert one.sha256 == again.sha256
    assert truth_bytes(tmp_path / "one") == truth_bytes(tmp_path / "again")
    differing = [path for path in one.sha256 if one.sha256[path] != other.sha256.get(path)]
    # The stores stand where they stand; everything else depends on the seed.
    assert set(one.sha256) - set(differing) == {"inbox/stores/stores.csv"}


def test_the_number_of_workers_does_not_change_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genome.simulate.run.IN_PROCESS", 0)
    assert (
        simulate(little(workers=2), 3, tmp_path / "two").fingerprint
        == simulate(little(workers=1), 3, tmp_path / "one").fingerprint
    )


def test_a_block_does_not_depend_on_the_blocks_before_it(tmp_path: Path) -> None:
    whole = simulate(little(customers=200), 3, tmp_path / "whole").sha256
    half = simulate(little(customers=100), 3, tmp_path / "half").sha256
    first = {path: digest for path, digest in half.items() if "part-0000" in path}
    assert first
    assert first == {path: digest for path, digest in whole.items() if "part-0000" in path}


def test_a_mall_of_twenty_people_works(tmp_path: Path) -> None:
    mall = simulate(little(customers=21, days=14, block=20), 5, tmp_path / "hamlet")
    assert mall.customers == 21
    assert len(Truth(tmp_path / "hamlet").read("people")) == 21
    assert mall.interactions > 100


def test_every_stream_has_rows(mall: Mall) -> None:
    assert sorted(mall.rows) == sorted(STREAMS)
    assert min(mall.rows.values()) > 0


def test_the_summary_counts_what_the_files_hold(mall: Mall, mall_folder: Path, lake) -> None:
    counted = {
        key: lake.sql(f"select count(*) from {key.replace('/', '_')}").fetchone()[0] for key in STREAMS
    }
    assert counted == mall.rows
    assert mall.bytes == sum(
        path.stat().st_size for path in (mall_folder / "inbox").rglob("*") if path.is_file()
    )


def test_a_new_run_replaces_a_mall_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "mall"
    simulate(little(customers=60), 1, out)
    simulate(little(customers=40), 1, out)
    assert json.loads((out / "mall.json").read_text())["customers"] == 40
    assert len(Truth(out).files("people")) == 1
    strangers = tmp_path / "documents"
    strangers.mkdir()
    (strangers / "letter.txt").write_text("keep me")
    with pytest.raises(UsageError, match="is not empty and holds no mall"):
        simulate(little(), 1, strangers)
    assert (strangers / "letter.txt").read_text() == "keep me"


def test_instants_are_written_as_iso_8601_to_the_millisecond() -> None:
    wanted = ["1999-12-31T23:59:59.999Z", "2024-02-29T00:00:00.000Z", None, "2024-11-03T05:30:07.045Z"]
    instants = [None if each is None else datetime.fromisoformat(each) for each in wanted]
    column = pa.chunked_array([pa.array(instants, pa.timestamp("ms", "UTC"))])
    assert iso(column).to_pylist() == wanted


def test_the_small_preset_takes_less_than_20_seconds(tmp_path: Path) -> None:
    before = time.process_time()
    mall = simulate(parameters.load("small", workers=1), 1, tmp_path / "small")
    # CPU time, so that a busy machine does not fail the test; one process does all the work here.
    assert time.process_time() - before < 20
    assert mall.interactions > 200_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 1024 * 1024


def test_a_wrong_parameter_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "mine.toml"
    wrong.write_text("[people]\ncard_share = 2\nhats = 3\n")
    with pytest.raises(UsageError) as caught:
        parameters.load(wrong)
    assert "people.card_share" in str(caught.value)
    assert "people.hats" in str(caught.value)


def test_a_preset_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(UsageError, match="demo, large, small"):
        parameters.load("huge")


def test_reactions_to_an_empty_shelf_cannot_add_up_to_more_than_one(tmp_path: Path) -> None:
    wrong = tmp_path / "mine.toml"
    wrong.write_text("[response]\nstockout_substitute = 0.7\nstockout_postpone = 0.7\n")
    with pytest.raises(UsageError, match="more than 1"):
        parameters.load(wrong)
