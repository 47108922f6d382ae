"""The house rules of the dbt project, as checks: names, words, grain, tests, portability."""

import re
from pathlib import Path
from typing import Any

import pytest

from genome.export import BUILD_NUMBER, ExportedTable
from genome.settings import PROJECT_ROOT, Settings
from genome.warehouse import LAYERS, manifest

PROJECT = PROJECT_ROOT / "dbt_project"
NAMES = re.compile(r"^(stg_[a-z_]+__[a-z_]+|int_[a-z_]+|dim_[a-z_]+|fct_[a-z_]+|feat_[a-z]+_[a-z_]+)$")
# What Spark spells in another way (docs: PITFALLS of the stack); it belongs into a dispatched macro.
NOT_PORTABLE = re.compile(
    r"\b(date_diff|datediff|date_add|dayofweek|isodow|strftime|epoch_us|epoch_ms|epoch|arg_max|arg_min|asof"
    r"|exclude|unnest|generate_series|hash|sha256|json_extract\w*|json_transform|list_\w+|array_\w+|struct_pack"
    r"|timezone|interval|timestamptz|varchar|read_parquet|read_json)\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="session")
def nodes(world: Settings) -> dict[str, Any]:
    found: dict[str, Any] = dict(manifest(world)["nodes"])
    return found


def models(nodes: dict[str, Any]) -> list[dict[str, Any]]:
    found = [node for node in nodes.values() if node["resource_type"] == "model"]
    assert len(found) > 30, "the checks would pass on nothing"
    return found


def sql_files() -> list[Path]:
    found = sorted((PROJECT / "models").rglob("*.sql"))
    assert len(found) > 30, "the checks would pass on nothing"
    return found


def test_every_dbt_model_has_its_yaml_beside_it() -> None:
    assert [path.name for path in sql_files() if not path.with_suffix(".yml").exists()] == []


def test_every_dbt_model_is_named_by_its_layer() -> None:
    assert [path.stem for path in sql_files() if not NAMES.match(path.stem)] == []


def test_the_layers_are_the_folders() -> None:
    assert set(LAYERS) - {"seeds"} == {path.name for path in (PROJECT / "models").iterdir() if path.is_dir()}


def test_every_dbt_model_has_a_description_and_a_grain(nodes: dict[str, Any]) -> None:
    wrong = [
        node["name"]
        for node in models(nodes)
        if len(node["description"]) < 20 or not node["config"]["meta"].get("grain")
    ]
    assert wrong == []


def test_every_dbt_model_has_a_test(world: Settings, nodes: dict[str, Any]) -> None:
    tested = {
        parent
        for node in nodes.values()
        if node["resource_type"] == "test"
        for parent in node["depends_on"]["nodes"]
    }
    # A data test of a view makes the view again: a unit test is a test, too.
    units = {unit["model"] for unit in manifest(world)["unit_tests"].values()}
    assert [
        node["name"]
        for node in models(nodes)
        if node["unique_id"] not in tested and node["name"] not in units
    ] == []


def test_what_readers_see_has_an_enforced_contract_in_words(nodes: dict[str, Any]) -> None:
    wrong = []
    for node in models(nodes):
        if node["name"].startswith(("dim_", "fct_", "feat_")):
            if not node["config"]["contract"]["enforced"]:
                wrong.append(f"{node['name']}: contract")
            wrong += [
                f"{node['name']}.{column['name']}"
                for column in node["columns"].values()
                if not column["data_type"] or len(column["description"]) < 5
            ]
    assert wrong == []


def test_only_contracts_are_published(nodes: dict[str, Any]) -> None:
    published = [node for node in nodes.values() if node["config"].get("meta", {}).get("publish")]
    assert len(published) >= 10
    assert [
        node["name"]
        for node in published
        if node["resource_type"] == "model" and not node["config"]["contract"]["enforced"]
    ] == []


def test_deltas_name_columns_and_keys_that_there_are(nodes: dict[str, Any]) -> None:
    columns = {node["name"]: set(node["columns"]) for node in models(nodes)}
    told = [each for each in (ExportedTable.of_node(node) for node in nodes.values()) if each and each.delta]
    assert len(told) >= 8
    for table in told:
        assert table.delta is not None
        named = {table.delta.key, BUILD_NUMBER, table.genes, *table.order_by}
        named |= {lasts.by for lasts in table.lasts.values()}
        assert named - {None} <= columns[table.model], table.model
        assert table.delta.keys is None or table.delta.keys in columns, table.model
        assert table.delta.keys or not (table.delta.whole_only or table.delta.again), table.model


def test_what_engines_spell_differently_stays_in_macros() -> None:
    wrong = []
    for path in sql_files():
        text = re.sub(r"\{#.*?#\}|--[^\n]*", "", path.read_text(), flags=re.DOTALL)
        # A macro's name may hold such a word: what is called is ours.
        text = re.sub(r"\{\{-?\s*\w+", "", text)
        # A key in quotes and a column's name are data, not an engine's function.
        text = re.sub(r"'[^'\n]*'|\blist_price_amount\b", "", text)
        wrong += [
            f"{path.name}: {found}"
            for found in NOT_PORTABLE.findall(re.sub(r"\b(list_field|sorted_rows)\(", "", text))
        ]
    assert wrong == []


def test_a_build_uses_each_interaction_once() -> None:
    # A build that continues the one before reads what it is the first to know (docs/incremental.md). These look
    # through all interactions: by build, or once a month.
    of_everybody = {
        "fct_interaction_counts",
        "int_build_premises",
        "int_interactions_known",
        "int_keys_seen",
        "int_product_sales",
        "int_purchases_related",
    }
    reading = {path.stem for path in sql_files() if "ref('fct_interactions')" in path.read_text()}
    assert reading == of_everybody


def macros() -> dict[str, str]:
    """Our macros, without the ones that a dispatch chooses from, with the text before each."""
    found = {}
    for path in sorted((PROJECT / "macros").glob("*.sql")):
        text = path.read_text()
        for match in re.finditer(r"\{% macro (\w+)\(", text):
            if "__" not in match[1]:
                found[match[1]] = text[: match.start()].rstrip()
    assert len(found) > 15
    return found


def test_every_macro_says_what_it_does() -> None:
    assert [name for name, before in macros().items() if not before.endswith("#}")] == []


def test_every_macro_has_a_test() -> None:
    # These read the build's inputs: every build is their test (tests/test_warehouse.py), and what is kept from one
    # build to the next is compared with a build of everything (test_incremental_is_full.py).
    by_building = {"lake", "empty_source", "build_clock", "business_timezone", "staged_channels"}
    by_building |= {"continues", "build_said", "landed_since", "became_known", "before"}
    by_building |= {"forget_touched", "forget_evidence_gone", "expressed_sums", "label_times"}
    by_building |= {
        "in_bucket",
        "bucket_bounds",
        "other_buckets",
    }  # test_buckets.py compares them with one statement for all
    tests = "\n".join(path.read_text() for path in (PROJECT / "tests" / "macros").glob("*.sql"))
    assert [name for name in macros() if name not in by_building and f"{name}(" not in tests] == []


def test_every_macro_that_a_dbt_model_calls_has_a_stand_in_for_the_linter() -> None:
    stubs = set(re.findall(r"^(\w+) = \{% macro", (PROJECT_ROOT / ".sqlfluff").read_text(), re.MULTILINE))
    text = "\n".join(path.read_text() for path in sql_files())
    called = {name for name in macros() if re.search(rf"\b{name}\(", text)}
    assert called - stubs == set()
    assert stubs - set(macros()) == {"env_var"}, "dbt's own, which sqlfluff does not know"


def test_unit_tests_cover_what_the_mathematics_rests_on(world: Settings) -> None:
    tested = {unit["model"] for unit in manifest(world)["unit_tests"].values()}
    assert {
        "int_evidence_weighed",
        "int_evidence_taken_back",
        "int_gene_sums",
        "int_gene_states",
        "int_orders_summed",
        "int_price_tiers_dated",
        "int_customer_genomes",
        "int_customer_genes",
        "fct_offer_outcomes",
    } <= tested


def test_what_is_decayed_says_by_which_half_life_it_goes_on_fading(nodes: dict[str, Any]) -> None:
    # Rows are published as the build made them that last touched a customer: a reader brings them forward by this.
    decayed = {
        f"{node['name']}.{name}": (int(half_life[1]), column["config"]["meta"].get("fades"))
        for node in models(nodes)
        # what describes the past is as it was
        if not (node["config"]["meta"].get("publish", {}).get("delta") or {"whole_only": True}).get(
            "whole_only"
        )
        for name, column in node["columns"].items()
        if (half_life := re.search(r"_h(\d+)_sum$", name))
    }
    assert len(decayed) > 8
    assert {name for name, (named, said) in decayed.items() if named != said} == set()
