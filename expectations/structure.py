"""What the part files of a staged table hold, beside what its dbt contract says that they hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.contract import Contract
from expectations.suite import Rule

if TYPE_CHECKING:
    import pandas as pd

RULES = tuple(
    Rule(
        type="expect_column_pair_values_to_be_equal",
        kwargs={"column_A": f"contract_{what}", "column_B": f"staged_{what}"},
        why=f"every {what} is the one that the dbt contract declares, in its order",
    )
    for what in ("column", "type")
)
"""What Great Expectations is asked about `Structure.frame`."""


@dataclass(frozen=True)
class Structure:
    """The schemas of one table's part files.

    Attributes:
        frame: contract and files side by side, for each part one row for each column of either, in order.
        types: columns that are in every part as the contract has them → their Arrow types; only of these can a
            rule be answered.
        found: every column of some part.
        columns: how many columns the first part has.
        rows: of all parts.
    """

    frame: "pd.DataFrame"
    types: Mapping[str, str]
    found: frozenset[str]
    columns: int
    rows: int


def read(contract: Contract, parts: Sequence[Path]) -> Structure:
    """Read the footers of the part files, and no row."""
    import pandas as pd
    import pyarrow.parquet as pq

    footers = [pq.ParquetFile(part) for part in parts]
    staged = [[(each.name, _arrow(each.type)) for each in footer.schema_arrow] for footer in footers]
    # A seed's columns are not declared: its first file is its contract.
    expected = [(column.name, column.arrow) for column in contract.columns] or staged[0]
    pairs = [pair for part in staged for pair in _side_by_side(expected, part)]
    return Structure(
        frame=pd.DataFrame(
            {
                "contract_column": [ours[0] for ours, _ in pairs],
                "staged_column": [theirs[0] for _, theirs in pairs],
                "contract_type": [ours[1] for ours, _ in pairs],
                "staged_type": [theirs[1] for _, theirs in pairs],
            }
        ),
        types=dict(column for column in expected if all(column in part for part in staged)),
        found=frozenset(name for part in staged for name, _ in part),
        columns=len(staged[0]),
        rows=sum(footer.metadata.num_rows for footer in footers),
    )


def _side_by_side(
    expected: list[tuple[str, str]], staged: list[tuple[str, str]]
) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    length, pad = max(len(expected), len(staged)), [("", "")]
    ours = expected + pad * (length - len(expected))
    theirs = staged + pad * (length - len(staged))
    return list(zip(ours, theirs, strict=True))


def _arrow(kind: Any) -> str:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _arrow(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{_arrow(kind.value_type)}>"
    return str(kind).removeprefix("large_")
