"""What the dbt contract says about a published table: columns, types, which may be null, and the grain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genome.errors import GenomeError

# The type of a contract → the Arrow type of the Parquet that DuckDB writes for it. A type that is not here is
# refused: a gate that skips what it does not know lets it pass.
_ARROW: Mapping[str, str] = {
    "varchar": "string",
    "boolean": "bool",
    "integer": "int32",
    "bigint": "int64",
    "float": "float",
    "double": "double",
    "date": "date32[day]",
    "timestamptz": "timestamp[us, tz=UTC]",
}


@dataclass(frozen=True)
class Column:
    """One column of a contract."""

    name: str
    arrow: str
    nullable: bool

    @property
    def is_list(self) -> bool:
        """Whether it holds lists."""
        return self.arrow.startswith("list<")


@dataclass(frozen=True)
class Contract:
    """One published table, as its dbt YAML describes it; a seed's columns are not declared there."""

    table: str
    columns: tuple[Column, ...]
    grain: tuple[str, ...]

    def column(self, name: str) -> Column | None:
        """One column by its name."""
        return next((column for column in self.columns if column.name == name), None)


def contracts(manifest: Mapping[str, Any], group: str) -> dict[str, Contract]:
    """The contracts of every table that a group publishes, by the name under which it is published."""
    found: dict[str, Contract] = {}
    for node in manifest["nodes"].values():
        meta = node.get("config", {}).get("meta") or {}
        published = meta.get("publish")
        if not published or published["group"] != group:
            continue
        table = published.get("name", node["name"])
        enforced = bool(node.get("config", {}).get("contract", {}).get("enforced"))
        if node["resource_type"] == "model" and not enforced:
            raise GenomeError(
                f"dbt model {node['name']} is published without an enforced contract.",
                "Set config.contract.enforced: true.",
            )
        # Columns of the pipeline begin with `_` and stay in the warehouse.
        public = [each for each in node["columns"].values() if not each["name"].startswith("_")]
        columns = tuple(_column(table, each) for each in public) if enforced else ()
        names = {column.name for column in columns}
        grain = tuple(part.strip() for part in str(meta.get("grain", "")).split(","))
        found[table] = Contract(table, columns, grain if set(grain) <= names else ())
    return found


def _column(table: str, node: Mapping[str, Any]) -> Column:
    written = str(node.get("data_type") or "").lower()
    item, is_list = (written[:-2], True) if written.endswith("[]") else (written, False)
    arrow = _ARROW.get(item)
    if arrow is None:
        raise GenomeError(
            f"Column {table}.{node['name']} has type '{written}', which the gate cannot check.",
            f"Use one of {', '.join(_ARROW)} or a list of it, or add it to expectations/contract.py.",
        )
    nullable = not any(each.get("type") == "not_null" for each in node.get("constraints") or [])
    return Column(node["name"], f"list<{arrow}>" if is_list else arrow, nullable)
