"""The build around dbt: what it reads, what it skips, what it says when a node fails."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from dbt.adapters.duckdb import environments
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from jinja2 import Template
from support import built

from genome import warehouse
from genome.errors import GenomeError
from genome.lake import publish
from genome.settings import PROJECT_ROOT, Settings


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    yield from built.read_only(tmp_path_factory.getbasetemp())


def test_every_row_of_the_lake_is_accounted_for(world: Settings) -> None:
    ledger = json.loads((world.home / "dbt" / "built.json").read_text())["ledger"]
    rows = built.lake(world).channel.value_counts()
    assert {hop["channel"]: hop["accepted"] for hop in ledger} == rows.to_dict()
    for hop in ledger:
        assert hop["accepted"] == hop["staged"] == hop["interactions"] + hop["redelivered"]


def test_nothing_new_is_nothing_to_build(world: Settings) -> None:
    report = warehouse.build(world)
    assert report.skipped
    assert report.nodes == ()
    assert warehouse.stage(world).epoch is None


def test_a_new_batch_or_another_now_is_something_new(world: Settings, tmp_path: Path) -> None:
    before = warehouse.fingerprint(world)
    assert warehouse.fingerprint(world.model_copy(update={"now": built.NOW - timedelta(seconds=1)})) != before
    copy = built.copy_of(world, tmp_path / "home")
    assert warehouse.fingerprint(copy) == before
    built.land_rows(
        copy,
        "pos-more",
        [
            {
                "interaction_type": "Product Viewed",
                "customer_key": "1",
                "occurred_at": built.NOW - timedelta(days=1),
            }
        ],
    )
    assert warehouse.fingerprint(copy) != before


def test_a_build_reads_committed_files_only(world: Settings, tmp_path: Path) -> None:
    copy = built.copy_of(world, tmp_path / "home")
    committed = {row["path"] for row in _listed(copy)}
    stray = next(iter((copy.lake / "interactions").rglob("*.parquet"))).with_name("stray.parquet")
    stray.write_bytes(b"not committed, not even Parquet")
    assert {row["path"] for row in _listed(copy)} == committed
    assert str(stray) not in committed


def _listed(settings: Settings) -> list[dict[str, str]]:
    warehouse.write_inputs(settings)
    rows: list[dict[str, str]] = json.loads((settings.home / "dbt" / "lake_files.json").read_text())
    return rows


def test_published_tables_are_sorted_and_complete(world: Settings) -> None:
    current = publish.current(world, "genome")
    assert current is not None
    declared = {table.name for table in warehouse.published_tables(world) if table.group == "genome"}
    assert set(current.tables) == declared
    genome = built.published(world, "feat_customer_genome")
    keys = list(zip(genome.customer_id, genome.valid_at, strict=True))
    assert keys == sorted(keys)
    assert (genome.known_at == genome.valid_at).all()


def test_an_empty_lake_gives_empty_tables_of_the_right_shape(settings: Settings) -> None:
    report = warehouse.build(settings)
    assert {node.name: node.rows for node in report.of("model")}["int_customer_genomes"] == 0
    assert report.ledger == ()
    staged = warehouse.stage(settings)
    assert staged.rows["feat_customer_traits"] == 0
    area = publish.staged(settings, "genome")
    assert area is not None
    schema = pq.ParquetFile(area.tables()["feat_customer_genome"] / "part-00000.parquet").schema_arrow
    assert schema.field("gene_hashes").type.value_type == pa.int64()


def test_scores_come_back_through_dbt_ranked(world: Settings, tmp_path: Path) -> None:
    copy = built.copy_of(world, tmp_path / "home")
    scored = warehouse.scored_file(copy)
    scored.parent.mkdir(parents=True)
    offers = [f"offer-{number:02d}" for number in range(25)]
    pq.write_table(
        pa.table(
            {
                "customer_id": ["household:1"] * 25,
                "offer_id": offers,
                # two equal scores: the tie is broken by the offer's id
                "score": [0.5, 0.5, *(0.01 * number for number in range(23))],
                "valid_at": pa.array([built.NOW] * 25, pa.timestamp("us", "UTC")),
                "known_at": pa.array([built.NOW] * 25, pa.timestamp("us", "UTC")),
                "model_name": ["next_best_offer"] * 25,
                "model_version": ["1"] * 25,
            }
        ),
        scored,
    )
    report = warehouse.build_scores(copy)
    assert dict(report.rows) == {"feat_customer_offer_scores": 1, "offer_scores": 25}
    area = publish.staged(copy, "scores")
    assert area is not None
    (row,) = (
        pq.ParquetFile(area.tables()["feat_customer_offer_scores"] / "part-00000.parquet").read().to_pylist()
    )
    assert row["offer_ids"][:3] == ["offer-00", "offer-01", "offer-24"]
    assert len(row["offer_ids"]) == len(row["scores"]) == 20


def test_scores_that_were_never_made_are_asked_for(settings: Settings) -> None:
    with pytest.raises(GenomeError, match="There are no scores"):
        warehouse.build_scores(settings)


def test_a_failing_node_is_named_with_the_way_out(world: Settings, tmp_path: Path) -> None:
    copy = built.copy_of(world, tmp_path / "home")
    before = publish.current(copy, "genome")
    # A batch that repeats a refused value: the offers' window is the wrong way round.
    manifest = next((copy.lake / "_manifest" / "catalog").glob("offers-*.json"))
    path = copy.lake / json.loads(manifest.read_text())["files"][0]["path"]
    table = pq.ParquetFile(path).read()
    swapped = table.set_column(
        table.schema.get_field_index("starts_at"), "starts_at", table.column("ends_at")
    )
    pq.write_table(swapped, path)
    with pytest.raises(GenomeError, match=r"test holds_dim_offers_starts_at_ends_at failed") as error:
        warehouse.build(copy, force=True)
    assert "dbt.log" in error.value.remedy
    assert publish.current(copy, "genome") == before
    with pytest.raises(GenomeError, match="There is no finished build to stage"):
        warehouse.stage(copy.model_copy(update={"now": built.NOW - timedelta(days=1)}))


def test_a_damaged_warehouse_is_rebuilt_from_the_lake(world: Settings, tmp_path: Path) -> None:
    copy = built.copy_of(world, tmp_path / "home")
    copy.warehouse.write_bytes(b"this was a database once" * 100)
    with pytest.raises(GenomeError, match=r"genome build --full"):
        warehouse.build(copy, force=True)
    seen: list[str] = []
    report = warehouse.build(
        copy, full=True, on_node=lambda node, total: seen.append(f"{node.name} of {total}")
    )
    assert {node.name: node.rows for node in report.of("model")}[
        "dim_customers"
    ] == built.HOUSEHOLDS + built.LIVES
    assert len(seen) == len(report.nodes)
    assert len(report.of("unit_test")) >= 10


def test_a_build_that_spills_to_disk_goes_on(tmp_path: Path) -> None:
    text = (PROJECT_ROOT / "dbt_project" / "profiles.yml").read_text()
    given = {"GENOME_HOME": str(tmp_path), "GENOME_MEMORY_LIMIT": "60MB"}
    profile = yaml.safe_load(
        Template(text).render(env_var=lambda name, default=None: given.get(name, default))
    )
    output = profile["genome"]["outputs"]["duckdb"]
    del output["type"]
    output |= {"schema": "main", "threads": int(output["threads"])}
    environment = environments.create(
        DuckDBCredentials.from_dict(DuckDBCredentials.__pre_deserialize__(output))
    )
    (tmp_path / "dbt").mkdir()
    try:
        first = environment.handle().cursor()
        first.execute("create temp table wide as select i, md5(i::varchar) from range(2000000) as s(i)")
        assert (tmp_path / "dbt" / "spill").is_dir()
        # Every dbt node opens a cursor of its own, and says the profile's settings to it.
        second = environment.handle().cursor()
        assert second.execute("select current_setting('preserve_insertion_order')").fetchall() == [(False,)]
    finally:
        environment.close()
