"""What the dbt manifest says about feature tables: the one owner of columns, types and descriptions.

A feature table is a dbt model with an enforced contract and, in its YAML:

    config:
      meta:
        feast: {entity: customer, ttl_days: 7}

Its contract holds the entity's key, `valid_at` (the instant the row describes), `known_at` (when the platform
could have known it), and features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from feature_repo.entities import ENTITIES
from feature_repo.type_map import FeatureType, feature_type
from genome.errors import GenomeError
from genome.settings import Settings

VALID_AT = "valid_at"
KNOWN_AT = "known_at"

# Feast's point-in-time join drops every column that ends like this, as leftovers of its own renaming.
_SUFFIX_THAT_FEAST_DROPS = "_y"


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One feature of a table's contract."""

    name: str
    type: FeatureType
    description: str


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """One dbt model whose rows are features of an entity."""

    name: str
    description: str
    entity: str
    join_key: str
    ttl: timedelta
    columns: tuple[FeatureColumn, ...]


def read_manifest(settings: Settings) -> Mapping[str, Any]:
    """The dbt manifest of this project."""
    from genome.warehouse import manifest

    return manifest(settings)


def feature_tables(manifest: Mapping[str, Any]) -> dict[str, FeatureTable]:
    """Every feature table of a dbt manifest, by name.

    Raises:
        GenomeError: a table that Feast could not serve as its contract says.
    """
    tables = (_feature_table(node) for node in manifest["nodes"].values() if _feast_meta(node))
    return {table.name: table for table in sorted(tables, key=lambda table: table.name)}


def _feast_meta(node: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if node["resource_type"] != "model":
        return None
    meta = node.get("config", {}).get("meta") or node.get("meta") or {}
    return meta.get("feast")


def _feature_table(node: Mapping[str, Any]) -> FeatureTable:
    name, meta = node["name"], _feast_meta(node) or {}
    entity = ENTITIES.get(meta.get("entity", ""))
    if entity is None:
        raise GenomeError(
            f"dbt model {name}: meta.feast.entity is {meta.get('entity')!r}.",
            f"Name one of {', '.join(ENTITIES)}, or add the entity to feature_repo/entities.py.",
        )
    days = meta.get("ttl_days")
    if isinstance(days, bool) or not isinstance(days, int | float) or days <= 0:
        raise GenomeError(
            f"dbt model {name}: meta.feast.ttl_days is {days!r}.",
            "Say for how many days a row may be served (a finite one also keeps the offline join fast).",
        )
    if not node.get("config", {}).get("contract", {}).get("enforced"):
        raise GenomeError(
            f"dbt model {name} is a feature table without an enforced contract.",
            "Set config.contract.enforced: true.",
        )
    columns = node["columns"]
    for column, kind in (
        (entity.join_key, "STRING"),
        (VALID_AT, "UNIX_TIMESTAMP"),
        (KNOWN_AT, "UNIX_TIMESTAMP"),
    ):
        declared = columns.get(column, {}).get("data_type")
        if declared is None or feature_type(name, column, declared).kind != kind:
            wanted = "varchar" if kind == "STRING" else "timestamptz"
            raise GenomeError(
                f"dbt model {name}: a feature table of '{entity.name}' needs {column} as {wanted}"
                f" (its contract says {declared or 'nothing'}).",
                "Add the column to the dbt model and its contract.",
            )
    features = tuple(
        _feature_column(name, column)
        for column in columns.values()
        # Columns of the pipeline begin with `_` and stay in the warehouse.
        if column["name"] not in {entity.join_key, VALID_AT, KNOWN_AT} and not column["name"].startswith("_")
    )
    return FeatureTable(
        name,
        node.get("description", "").strip(),
        entity.name,
        entity.join_key,
        timedelta(days=days),
        features,
    )


def _feature_column(table: str, column: Mapping[str, Any]) -> FeatureColumn:
    name = column["name"]
    if name.endswith(_SUFFIX_THAT_FEAST_DROPS):
        raise GenomeError(
            f"Column {table}.{name} ends in '{_SUFFIX_THAT_FEAST_DROPS}', which Feast's offline join drops.",
            "Give it another name.",
        )
    return FeatureColumn(
        name, feature_type(table, name, column.get("data_type")), (column.get("description") or "").strip()
    )
