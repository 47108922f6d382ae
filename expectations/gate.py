"""The gate: staged tables pass it, or readers keep the last good version.

For each staged table: its structure is what the dbt contract says (names and order, types, no null where
none may be, one row for each value of the grain), its volume has not collapsed since the last publication,
and the expectations of its suite hold. Great Expectations judges; only columns that something asks about are
read.

Results hold no value of any row (`BOOLEAN_ONLY`): they say which expectation held. They stay under
`logs/gate/`, one file for each epoch.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.contract import Contract, contracts
from expectations.suite import MEASURES, Rule, Suite, suites
from genome import clock
from genome.errors import GenomeError
from genome.lake import files, publish
from genome.settings import Settings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Outcome:
    """Whether one expectation held of one table."""

    table: str
    expectation: str
    columns: tuple[str, ...]
    why: str
    passed: bool

    def __str__(self) -> str:
        about = f" on {', '.join(self.columns)}" if self.columns else ""
        return f"{self.table}: {self.expectation}{about}"


@dataclass(frozen=True)
class Profile:
    """A staged table in numbers, none of which is any row's."""

    table: str
    rows: int
    columns: int
    expectations: int
    seconds: float


@dataclass(frozen=True)
class GateReport:
    """What the gate found; `epoch` is None when nothing was staged."""

    group: str
    epoch: str | None
    outcomes: tuple[Outcome, ...] = ()
    profiles: tuple[Profile, ...] = ()
    seconds: float = 0.0

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The expectations that did not hold."""
        return tuple(outcome for outcome in self.outcomes if not outcome.passed)

    @property
    def passed(self) -> bool:
        """Whether the tables may be published."""
        return not self.failed

    def summary(self) -> dict[str, Any]:
        """What a task returns."""
        if self.epoch is None:
            return {"group": self.group, "skipped": "nothing is staged"}
        return {
            "group": self.group,
            "epoch": self.epoch,
            "passed": self.passed,
            "expectations": len(self.outcomes),
            "failed": [str(outcome) for outcome in self.failed],
            "rows": {profile.table: profile.rows for profile in self.profiles},
            "seconds": round(self.seconds, 1),
        }


def check(settings: Settings, group: str = "genome") -> GateReport:
    """Judge what waits in the group's staging area.

    Raises:
        GenomeError: an expectation did not hold. It names table, expectation and remedy, and which version
            goes on serving, of what age. Nothing is moved.
    """
    area = publish.staged(settings, group)
    if area is None:
        return GateReport(group, None)
    report = run(settings, area)
    _record(settings, report)
    if not report.passed:
        raise _refusal(settings, report)
    return report


def run(settings: Settings, area: publish.StagingArea) -> GateReport:
    """Judge one staging area, and say what held and what did not."""
    from genome.warehouse import manifest

    started = time.monotonic()
    expected = contracts(manifest(settings), area.group)
    staged = area.tables()
    for table in suites():
        if table not in expected and _owner(settings, table) == area.group:
            raise GenomeError(f"expectations/suites/{table}.yml is about no published table.", "Remove it.")
    missing = sorted(set(expected) - set(staged))
    outcomes = [
        Outcome(table, "expect_table_to_be_staged", (), "every published table is in each version", False)
        for table in missing
    ]
    outcomes += [
        Outcome(table, "expect_table_to_be_known", (), "what no contract describes is not published", False)
        for table in sorted(set(staged) - set(expected))
    ]
    last = publish.current(settings, area.group)
    judge = _Judge()
    profiles = []
    for table in sorted(set(expected) & set(staged)):
        suite = suites().get(table, Suite(table=table))
        before = last.tables[table].rows if last and table in last.tables else None
        judged, profile = judge.table(expected[table], suite, staged[table], before)
        outcomes += judged
        profiles.append(profile)
    return GateReport(area.group, area.epoch, tuple(outcomes), tuple(profiles), time.monotonic() - started)


class _Judge:
    """Great Expectations, set up once for a run of the gate."""

    def __init__(self) -> None:
        import logging
        import os
        import warnings

        # Set before the import: it would send usage statistics, and with a root logger configured (as under
        # Airflow) it prints a line for each function that it registers.
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        logging.getLogger("great_expectations").setLevel(logging.WARNING)
        with warnings.catch_warnings():
            # The library's own use of deprecated calls is none of our readers' business.
            warnings.simplefilter("ignore", DeprecationWarning)
            import great_expectations as gx
            from great_expectations.data_context.types.base import ProgressBarsConfig
        self._gx = gx
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_pandas("staged")

    def table(
        self, contract: Contract, suite: Suite, folder: Path, rows_before: int | None
    ) -> tuple[list[Outcome], Profile]:
        """Judge one staged table."""
        import pyarrow.dataset as ds

        started = time.monotonic()
        # Text is read as a dictionary: comparing two million ids then compares small numbers.
        texts = [column.name for column in contract.columns if column.arrow == "string"]
        data = ds.dataset(
            sorted(folder.glob("part-*.parquet")),
            format=ds.ParquetFileFormat(read_options={"dictionary_columns": texts}),
        )
        structure = _structure(contract, data.schema)
        outcomes = self._judge(contract.table, "structure", structure, _structure_rules())
        found = set(data.schema.names)
        rules = [*_contract_rules(contract, found), *_volume_rules(suite, rows_before), *suite.expectations]
        _refuse_unknown(contract, suite, found)
        wanted = {column for rule in rules for column in rule.columns() if _base(column) in found}
        frame = _frame(data, wanted)
        outcomes += self._judge(contract.table, "rows", frame, rules)
        return outcomes, Profile(
            contract.table, len(frame), len(data.schema), len(outcomes), time.monotonic() - started
        )

    def _judge(self, table: str, part: str, frame: "pd.DataFrame", rules: Iterable[Rule]) -> list[Outcome]:
        gx = self._gx
        rules = list(rules)
        if not rules:
            return []
        asset = self._source.add_dataframe_asset(f"{table}.{part}")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        suite = gx.ExpectationSuite(name=f"{table}.{part}")
        for number, rule in enumerate(rules):
            suite.add_expectation(self._expectation(table, rule, number))
        result = batch.validate(suite, result_format="BOOLEAN_ONLY")
        passed = {each.expectation_config.meta["number"]: bool(each.success) for each in result.results}
        # An expectation that could not be computed is missing or failed: either way it did not hold.
        return [
            Outcome(table, rule.type, tuple(rule.columns()), rule.why, passed.get(number, False))
            for number, rule in enumerate(rules)
        ]

    def _expectation(self, table: str, rule: Rule, number: int) -> Any:
        name = "".join(part.capitalize() for part in rule.type.split("_"))
        kind = getattr(self._gx.expectations, name, None)
        if kind is None:
            raise GenomeError(
                f"expectations/suites/{table}.yml: Great Expectations has no '{rule.type}'.",
                "Use one of its core expectations.",
            )
        try:
            return kind(**rule.kwargs, meta={"number": number})
        except (ValueError, TypeError) as error:
            raise GenomeError(
                f"expectations/suites/{table}.yml: {rule.type} does not take {rule.kwargs}: {error}.",
                "Mend its kwargs.",
            ) from error


def _structure(contract: Contract, schema: Any) -> "pd.DataFrame":
    """Contract and file side by side, one row for each column of either, in order."""
    import pandas as pd

    expected = [(column.name, column.arrow) for column in contract.columns]
    found = [(each.name, _arrow(each.type)) for each in schema]
    if not expected:
        # A seed's columns are not declared: its file is its own contract.
        expected = found
    length = max(len(expected), len(found))
    pad: list[tuple[str, str]] = [("", "")]
    expected += pad * (length - len(expected))
    found += pad * (length - len(found))
    return pd.DataFrame(
        {
            "contract_column": [name for name, _ in expected],
            "staged_column": [name for name, _ in found],
            "contract_type": [kind for _, kind in expected],
            "staged_type": [kind for _, kind in found],
        }
    )


def _arrow(kind: Any) -> str:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _arrow(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{_arrow(kind.value_type)}>"
    return str(kind).removeprefix("large_")


def _structure_rules() -> list[Rule]:
    return [
        Rule(
            type="expect_column_pair_values_to_be_equal",
            kwargs={"column_A": f"contract_{what}", "column_B": f"staged_{what}"},
            why=f"every {what} is the one that the dbt contract declares, in its order",
        )
        for what in ("column", "type")
    ]


def _contract_rules(contract: Contract, found: set[str]) -> list[Rule]:
    rules = [
        Rule(
            type="expect_column_values_to_not_be_null",
            kwargs={"column": column.name},
            why="the dbt contract says that it is never null",
        )
        for column in contract.columns
        if not column.nullable and column.name in found and not column.is_list
    ]
    grain = [name for name in contract.grain if name in found]
    if len(grain) > 1:
        rules.append(
            Rule(
                type="expect_compound_columns_to_be_unique",
                kwargs={"column_list": grain},
                why=f"the grain is one row for each {', '.join(grain)}",
            )
        )
    elif grain:
        rules.append(
            Rule(
                type="expect_column_values_to_be_unique",
                kwargs={"column": grain[0]},
                why=f"the grain is one row for each {grain[0]}",
            )
        )
    return rules


def _volume_rules(suite: Suite, rows_before: int | None) -> list[Rule]:
    least = suite.volume.at_least
    if rows_before is not None:
        least = max(least, int(rows_before * (1 - suite.volume.shrink_at_most)))
    return [
        Rule(
            type="expect_table_row_count_to_be_between",
            kwargs={"min_value": least},
            why=f"a table does not lose more than {suite.volume.shrink_at_most:.0%} of its rows in one step",
        )
    ]


def _refuse_unknown(contract: Contract, suite: Suite, found: set[str]) -> None:
    known = {column.name for column in contract.columns} or found
    for name in suite.columns():
        column = contract.column(_base(name))
        measure = name.partition("__")[2]
        if _base(name) not in known or (measure and (column is None or not column.is_list)):
            raise GenomeError(
                f"expectations/suites/{suite.table}.yml asks about '{name}', which the contract has not.",
                f"Name a column, or a list column with one of {', '.join('__' + each for each in MEASURES)}.",
            )


def _base(column: str) -> str:
    base, mark, measure = column.partition("__")
    return base if mark and measure in MEASURES else column


def _frame(data: Any, wanted: set[str]) -> "pd.DataFrame":
    """Only the columns that something asks about; of lists, only the numbers asked for."""
    import pandas as pd

    plain = sorted(name for name in wanted if _base(name) == name)
    table = data.to_table(columns=plain)
    frame: pd.DataFrame = table.to_pandas(types_mapper=_nullable_types().get)
    for name in sorted({_base(each) for each in wanted - set(plain)}):
        lists = data.to_table(columns=[name]).column(name)
        measured = _measure(lists, {each.partition("__")[2] for each in wanted if _base(each) == name})
        for measure, values in measured.items():
            frame[f"{name}__{measure}"] = values
    if not len(frame.columns):
        # Nothing but the row count is asked for.
        frame = pd.DataFrame(index=range(data.count_rows()))
    return frame


def _nullable_types() -> Mapping[Any, Any]:
    """Whole numbers and truth values with nulls stay what they are, and do not become floats or objects."""
    import pandas as pd
    import pyarrow as pa

    return {
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }


def _measure(lists: Any, measures: set[str]) -> dict[str, Any]:
    """Numbers about each row's list: length, and min, max and sum of its values (NaN for an empty one)."""
    import numpy as np
    import pyarrow.compute as pc

    lists = lists.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    measured: dict[str, Any] = {"length": lengths} if "length" in measures else {}
    if measures - {"length"}:
        values = pc.cast(pc.list_flatten(lists), "double").to_numpy(zero_copy_only=False)
        filled, starts = lengths > 0, np.concatenate([[0], np.cumsum(lengths)[:-1]])
        for measure, reduce in (("min", np.fmin), ("max", np.fmax), ("sum", np.add)):
            if measure in measures:
                result = np.full(len(lengths), np.nan)
                if filled.any():
                    each = np.nan_to_num(values) if measure == "sum" else values
                    result[filled] = reduce.reduceat(each, starts[filled])
                measured[measure] = result
    return measured


def _owner(settings: Settings, table: str) -> str | None:
    from genome.warehouse import published_tables

    return next((each.group for each in published_tables(settings) if each.name == table), "genome")


def _record_file(settings: Settings, report: GateReport) -> Path:
    return settings.logs / "gate" / f"{report.group}-{report.epoch}.json"


def _record(settings: Settings, report: GateReport) -> None:
    files.write_json(
        _record_file(settings, report),
        {
            **report.summary(),
            "checked_at": clock.now(settings).isoformat(),
            "outcomes": [asdict(outcome) for outcome in report.outcomes],
            "profiles": [asdict(profile) for profile in report.profiles],
        },
    )


def _refusal(settings: Settings, report: GateReport) -> GenomeError:
    first = report.failed[0]
    others = f" ({len(report.failed) - 1} more failed)" if len(report.failed) > 1 else ""
    last = publish.current(settings, report.group)
    if last is None:
        serving = "nothing has been published yet"
    else:
        age = last.age(clock.now(settings))
        serving = f"version {last.epoch}, {age.days} d {age.seconds // 3600} h old, goes on serving"
    return GenomeError(
        f"The gate refused '{report.group}': {first} did not hold{others}; {first.why}. "
        f"Nothing was published, {serving}.",
        f"All results are in {_record_file(settings, report)}: mend the source or the dbt model (or a rule, "
        "where the data is right) and build again.",
    )
