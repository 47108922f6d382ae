from collections.abc import Mapping
from typing import Any

import pytest
from support import features

from feature_repo.contract import feature_tables
from feature_repo.services import SERVICES, definitions, feature_hash
from genome.errors import GenomeError
from genome.features.definitions import ServiceDefinition


@pytest.fixture(autouse=True)
def _services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_repo.services.SERVICES", features.SERVICES)


def service(name: str = "next_best_offer_v1", **changed: Mapping[str, str]) -> ServiceDefinition:
    found = definitions(feature_tables(features.manifest(**changed)))
    return {each.name: each for each in found}[name]


def columns(table: str, **changed: Any) -> dict[str, str]:
    return {**features.CONTRACTS[table][1], **changed}


def test_the_hash_of_a_feature_list_changes_with_any_feature_or_type_and_with_nothing_else() -> None:
    as_it_is = feature_hash(service())
    assert len(as_it_is) == 64
    turned = dict(reversed(columns("feat_offer_dna").items()))
    assert feature_hash(service(feat_offer_dna=turned)) == as_it_is
    assert feature_hash(service(feat_offer_dna=columns("feat_offer_dna", extra="double"))) != as_it_is
    assert feature_hash(service(feat_offer_dna=columns("feat_offer_dna", label="bigint"))) != as_it_is
    assert feature_hash(service("customer_genome_v1")) != as_it_is


def test_a_service_that_names_no_feature_table_is_refused() -> None:
    manifest = features.manifest()
    del manifest["nodes"]["model.customer_genome.feat_offer_dna"]
    with pytest.raises(
        GenomeError, match="'next_best_offer_v1' names feat_offer_dna, which is no feature table"
    ):
        definitions(feature_tables(manifest))


def test_two_views_of_one_entity_with_the_same_feature_are_refused() -> None:
    with pytest.raises(
        GenomeError, match="feat_customer_traits and feat_customer_genome both hold 'order_count'"
    ):
        service(feat_customer_genome=columns("feat_customer_genome", order_count="bigint"))


def test_customers_and_offers_may_name_a_feature_alike() -> None:
    alike = {feature.name for view in service().of("customer") for feature in view.features} & {
        feature.name for view in service().of("offer") for feature in view.features
    }
    assert alike == {"gene_hashes"}


def test_a_service_has_no_features_of_an_entity_that_it_does_not_name() -> None:
    with pytest.raises(GenomeError, match="'offers_v1' holds nothing about 'customer'"):
        service("offers_v1").of("customer")


def test_every_service_of_the_project_is_a_version() -> None:
    assert {name.rpartition("_v")[2].isdigit() for name in SERVICES} == {True}
    assert SERVICES is not features.SERVICES
