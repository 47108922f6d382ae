"""A staged table of a few rows, in two part files, and what the gate says about it."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from expectations import gate, profile
from expectations.contract import Column, Contract
from expectations.gate import Outcome
from expectations.judge import Judge
from expectations.suite import Rule, Suite
from genome.settings import Settings

INSTANT = pa.timestamp("us", tz="UTC")
_NUMBER = count()


def rule(expectation: str, **kwargs: Any) -> Rule:
    return Rule(type=expectation, kwargs=kwargs, why="so that the test can see it")


def contract(schema: pa.Schema, grain: Sequence[str] = (), never_null: Sequence[str] = ()) -> Contract:
    columns = tuple(
        Column(
            each.name,
            str(each.type).replace("element: ", "").replace("item: ", ""),
            each.name not in never_null,
        )
        for each in schema
    )
    return Contract(f"table_{next(_NUMBER)}", columns, tuple(grain))


def write(folder: Path, *parts: pa.Table) -> Path:
    folder.mkdir(parents=True)
    for number, part in enumerate(parts):
        pq.write_table(part, folder / f"part-{number:05d}.parquet")
    return folder


def outcomes(
    settings: Settings,
    judge: Judge,
    described: Contract,
    rules: Sequence[Rule],
    folder: Path,
    rows_before: int | None = None,
) -> list[Outcome]:
    suite = Suite(table=described.table, expectations=tuple(rules))
    with profile.engine(settings, "test") as connection:
        rows = sum(pq.read_metadata(part).num_rows for part in folder.glob("part-*.parquet"))
        found, _ = gate.judge_table(connection, judge, described, suite, folder, rows, rows_before)
    return found


def table(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema)
