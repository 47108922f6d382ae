"""The feature services: which views an ML model or a page reads, under a name both training and serving use.

A service is a version: a trained ML model names the service it was trained with, and `feature_hash` says
whether the list is still the same. A new list is a new service (`next_best_offer_v2`), beside the old one
while that serves.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from feature_repo.contract import FeatureTable
from genome.errors import GenomeError
from genome.features.definitions import (
    FeatureDefinition,
    ServiceDefinition,
    ViewDefinition,
    feature_hash,
)

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView

__all__ = ["SERVICES", "definitions", "feast_services", "feature_hash"]

SERVICES: dict[str, tuple[tuple[str, ...], str]] = {
    "next_best_offer_v1": (
        ("feat_customer_traits", "feat_customer_genome", "feat_customer_purchases", "feat_offer_dna"),
        "What the ML model next_best_offer reads: the customer's state and the offer's.",
    ),
    "customer_genome_v1": (
        ("feat_customer_traits", "feat_customer_genome", "feat_customer_offer_scores"),
        "One customer for decisions and pages: genome, traits, and the best offers so far.",
    ),
    "offers_v1": (
        ("feat_offer_dna",),
        "Offers for decisions and explanations.",
    ),
}
"""service -> (its views, what it is for)."""


def definitions(tables: Mapping[str, FeatureTable]) -> tuple[ServiceDefinition, ...]:
    """The services over the feature tables that there are.

    Raises:
        GenomeError: a service names what is no feature table, or two of its views name a feature alike.
    """
    return tuple(_definition(name, views, tables) for name, (views, _) in SERVICES.items())


def _definition(
    service: str, names: tuple[str, ...], tables: Mapping[str, FeatureTable]
) -> ServiceDefinition:
    views = []
    owners: dict[tuple[str, str], str] = {}
    for name in names:
        table = tables.get(name)
        if table is None:
            raise GenomeError(
                f"Feature service '{service}' names {name}, which is no feature table of the dbt project.",
                "Give the dbt model meta.feast, or take it out of feature_repo/services.py.",
            )
        for column in table.columns:
            other = owners.setdefault((table.entity, column.name), name)
            if other != name:
                raise GenomeError(
                    f"Feature service '{service}': {other} and {name} both hold '{column.name}'.",
                    "Give one of the columns another name: readers know features by name.",
                )
        views.append(
            ViewDefinition(
                name=table.name,
                entity=table.entity,
                join_key=table.join_key,
                ttl=table.ttl,
                features=tuple(
                    FeatureDefinition(name=column.name, kind=column.type.kind) for column in table.columns
                ),
            )
        )
    return ServiceDefinition(name=service, views=tuple(views))


def feast_services(views: Mapping[str, "FeatureView"]) -> "dict[str, FeatureService]":
    """The services as Feast takes them."""
    from feast import FeatureService

    return {
        name: FeatureService(name=name, features=[views[view] for view in names], description=about)
        for name, (names, about) in SERVICES.items()
    }
