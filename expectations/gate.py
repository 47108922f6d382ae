"""The gate: staged tables pass it, or readers keep the last good version.

For each staged table: its structure is what the dbt contract says (names and order, types, no null where
none may be, one row for each value of the grain), its volume has not collapsed since the last publication,
and the expectations of its suite hold.

Rows stay where they are. DuckDB makes a profile of each table (how many rows each rule asks, how many break it), and
Great Expectations judges the profile: a table may be larger than memory.

Results hold no value of any row: they say which expectation held, and how many rows broke it. They stay under
`logs/gate/`, one file for each epoch.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations import profile, structure, volume
from expectations.columns import MEASURES, kind
from expectations.contract import Contract, contracts
from expectations.judge import Judge
from expectations.rules import Mean, objection
from expectations.suite import Rule, Suite, suites
from genome import clock
from genome.errors import GenomeError
from genome.lake import files, publish
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Outcome:
    """Whether one expectation held of one table.

    Attributes:
        table: which.
        expectation: its type.
        columns: what it names.
        why: it is expected.
        passed: whether it held.
        counted: how many rows it asked; None where it is not about rows, or could not be asked.
        broken: how many of them broke it; None also where it is about one number of all of them.
    """

    table: str
    expectation: str
    columns: tuple[str, ...]
    why: str
    passed: bool
    counted: int | None = None
    broken: int | None = None

    @property
    def extent(self) -> str:
        """How far it did not hold, where that is a matter of rows."""
        if self.counted is None:
            return ""
        return (
            f" in {self.broken:,} of {self.counted:,} rows" if self.broken else f" over {self.counted:,} rows"
        )

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
    judge = Judge()
    profiles = []
    with profile.engine(settings, area.group) as connection:
        for table in sorted(set(expected) & set(staged)):
            suite = suites().get(table, Suite(table=table))
            before = last.tables[table].rows if last and table in last.tables else None
            judged, numbers = judge_table(
                connection, judge, expected[table], suite, staged[table], area.rows(table), before
            )
            outcomes += judged
            profiles.append(numbers)
    return GateReport(area.group, area.epoch, tuple(outcomes), tuple(profiles), time.monotonic() - started)


def judge_table(
    connection: "duckdb.DuckDBPyConnection",
    judge: Judge,
    contract: Contract,
    suite: Suite,
    folder: Path,
    rows: int,
    rows_before: int | None,
) -> tuple[list[Outcome], Profile]:
    """Judge one staged table: the rows that are new in it, and how many the whole of it has.

    Args:
        connection: of `profile.engine`.
        judge: who judges.
        contract: what dbt says about the table.
        suite: what we say about it.
        folder: its staged part files: all of its rows, or those of a delta.
        rows: of the whole table, as readers will see it.
        rows_before: of the version that they see now.

    Raises:
        GenomeError: the suite asks what the table has not, or the files cannot be read.
    """
    started = time.monotonic()
    table, parts = contract.table, sorted(folder.glob("part-*.parquet"))
    staged = structure.read(contract, parts)
    held = judge.frame(
        f"{table}.structure", staged.frame, [(rule.type, rule.kwargs) for rule in structure.RULES]
    )
    outcomes = [
        Outcome(table, rule.type, rule.columns(), rule.why, passed)
        for rule, passed in zip(structure.RULES, held, strict=True)
    ]
    types = {column.name: column.arrow for column in contract.columns} or staged.types
    _refuse_impossible(suite, types)
    of_volume, its_answer = volume.asked(suite.volume, rows, rows_before)
    rules = [*_contract_rules(contract, staged.found), *suite.expectations]
    if staged.rows < rows:
        # What was touched today is no sample of everybody: a mean is asked of whole tables only.
        rules = [rule for rule in rules if not isinstance(rule.asked, Mean)]
    answers = profile.answers(connection, parts, staged.types, [rule.asked for rule in rules], staged.rows)
    asked = [
        (of_volume, its_answer),
        *(
            (rule, answer)
            for rule, answer in zip(rules, answers, strict=True)
            if not (rule.passes_without_values and answer is not None and answer.counted == 0)
        ),
    ]
    held = judge.answers(f"{table}.profile", [(rule.asked, answer) for rule, answer in asked])
    for (rule, answer), passed in zip(asked, held, strict=True):
        counts = (answer.counted, answer.broken) if answer else (None, None)
        outcomes.append(Outcome(table, rule.type, rule.columns(), rule.why, passed, *counts))
    return outcomes, Profile(table, rows, staged.columns, len(outcomes), time.monotonic() - started)


def _contract_rules(contract: Contract, found: Collection[str]) -> Iterator[Rule]:
    for column in contract.columns:
        if not column.nullable and column.name in found and not column.is_list:
            yield Rule(
                type="expect_column_values_to_not_be_null",
                kwargs={"column": column.name},
                why="the dbt contract says that it is never null",
            )
    grain = list(contract.grain)
    if grain:
        one = len(grain) == 1
        yield Rule(
            type="expect_column_values_to_be_unique" if one else "expect_compound_columns_to_be_unique",
            kwargs={"column": grain[0]} if one else {"column_list": grain},
            why=f"the grain is one row for each {', '.join(grain)}",
        )


def _refuse_impossible(suite: Suite, types: Mapping[str, str]) -> None:
    for rule in suite.expectations:
        kinds = {column: kind(column, types) for column in rule.columns()}
        for column, found in kinds.items():
            if found is None:
                raise GenomeError(
                    f"expectations/suites/{suite.table}.yml asks about '{column}', which the contract has not.",
                    "Name a column, or a list column with one of "
                    f"{', '.join('__' + each for each in MEASURES)} (min, max and sum: of numbers).",
                )
        against = objection(rule.asked, {column: found or "" for column, found in kinds.items()})
        if against:
            raise GenomeError(
                f"expectations/suites/{suite.table}.yml: {rule.type} cannot be asked: {against}.",
                "Mend its kwargs.",
            )


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
        f"The gate refused '{report.group}': {first} did not hold{first.extent}{others}; {first.why}. "
        f"Nothing was published, {serving}.",
        f"All results are in {_record_file(settings, report)}: mend the source or the dbt model (or a rule, "
        "where the data is right) and build again.",
    )
