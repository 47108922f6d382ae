from datetime import timedelta
from typing import Any

import pytest
from support import features

from feature_repo.contract import feature_tables, read_manifest
from feature_repo.services import SERVICES, definitions
from genome.errors import GenomeError
from genome.settings import Settings


def one(name: str = "feat_x", meta: dict[str, Any] | None = None, **columns: str) -> dict[str, Any]:
    keys = {"customer_id": "varchar", "valid_at": "timestamptz", "known_at": "timestamptz"}
    return {
        "nodes": {"m": features.node(name, meta or {"entity": "customer", "ttl_days": 7}, keys | columns)}
    }


def test_tables_with_feast_meta_are_feature_tables_and_others_are_not() -> None:
    tables = feature_tables(features.manifest())
    assert list(tables) == sorted(features.CONTRACTS)
    traits = tables["feat_customer_traits"]
    assert (traits.entity, traits.join_key, traits.ttl) == ("customer", "customer_id", timedelta(days=7))
    assert [(column.name, column.type.kind) for column in traits.columns] == [
        ("first_order_at", "UNIX_TIMESTAMP"),
        ("order_count", "INT64"),
        ("store_count", "INT32"),
        ("amount_h28_sum", "DOUBLE"),
        ("price_tier_level", "FLOAT"),
        ("age_band", "STRING"),
        ("is_member", "BOOL"),
    ]
    assert traits.columns[0].description == "The first_order_at."


def test_every_feature_table_of_the_dbt_project_can_be_served_and_every_service_be_made(
    settings: Settings,
) -> None:
    """The project's own contracts, as dbt reads them."""
    document = read_manifest(settings)
    tables = feature_tables(document)
    said = {node["name"] for node in document["nodes"].values() if node["name"].startswith("feat_")}
    assert set(tables) == said
    assert len(tables) >= 4
    for table in tables.values():
        (node,) = (each for each in document["nodes"].values() if each["name"] == table.name)
        served = {column.name for column in table.columns} | {table.join_key, "valid_at", "known_at"}
        assert served == {name for name in node["columns"] if not name.startswith("_")}
        assert {column.name for column in table.columns if not column.description} == set()
    assert {service.name for service in definitions(tables)} == set(SERVICES)


def test_meta_beside_config_is_read_too() -> None:
    document = one(spent="double")
    node = document["nodes"]["m"]
    node["meta"] = node["config"].pop("meta")
    assert list(feature_tables(document)) == ["feat_x"]


@pytest.mark.parametrize(
    ("document", "what"),
    [
        (one(meta={"entity": "shop", "ttl_days": 7}), "meta.feast.entity is 'shop'"),
        (one(meta={"entity": "customer"}), "meta.feast.ttl_days is None"),
        (one(meta={"entity": "customer", "ttl_days": 0}), "meta.feast.ttl_days is 0"),
        (one(valid_at="date"), "feat_x.valid_at has type 'date'"),
        (one(known_at="varchar"), "needs known_at as timestamptz .its contract says varchar"),
        (
            one(meta={"entity": "offer", "ttl_days": 7}),
            "needs offer_id as varchar .its contract says nothing",
        ),
        (one(spent_y="double"), "feat_x.spent_y ends in '_y'"),
        (one(spent="decimal(9,2)"), "feat_x.spent has type 'decimal"),
    ],
)
def test_a_table_that_could_not_be_served_as_it_says_is_refused(document: dict[str, Any], what: str) -> None:
    with pytest.raises(GenomeError, match=what):
        feature_tables(document)


def test_a_feature_table_without_an_enforced_contract_is_refused() -> None:
    document = one(spent="double")
    document["nodes"]["m"]["config"]["contract"]["enforced"] = False
    with pytest.raises(GenomeError, match="feat_x is a feature table without an enforced contract"):
        feature_tables(document)
