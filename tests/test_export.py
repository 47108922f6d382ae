"""Tables that leave a warehouse in deltas, and what their readers get, by a few rows."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genome import export
from genome.errors import GenomeError
from genome.export import Build, Delta, ExportedTable
from genome.lake import files, publish, whole
from genome.lake.present import Lasts
from genome.settings import Settings

BEGAN = datetime(2024, 3, 1, 6, tzinfo=UTC)
LABEL = BEGAN - timedelta(days=9)
HALF_LIFE = timedelta(days=28)
TRAITS = ExportedTable(
    model="feat_t",
    group="genome",
    kind="features",
    name="traits",
    order_by=("customer_id", "valid_at"),
    delta=Delta("customer_id", "remade"),
    fades={"spent_h28_sum": 28},
)
LABELS = ExportedTable(
    "fct_l",
    "genome",
    "evaluation",
    "labels",
    ("customer_id",),
    Delta("customer_id", "remade", whole_only=True),
)
EVIDENCE = ExportedTable(
    model="fct_e",
    group="genome",
    kind="evidence",
    name="evidence",
    order_by=("customer_id", "amount"),
    delta=Delta("customer_id"),
)


def at(builds: int) -> datetime:
    """The cut-off of a build: they are a half-life apart."""
    return BEGAN + builds * HALF_LIFE


@dataclass
class Warehouse:
    """A warehouse of a few tables, and the lake that it publishes into."""

    settings: Settings
    connection: duckdb.DuckDBPyConnection
    tables: tuple[ExportedTable, ...] = (TRAITS, LABELS, EVIDENCE)
    builds: int = -1
    published: list[publish.Publication] = field(default_factory=list)

    def run(self, statement: str) -> None:
        self.connection.execute(statement)

    def touch(self, customer: str, spent: float | None, *, is_whole: bool = True) -> None:
        """Make a customer's rows anew, as a build does; who has spent None is gone."""
        self.run(f"insert into remade values ('{customer}', {is_whole})")
        only = "" if is_whole else " and _is_cutoff"
        self.run(f"delete from feat_t where customer_id = '{customer}'{only}")
        if spent is not None:
            self.run(
                f"insert into feat_t values ('{customer}', '{at(self.builds)}', {spent}, true, {self.builds})"
            )
        if spent is not None and is_whole:
            self.run(
                f"insert into feat_t values ('{customer}', '{LABEL}', {spent * 100}, false, {self.builds})"
            )
            self.run(f"delete from fct_l where customer_id = '{customer}'")
            self.run(f"insert into fct_l values ('{customer}', {self.builds}, {self.builds})")
        elif is_whole:
            self.run(f"delete from fct_l where customer_id = '{customer}'")

    def build(self, **spent: float | None) -> None:
        """The next build touches some customers."""
        self.builds += 1
        self.run("delete from remade")
        for customer, amount in spent.items():
            self.touch(customer, amount)
            self.run(f"insert into fct_e values ('{customer}', {amount or 0}, {self.builds})")

    def stage(self, *, continues: bool = True) -> publish.StagingArea:
        current = publish.current(self.settings, "genome")
        build = Build(at(self.builds).isoformat(), self.builds, "UTC", continues and current is not None)
        area = publish.stage(self.settings, "genome")
        made = {}
        for table in self.tables:
            before = current.tables.get(table.name) if current else None
            made[table.name] = export.export(self.connection, area, table, build, before)
        return area.seal(made={name: each for name, each in made.items() if each is not None})

    def publish(self, *, continues: bool = True) -> publish.Publication:
        self.published.append(publish.publish(self.stage(continues=continues)))
        return self.published[-1]


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    """A first build of three customers, published."""
    monkeypatch.setattr(export, "MOST_ADDED", 100.0)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            "create table feat_t (customer_id text, valid_at timestamptz, spent_h28_sum double, _is_cutoff bool,"
            " _build_number int)"
        )
        connection.execute("create table fct_l (customer_id text, made_by int, _build_number int)")
        connection.execute("create table fct_e (customer_id text, amount double, _build_number int)")
        connection.execute("create table remade (customer_id text, is_whole bool)")
        connection.execute("create table dim_genes (gene_hash bigint, locus_id text)")
        connection.execute("create table loci (locus_id text, half_life_now_days double)")
        made = Warehouse(Settings(home=tmp_path / "home", now=BEGAN), connection)
        made.build(ann=8.0, bob=4.0, cid=2.0)
        made.run("delete from remade")
        made.publish()
        yield made


def rows(publication: publish.Publication, table: str = "traits", **asked: Any) -> list[tuple[Any, ...]]:
    found = publication.read(table, **asked).to_pylist()
    return sorted(tuple(row.values()) for row in found)


def resolved(publication: publish.Publication, table: str = "traits") -> list[tuple[Any, ...]]:
    found = pa.concat_tables([pq.ParquetFile(path).read() for path in publication.files(table)])
    return sorted(tuple(row.values()) for row in found.to_pylist())


def test_the_first_version_is_whole_and_columns_of_the_pipeline_stay(warehouse: Warehouse) -> None:
    (publication,) = warehouse.published
    table = publication.table("traits")
    assert not table.has_deltas
    assert publication.path("traits") == warehouse.settings.lake / table.path
    assert publication.read("traits").column_names == ["customer_id", "valid_at", "spent_h28_sum"]
    assert table.sha256 == files.sha256(publication.files("traits")[0])


def test_a_later_version_adds_what_its_build_made_and_readers_see_everybody_at_its_cut_off(
    warehouse: Warehouse,
) -> None:
    warehouse.build(ann=1.0)
    publication = warehouse.publish()
    base, delta = publication.table("traits").parts
    assert (base.rows, delta.rows, publication.table("traits").rows) == (6, 2, 6)
    assert rows(publication) == [
        ("ann", LABEL, 100.0),
        ("ann", at(1), 1.0),
        ("bob", LABEL, 400.0),
        ("bob", at(1), 2.0),
        ("cid", LABEL, 200.0),
        ("cid", at(1), 1.0),
    ]
    assert resolved(publication) == rows(publication)
    # the version before says what it said
    assert ("ann", at(0), 8.0) in rows(warehouse.published[0])


def test_who_is_merged_away_is_gone_for_readers(warehouse: Warehouse) -> None:
    warehouse.build(ann=3.0, cid=None)
    publication = warehouse.publish()
    assert {row[0] for row in rows(publication)} == {"ann", "bob"}
    assert {row[0] for row in resolved(publication)} == {"ann", "bob"}
    assert {row[0] for row in rows(publication, "labels")} == {"ann", "bob"}
    assert publication.table("traits").rows == 4


def test_where_only_the_cut_off_was_made_anew_rows_of_label_times_stand(warehouse: Warehouse) -> None:
    warehouse.build()
    warehouse.touch("ann", 5.0, is_whole=False)
    first = warehouse.publish()
    assert first.table("traits").parts[-1].rows == 1
    assert ("ann", LABEL, 800.0) in rows(first)
    assert ("ann", at(1), 5.0) in rows(first)
    assert first.table("labels").parts[-1].rows == 0
    assert ("ann", 0) in rows(first, "labels")
    # the next build leaves ann alone: her row of the build between fades
    warehouse.build(bob=7.0)
    second = warehouse.publish()
    assert [row for row in rows(second) if row[0] == "ann"] == [("ann", LABEL, 800.0), ("ann", at(2), 2.5)]
    assert resolved(second) == rows(second)
    assert ("bob", 2) in rows(second, "labels")
    assert len(rows(second, "labels")) == 3


def test_rows_that_are_only_added_are_told_by_the_number_of_their_build(warehouse: Warehouse) -> None:
    warehouse.build(ann=1.0)
    publication = warehouse.publish()
    table = publication.table("evidence")
    assert [part.rows for part in table.parts] == [3, 1]
    assert [part.keys for part in table.parts] == [None, None]
    assert rows(publication, "evidence") == [("ann", 1.0), ("ann", 8.0), ("bob", 4.0), ("cid", 2.0)]
    assert resolved(publication, "evidence") == rows(publication, "evidence")


def test_added_rows_may_list_keys_whose_earlier_rows_are_dead(warehouse: Warehouse) -> None:
    added = Delta("customer_id", "remade")
    warehouse.tables = (replace(EVIDENCE, delta=added),)
    warehouse.build(ann=1.0)
    warehouse.run("delete from fct_e where customer_id = 'ann' and _build_number = 0")
    publication = warehouse.publish()
    assert publication.table("evidence").parts[-1].rows == 1
    assert rows(publication, "evidence") == [("ann", 1.0), ("bob", 4.0), ("cid", 2.0)]
    assert resolved(publication, "evidence") == rows(publication, "evidence")


def test_where_some_of_a_keys_rows_have_gone_those_that_are_left_are_published_again(
    warehouse: Warehouse,
) -> None:
    warehouse.tables = (replace(EVIDENCE, delta=Delta("customer_id", "remade", again=True)),)
    warehouse.run("insert into fct_e values ('bob', 5.0, 0)")
    warehouse.publish(continues=False)
    warehouse.build(ann=1.0)
    warehouse.run("insert into remade values ('bob', true)")
    warehouse.run("delete from fct_e where customer_id = 'bob' and amount = 4.0")
    publication = warehouse.publish()
    assert publication.table("evidence").parts[-1].rows == 3
    assert rows(publication, "evidence") == [("ann", 1.0), ("ann", 8.0), ("bob", 5.0), ("cid", 2.0)]
    assert resolved(publication, "evidence") == rows(publication, "evidence")


def test_rows_that_are_too_old_are_neither_told_nor_counted(warehouse: Warehouse) -> None:
    warehouse.run("create table fct_o (customer_id text, bought_at timestamptz, _build_number int)")
    warehouse.tables = (
        ExportedTable(
            model="fct_o",
            group="genome",
            kind="evidence",
            name="lines",
            order_by=("customer_id", "bought_at"),
            delta=Delta("customer_id", "remade"),
            lasts={"bought_at": Lasts(30)},
        ),
    )
    young, old = at(0) - timedelta(days=1), at(0) - timedelta(days=9)
    warehouse.run(f"insert into fct_o values ('ann', '{young}', 0), ('ann', '{old}', 0), ('bob', '{old}', 0)")
    assert rows(warehouse.publish(continues=False), "lines") == [("ann", old), ("ann", young), ("bob", old)]
    warehouse.build()
    publication = warehouse.publish()
    assert publication.table("lines").has_deltas
    assert publication.table("lines").rows == 1
    assert rows(publication, "lines") == [("ann", young)]
    assert resolved(publication, "lines") == [("ann", young)]
    assert rows(warehouse.publish(continues=False), "lines") == [("ann", young)]


def test_a_few_keys_and_columns_are_read_out_of_every_part(warehouse: Warehouse) -> None:
    warehouse.build(ann=1.0)
    publication = warehouse.publish()
    wanted = [("customer_id", "in", ["bob", "ann"])]
    found = rows(publication, columns=["spent_h28_sum", "customer_id"], filters=wanted)
    assert found == [(1.0, "ann"), (2.0, "bob"), (100.0, "ann"), (400.0, "bob")]
    assert not (warehouse.settings.lake / "features" / "traits" / "present").exists()
    with pytest.raises(GenomeError, match="cannot be searched by what moves"):
        publication.read("traits", filters=[("valid_at", ">", LABEL)])


def test_the_whole_table_is_written_once_and_a_write_that_was_killed_leaves_nothing(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.build(ann=1.0)
    publication = warehouse.publish()
    folder = publication.place("traits")

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            publication.path("traits")
    assert not folder.exists()
    assert publication.path("traits") == folder
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", folder.name]
    assert {path.name for path in folder.iterdir()} == {"part-00000.parquet", "part-00001.parquet"}
    with monkeypatch.context() as patch:
        patch.setattr(whole, "_write", dying)
        assert resolved(publication) == rows(publication)


def test_a_table_is_whole_again_where_its_deltas_are_as_large_as_half_of_it(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_ADDED", 0.5)
    for number in range(40):
        warehouse.touch(f"c{number}", 1.0)
    warehouse.publish(continues=False)  # 86 rows
    warehouse.build(**{f"c{number}": 2.0 for number in range(8)})
    once = warehouse.publish()
    assert [part.rows for part in once.table("traits").parts] == [86, 16]  # and 16 dead ones: 32 of 43
    warehouse.build(**{f"c{number}": 2.0 for number in range(8, 16)})
    # 16 more would lie beside 32 dead ones
    again = warehouse.publish()
    assert [part.rows for part in again.table("traits").parts] == [86]
    assert not again.table("traits").has_deltas
    assert ("bob", at(2), 1.0) in rows(again)
    assert ("bob", LABEL, 400.0) in rows(again)
    assert ("c9", at(2), 2.0) in rows(again)


def test_a_table_is_whole_again_after_so_many_deltas(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_DELTAS", 2)
    counts = []
    for number in range(4):
        warehouse.build(ann=float(number))
        counts.append(len(warehouse.publish().table("traits").parts))
    assert counts == [2, 3, 1, 2]
    assert ("bob", at(4), 0.25) in rows(warehouse.published[-1])


@pytest.mark.parametrize(("continues", "sampled"), [(False, 1), (True, 1), (False, 10**9)])
def test_a_large_table_leaves_in_several_files_one_after_the_other(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, continues: bool, sampled: int
) -> None:
    monkeypatch.setattr(export, "_USUAL_ROWS_IN_GROUP", 1)
    monkeypatch.setattr(export, "_GROUPS_IN_FILE", 50)
    monkeypatch.setattr(export, "_SAMPLED", sampled)  # 10⁹: as of campaigns, of which hardly one is hit
    monkeypatch.setattr(export, "MOST_DELTAS", -1)  # whole, each time
    if continues:
        warehouse.build()  # who is there already is brought forward
    for number in range(100):
        warehouse.touch(f"c{number:03}", 1.0)
    publication = warehouse.publish(continues=continues)
    table = publication.table("traits")
    sizes = [part.rows for part in table.parts]
    assert (len(sizes), sum(sizes), max(sizes) <= 50) == (5, 206, True)
    assert not table.has_deltas
    assert publication.path("traits") == warehouse.settings.lake / table.path
    told = [
        name
        for path in publication.files("traits")
        for name in pq.ParquetFile(path).read(["customer_id"]).column(0).to_pylist()
    ]
    assert told == sorted(told)
    assert len(rows(publication)) == 206
    assert rows(publication, filters=[("customer_id", "=", "c017")]) == [
        ("c017", LABEL, 100.0),
        ("c017", at(warehouse.builds), 1.0),
    ]
    # and a delta after it kills rows in all of them
    monkeypatch.setattr(export, "MOST_DELTAS", 30)
    warehouse.build(c017=5.0, bob=7.0)
    after = warehouse.publish()
    assert [part.rows for part in after.table("traits").parts] == [*sizes, 4]
    assert after.table("traits").has_deltas
    assert after.table("traits").rows == len(rows(after)) == 206
    assert rows(after) == resolved(after)
    assert ("c017", at(warehouse.builds), 5.0) in rows(after)
    assert ("c018", at(warehouse.builds), 0.5) in rows(after)


def test_a_version_after_one_that_was_refused_is_whole(warehouse: Warehouse) -> None:
    warehouse.build(ann=1.0)
    warehouse.stage()  # the gate refuses it
    warehouse.build(bob=6.0)
    publication = warehouse.publish(continues=False)
    assert not any(table.has_deltas for table in publication.tables.values())
    assert [row for row in rows(publication) if row[1] != LABEL] == [
        ("ann", at(2), 0.5),
        ("bob", at(2), 6.0),
        ("cid", at(2), 0.5),
    ]


def test_the_hash_of_a_table_changes_with_its_delta_and_with_its_cut_off(warehouse: Warehouse) -> None:
    hashes = [warehouse.published[0].table("traits").sha256]
    warehouse.build(ann=1.0)
    hashes.append(warehouse.publish().table("traits").sha256)
    warehouse.build()
    hashes.append(warehouse.publish().table("traits").sha256)
    assert len(set(hashes)) == 3
    assert publish.current(warehouse.settings, "genome") == warehouse.published[-1]


@pytest.mark.parametrize("writes_before_the_crash", range(7))
def test_a_delta_that_was_killed_while_it_was_published_is_finished_by_a_second_call(
    warehouse: Warehouse, writes_before_the_crash: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(warehouse.published[0])
    warehouse.build(ann=1.0)
    area = warehouse.stage()
    assert len(files.read_json(area.root / "staged.json")["files"]) == 5
    real, left = files.commit, [writes_before_the_crash]

    def dying(written: Path, final: Path) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(written, final)

    with monkeypatch.context() as patch:
        patch.setattr(files, "commit", dying)
        with pytest.raises(KeyboardInterrupt):
            publish.publish_staged(warehouse.settings, "genome")
    between = publish.current(warehouse.settings, "genome")
    assert between is not None
    assert rows(between) == before
    assert ("bob", at(1), 2.0) in rows(publish.publish_staged(warehouse.settings, "genome"))


def test_dead_keys_are_sealed_too(warehouse: Warehouse) -> None:
    warehouse.build(ann=1.0)
    area = warehouse.stage()
    pq.write_table(
        pa.table({"customer_id": ["bob"], "is_whole": [True]}), area.keys_file("features", "traits")
    )
    with pytest.raises(GenomeError, match="changed since they were sealed"):
        publish.publish(area)


def test_prune_leaves_what_a_later_version_still_names(warehouse: Warehouse) -> None:
    settings = warehouse.settings
    for number in range(3):
        warehouse.build(ann=float(number))
        publication = warehouse.publish()
        publication.path("traits")
    told = rows(publication)
    versions = settings.lake / "features" / "traits"
    assert len(publish.prune(settings, "genome", keep=1)) == 3
    assert len(list(versions.glob("v=*"))) == 4
    assert [path.name for path in (versions / "present").glob("v=*")] == [f"v={publication.epoch}"]
    assert rows(publication) == told
    warehouse.build(bob=1.0)
    last = warehouse.publish(continues=False)
    assert publish.prune(settings, "genome", keep=1) == [publication.epoch]
    # what versions named that were pruned before this one
    assert [path.name for path in versions.glob("v=*")] == [f"v={last.epoch}"]
    assert list((versions / "present").glob("v=*")) == []


def test_a_version_whose_base_is_gone_is_not_published(warehouse: Warehouse) -> None:
    warehouse.build(ann=1.0)
    area = warehouse.stage()
    warehouse.published[0].files("traits")[0].unlink()
    with pytest.raises(GenomeError, match="which is gone"):
        publish.publish(area)
    assert publish.current(warehouse.settings, "genome") == warehouse.published[0]


def test_a_column_more_makes_the_table_whole(warehouse: Warehouse) -> None:
    warehouse.build(ann=1.0)
    warehouse.run("alter table feat_t add column age int")
    publication = warehouse.publish()
    assert not publication.table("traits").has_deltas
    assert publication.table("labels").has_deltas
    assert publication.read("traits").column_names[-1] == "age"
