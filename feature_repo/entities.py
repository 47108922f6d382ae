"""Whom features are about. A dbt model names its entity in `meta.feast.entity`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feast import Entity


@dataclass(frozen=True, slots=True)
class EntityDefinition:
    """One entity and the column that holds its id."""

    name: str
    join_key: str
    description: str


ENTITIES: dict[str, EntityDefinition] = {
    each.name: each
    for each in (
        EntityDefinition("customer", "customer_id", "One person, over all channels and source keys."),
        EntityDefinition("offer", "offer_id", "One thing that can be offered, within its dates."),
    )
}


def feast_entities() -> dict[str, "Entity"]:
    """The entities as Feast takes them, by name."""
    from feast import Entity, ValueType

    return {
        each.name: Entity(
            name=each.name,
            join_keys=[each.join_key],
            value_type=ValueType.STRING,
            description=each.description,
        )
        for each in ENTITIES.values()
    }
