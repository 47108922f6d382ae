"""dbt contract ↔ Feast view ↔ the gate's structure ↔ generated reference pages: one owner, four readers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from expectations.columns import kind
from expectations.contract import contracts
from expectations.rules import objection
from expectations.suite import suites
from feature_repo.contract import feature_tables
from feature_repo.entities import feast_entities
from feature_repo.type_map import feature_type
from feature_repo.views import feast_views
from genome import warehouse
from tests.conftest import make_settings
from tests.support.source import ROOT

TABLES = (ROOT / "docs" / "reference" / "tables.md").read_text()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    return warehouse.manifest(make_settings(tmp_path_factory.mktemp("manifest") / "home"))


def _models(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    assert len(found) > 30
    return found


def _documented(table: str) -> dict[str, str]:
    """Column → type, as the reference page has them."""
    section = TABLES.split(f"## `{table}`\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]*?) \|", section, re.MULTILINE))


def test_every_dbt_model_has_a_description_a_grain_and_a_test(manifest: Mapping[str, Any]) -> None:
    tested = {
        name.split(".")[-1]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
        for name in node["depends_on"]["nodes"]
    }
    tested |= {unit["model"] for unit in manifest["unit_tests"].values()}
    wrong = []
    for name, node in _models(manifest).items():
        meta = node["config"].get("meta") or {}
        wrong += [f"{name}: no description"] if len(node["description"].strip()) < 20 else []
        wrong += [f"{name}: no meta.grain"] if not meta.get("grain") else []
        wrong += [f"{name}: no test"] if name not in tested else []
    assert wrong == []


def test_every_dim_fct_and_feat_has_an_enforced_contract_with_described_columns(
    manifest: Mapping[str, Any],
) -> None:
    marts = {
        name: node for name, node in _models(manifest).items() if name.startswith(("dim_", "fct_", "feat_"))
    }
    assert len(marts) >= 10
    assert [name for name, node in marts.items() if not node["config"]["contract"]["enforced"]] == []
    assert [
        f"{name}.{column['name']}"
        for name, node in marts.items()
        for column in node["columns"].values()
        if not column["description"] or not column["data_type"]
    ] == []


def _published(node: Mapping[str, Any]) -> dict[str, str]:
    """Columns and their types; those of the pipeline (`_…`) stay in the warehouse."""
    columns = node["columns"].values()
    return {each["name"]: each["data_type"] for each in columns if not each["name"].startswith("_")}


def test_the_yaml_lies_beside_the_sql(manifest: Mapping[str, Any]) -> None:
    wrong = []
    for name, node in _models(manifest).items():
        sql = Path(node["original_file_path"])
        patch = Path(str(node["patch_path"]).split("://")[-1])
        if patch != sql.with_suffix(".yml"):
            wrong.append(f"{name}: {patch} is not beside {sql}")
    assert wrong == []


def test_a_feast_view_has_the_columns_and_types_of_its_contract(
    manifest: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tables = feature_tables(manifest)
    assert {"feat_customer_traits", "feat_customer_genome", "feat_offer_dna"} <= set(tables)
    settings = make_settings(tmp_path_factory.mktemp("views") / "home")
    views = feast_views(settings, tables, {}, feast_entities())
    models = _models(manifest)
    for name, table in tables.items():
        contract = _published(models[name])
        bookkeeping = {table.join_key, "valid_at", "known_at"}
        assert {field.name: field.dtype for field in views[name].features} == {
            column: feature_type(name, column, data_type).feast()
            for column, data_type in contract.items()
            if column not in bookkeeping
        }


def test_the_gate_and_the_reference_page_know_the_same_columns(manifest: Mapping[str, Any]) -> None:
    gated = contracts(manifest, "genome") | contracts(manifest, "scores")
    models = _models(manifest)
    published = {
        (node["config"]["meta"]["publish"].get("name", name)): name
        for name, node in models.items()
        if (node["config"].get("meta") or {}).get("publish")
    }
    assert len(published) >= 8
    for table, name in published.items():
        contract = _published(models[name])
        assert [column.name for column in gated[table].columns] == list(contract)
        documented = _documented(name)
        assert {each: documented[each] for each in contract} == contract
        assert all(each.startswith("_") for each in documented.keys() - contract.keys())


def test_every_rule_of_a_suite_can_be_asked_of_its_contract(manifest: Mapping[str, Any]) -> None:
    published = contracts(manifest, "genome") | contracts(manifest, "scores")
    assert len(suites()) > 5
    for table, suite in suites().items():
        types = {column.name: column.arrow for column in published[table].columns}
        for rule in suite.expectations:
            kinds = {column: kind(column, types) for column in rule.columns()}
            assert None not in kinds.values(), (table, kinds)
            assert objection(rule.asked, {column: str(found) for column, found in kinds.items()}) == "", table
