"""What is served: views, services, and which version of each view is loaded.

The loader takes this from Feast's registry and writes it beside the features, so that a reader learns what it
may ask for, and with which types, from the store itself: definitions and data change together, and reading
needs no Feast.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict

from genome.errors import GenomeError

ValueKind = Literal[
    "STRING",
    "INT32",
    "INT64",
    "FLOAT",
    "DOUBLE",
    "BOOL",
    "UNIX_TIMESTAMP",
    "STRING_LIST",
    "INT32_LIST",
    "INT64_LIST",
    "FLOAT_LIST",
    "DOUBLE_LIST",
]
"""The types that are served, by the names of Feast's `ValueType`."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureDefinition(_Frozen):
    """One feature: its name in its view, and its type."""

    name: str
    kind: ValueKind


class ViewDefinition(_Frozen):
    """One feature view: a published `feat_` table, keyed by one entity.

    Attributes:
        name: the dbt model's name.
        entity: customer or offer.
        join_key: the column that holds the entity's id.
        ttl: how long a row may be served before it counts as stale.
        features: in the contract's order.
    """

    name: str
    entity: str
    join_key: str
    ttl: timedelta
    features: tuple[FeatureDefinition, ...]


class ServiceDefinition(_Frozen):
    """One feature service: the list of features that an ML model or a page reads, named by both sides."""

    name: str
    views: tuple[ViewDefinition, ...]

    def of(self, entity: str) -> tuple[ViewDefinition, ...]:
        """The service's views of one entity."""
        found = tuple(view for view in self.views if view.entity == entity)
        if not found:
            has = ", ".join(sorted({view.entity for view in self.views}))
            raise GenomeError(
                f"Feature service '{self.name}' holds nothing about '{entity}'.", f"It has: {has}."
            )
        return found


class LoadedView(_Frozen):
    """Which version of a view the online store holds.

    Attributes:
        view: the view's name.
        epoch: the publication it came from.
        published_at: when that was published.
        as_of: the rows are the newest that were valid and known at this instant.
        loaded_at: when the load ended.
        rows: how many entities have a row.
    """

    view: str
    epoch: str
    published_at: datetime
    as_of: datetime
    loaded_at: datetime
    rows: int


class Catalogue(_Frozen):
    """Every service that is served, and what is loaded."""

    project: str
    services: tuple[ServiceDefinition, ...]
    loaded: tuple[LoadedView, ...] = ()

    def service(self, name: str) -> ServiceDefinition:
        """A service by its name; an error names those that there are."""
        for service in self.services:
            if service.name == name:
                return service
        has = ", ".join(sorted(each.name for each in self.services)) or "none"
        raise GenomeError(f"There is no feature service '{name}' (there is: {has}).", "Name one of these.")

    @property
    def views(self) -> tuple[ViewDefinition, ...]:
        """Every view of every service, once."""
        return tuple({view.name: view for service in self.services for view in service.views}.values())


def feature_hash(service: ServiceDefinition) -> str:
    """One hash of a service's feature list: training logs it, serving answers with it.

    It covers entity, view, feature and type, in no order (columns may change places in a contract).
    """
    listed = sorted(
        (view.entity, view.name, feature.name, feature.kind)
        for view in service.views
        for feature in view.features
    )
    return hashlib.sha256(orjson.dumps(listed)).hexdigest()


def metadata_key(project: str) -> str:
    """The key of the hash that holds the catalogue and its generation. No feature key begins like it."""
    return f"genome:online:{project}"


GENERATION = "generation"
"""Field of the metadata hash: another text after every load; a reader compares it on each read."""

CATALOGUE = "catalogue"
"""Field of the metadata hash: the `Catalogue` as JSON."""
