"""What readers get of a build: published in parts, or as one build of everything publishes it."""

from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from support import built
from support.same import same_tables

from genome import warehouse
from genome.lake import files, publish
from genome.settings import Settings


def publish_build(settings: Settings) -> publish.Publication:
    """Publish the last build, without the gate."""
    warehouse.stage(settings)
    return publish.publish_staged(settings, "genome")


def current(settings: Settings) -> publish.Publication:
    """What is published now."""
    found = publish.current(settings, "genome")
    assert found is not None
    return found


def in_order(rows: pa.Table, by: tuple[str, ...]) -> pd.DataFrame:
    """A table as its readers get it, in one order whatever its parts."""
    return duckdb.sql("from rows").order(", ".join(by)).df()


def whole_build(kept: Settings, home: Path) -> Settings:
    """A copy of a world in which one build of everything is published."""
    whole = built.copy_of(kept, home)
    warehouse.write_inputs(whole)
    warehouse.dbt(whole, "run", exclude="tag:scores")
    anew = {"build_id": "whole", "build_number": 0, "continues": None}
    path = whole.home / "dbt" / "built.json"
    files.write_json(path, {**files.read_json(path), **anew})
    assert not any(each.has_deltas for each in publish_build(whole).tables.values())
    return whole


def same_for_readers(kept: Settings, whole: Settings, *, but: frozenset[str] = frozenset()) -> int:
    """Assert that readers of both get the same, out of parts and out of whole files; of how many tables."""
    ours, theirs = current(kept), current(whole)
    tables = [each for each in warehouse.published_tables(kept) if each.group == "genome"]
    for each in tables:
        if each.name not in but:
            expected = in_order(theirs.read(each.name), each.order_by)
            assert ours.table(each.name).rows == len(expected), each.name
            resolved = pa.concat_tables([pq.ParquetFile(path).read() for path in ours.files(each.name)])
            for rows in (ours.read(each.name), resolved):
                same_tables(in_order(rows, each.order_by), expected, each.name)
    return len(tables)
