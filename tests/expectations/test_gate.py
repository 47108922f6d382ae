"""The gate over a world that was built for real: what passes, what is refused, and what it leaves behind."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from support import built

from expectations import gate
from expectations.contract import contracts
from genome.errors import GenomeError
from genome.lake import publish
from genome.lake.parts import Made
from genome.settings import Settings
from genome.warehouse import manifest


@pytest.fixture
def staged(world: Settings, tmp_path: Path) -> Settings:
    """The world with its published tables staged again, waiting for the gate."""
    settings = built.copy_of(world, tmp_path / "home")
    current = publish.current(settings, "genome")
    assert current is not None
    area = publish.stage(settings, "genome")
    for name, table in current.tables.items():
        kind = Path(table.path).parts[0]
        for part, path in enumerate(current.files(name)):
            area.file(kind, name, part).write_bytes(path.read_bytes())
    area.seal(fingerprint="again")
    return settings


def corrupt(settings: Settings, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a staged table, as a broken build would have."""
    area = publish.staged(settings, "genome")
    assert area is not None
    (folder,) = [path for name, path in area.tables().items() if name == table]
    path = folder / "part-00000.parquet"
    pq.write_table(change(pq.ParquetFile(path).read()), path)
    (area.root / "staged.json").unlink()
    area.seal(fingerprint="again")


def test_what_was_built_passes_and_the_results_hold_no_value(staged: Settings) -> None:
    report = gate.check(staged, "genome")
    assert report.passed
    assert len(report.outcomes) > 100
    tables = {outcome.table for outcome in report.outcomes}
    assert {"feat_customer_traits", "feat_customer_genome", "feat_offer_dna", "genome", "dim_genes"} <= tables
    (written,) = (staged.logs / "gate").glob("genome-*.json")
    text = written.read_text()
    assert json.loads(text)["passed"] is True
    # An id of a customer in the results would be personal data in a log.
    assert "household:" not in text
    assert '"observed_value"' not in text
    outcomes = json.loads(text)["outcomes"]
    (orders,) = [
        each
        for each in outcomes
        if each["table"] == "feat_customer_traits"
        and each["columns"] == ["order_count"]
        and each["expectation"] == "expect_column_values_to_be_between"
    ]
    rows = json.loads(text)["rows"]["feat_customer_traits"]
    assert (orders["counted"], orders["broken"], orders["passed"]) == (rows, 0, True)


def test_nothing_staged_is_nothing_to_judge(settings: Settings) -> None:
    assert gate.check(settings, "genome").summary() == {"group": "genome", "skipped": "nothing is staged"}


def test_a_corrupt_table_is_refused_and_the_last_version_goes_on_serving(staged: Settings) -> None:
    before = publish.current(staged, "genome")
    corrupt(
        staged,
        "feat_customer_traits",
        lambda table: table.set_column(
            table.schema.get_field_index("order_count"),
            "order_count",
            pc.negate(table.column("order_count")),
        ),
    )
    with pytest.raises(GenomeError) as refusal:
        gate.check(staged, "genome")
    said = str(refusal.value)
    held = "feat_customer_traits: expect_column_values_to_be_between on order_count did not hold"
    assert re.search(rf"{held} in [\d,]+ of [\d,]+ rows; counts outside mean", said)
    assert "Nothing was published" in said
    assert before is not None
    assert f"version {before.epoch}, 0 d 0 h old, goes on serving" in said
    assert "logs/gate/genome-" in said
    assert publish.current(staged, "genome") == before


@pytest.mark.parametrize(
    ("table", "change", "expectation"),
    [
        # a column that went missing, one that came, one that changed its type
        ("dim_offers", lambda t: t.drop_columns(["label"]), "expect_column_pair_values_to_be_equal"),
        (
            "dim_offers",
            lambda t: t.append_column("extra", t.column("label")),
            "expect_column_pair_values_to_be_equal",
        ),
        (
            "dim_offers",
            lambda t: t.set_column(8, "product_count", pc.cast(t.column("product_count"), "int64")),
            "expect_column_pair_values_to_be_equal",
        ),
        # a row twice, and half of the rows
        ("dim_genes", lambda t: pa.concat_tables([t, t.slice(0, 1)]), "expect_column_values_to_be_unique"),
        ("dim_genes", lambda t: t.slice(0, len(t) // 2), "expect_table_row_count_to_be_between"),
        # a null where none may be
        (
            "dim_genes",
            lambda t: t.set_column(5, "label", pa.array([None, *t.column("label").to_pylist()[1:]])),
            "expect_column_values_to_not_be_null",
        ),
        # lists that are no longer aligned
        (
            "feat_offer_dna",
            lambda t: t.set_column(
                t.schema.get_field_index("gene_weights"),
                "gene_weights",
                pa.array([row[:-1] for row in t.column("gene_weights").to_pylist()], pa.list_(pa.float32())),
            ),
            "expect_column_pair_values_to_be_equal",
        ),
    ],
)
def test_each_kind_of_damage_is_named(
    staged: Settings, table: str, change: Callable[[pa.Table], pa.Table], expectation: str
) -> None:
    corrupt(staged, table, change)
    area = publish.staged(staged, "genome")
    assert area is not None
    report = gate.run(staged, area)
    assert expectation in {outcome.expectation for outcome in report.failed if outcome.table == table}
    assert {outcome.table for outcome in report.failed} == {table}


def test_a_table_that_was_not_staged_is_missed(staged: Settings) -> None:
    area = publish.staged(staged, "genome")
    assert area is not None
    folder = area.tables()["dim_genes"]
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    report = gate.run(staged, area)
    assert [str(outcome) for outcome in report.failed] == ["dim_genes: expect_table_to_be_staged"]


def stage_delta(settings: Settings, rows: int, whole: int) -> publish.StagingArea:
    """Stage so many rows of the traits as a delta of what is published, which makes so many rows in all."""
    current, area = publish.current(settings, "genome"), publish.staged(settings, "genome")
    assert current is not None
    assert area is not None
    path = area.file("features", "feat_customer_traits")
    pq.write_table(pq.ParquetFile(path).read().slice(0, rows), path)
    dead = pa.table({"customer_id": pa.array([], pa.string()), "is_whole": pa.array([], pa.bool_())})
    pq.write_table(dead, area.keys_file("features", "feat_customer_traits"))
    before = current.table("feat_customer_traits")
    assert before.fading is not None
    return area.seal(made={"feat_customer_traits": Made(whole, before.fading, before.parts)})


@pytest.mark.parametrize("rows", [0, 3])
def test_of_a_delta_its_own_rows_are_judged_and_the_whole_tables_are_counted(
    staged: Settings, rows: int
) -> None:
    before = publish.current(staged, "genome")
    assert before is not None
    count = before.table("feat_customer_traits").rows
    report = gate.run(staged, stage_delta(staged, rows, count))
    assert report.passed
    assert {each.table: each.rows for each in report.profiles}["feat_customer_traits"] == count
    report = gate.run(staged, stage_delta(staged, rows, count // 10))
    assert [str(outcome) for outcome in report.failed] == [
        "feat_customer_traits: expect_table_row_count_to_be_between"
    ]


def test_contracts_give_columns_types_and_grain(world: Settings) -> None:
    found = contracts(manifest(world), "genome")
    genome = found["feat_customer_genome"]
    assert genome.grain == ("customer_id", "valid_at")
    assert [(column.name, column.arrow, column.nullable) for column in genome.columns[:4]] == [
        ("customer_id", "string", False),
        ("valid_at", "timestamp[us, tz=UTC]", False),
        ("known_at", "timestamp[us, tz=UTC]", False),
        ("gene_hashes", "list<int64>", False),
    ]


def test_a_type_that_the_gate_does_not_know_is_refused() -> None:
    node = {
        "name": "feat_x",
        "resource_type": "model",
        "config": {"contract": {"enforced": True}, "meta": {"grain": "a", "publish": {"group": "genome"}}},
        "columns": {"a": {"name": "a", "data_type": "hugeint"}},
    }
    with pytest.raises(GenomeError, match=r"feat_x\.a has type 'hugeint'"):
        contracts({"nodes": {"n": node}}, "genome")
