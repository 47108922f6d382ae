"""Online = offline: the direct reader, Feast's SDK and the point-in-time join give the same features."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from feature_repo.services import feature_hash
from feature_repo.store import feature_store, registered_services
from feature_repo.training import historical_table
from feature_repo.views import publications
from genome.errors import GenomeError
from genome.features.definitions import Catalogue, ViewDefinition
from genome.features.online import PROJECT, OnlineReader
from genome.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore

_IDS_AT_ONCE = 100  # the SDK makes one Python object for each item of each list
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """One feature of one entity on which two sides do not agree (its values are left out: personal data)."""

    entity: str
    id: str
    feature: str
    sides: str


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What was compared and what differs.

    Attributes:
        service: the feature service.
        as_of: the instant at which the offline side was asked.
        entities: entity -> how many were compared.
        values: how many values were compared (a list counts as one).
        unknown: entities that the online store has no row of.
        differences: how many values differ between any two sides.
        examples: the first of them.
        feature_hash: of the list that serving reads.
        registered_hash: of the list that training reads.
    """

    service: str
    as_of: datetime
    entities: dict[str, int]
    values: int
    unknown: int
    differences: int
    examples: tuple[Difference, ...]
    feature_hash: str
    registered_hash: str

    @property
    def is_equal(self) -> bool:
        """Whether all sides agree, on values and on the list of features."""
        return self.differences == 0 and self.feature_hash == self.registered_hash

    def summary(self) -> dict[str, Any]:
        """What a task returns."""
        return {
            "service": self.service,
            "as_of": self.as_of.isoformat(),
            "entities": self.entities,
            "values": self.values,
            "unknown": self.unknown,
            "differences": self.differences,
            "examples": [f"{each.feature} of {each.id}: {each.sides}" for each in self.examples],
            "is_equal": self.is_equal,
        }


def compare(
    settings: Settings, customers: "int | Sequence[str]", *, service: str = "next_best_offer_v1"
) -> ParityReport:
    """Compare the three ways to read a service: directly, through Feast's SDK, and by the offline join.

    Args:
        settings: where things are.
        customers: their ids, or how many to sample (the same ones each time). All offers are compared too,
            where the service has views of them.
        service: the feature service.

    Raises:
        GenomeError: nothing is loaded, or what is loaded is not what is published now.
    """
    entities: dict[str, int] = {}
    differences: list[Difference] = []
    values = unknown = 0
    with OnlineReader(settings) as reader, feature_store(settings) as store:
        catalogue = reader.catalogue()
        definition = catalogue.service(service)
        as_of = _as_of(settings, catalogue, definition.views)
        for entity in dict.fromkeys(view.entity for view in definition.views):
            views = definition.of(entity)
            ids = _ids(settings, views[0], customers if entity == "customer" else None)
            names = [feature.name for view in views for feature in view.features]
            entities[entity], values = len(ids), values + len(ids) * len(names)
            offline = _offline(settings, service, views[0].join_key, ids, as_of)
            for begin in range(0, len(ids), _IDS_AT_ONCE):
                some = ids[begin : begin + _IDS_AT_ONCE]
                through_sdk = _sdk(store, views, some)
                for place, row in enumerate(reader.read(service, entity, some).rows):
                    unknown += not row.is_known
                    for view in views:
                        event_at = row.event_at[view.name]
                        expired = event_at is not None and as_of - event_at > view.ttl
                        for name in (feature.name for feature in view.features):
                            sides = _disagreeing(
                                _plain(row.values[name]),
                                _plain(through_sdk[name][place]),
                                _plain(offline[name][begin + place]),
                                expired=expired,
                            )
                            if sides:
                                differences.append(Difference(entity, row.id, name, sides))
        registered = Catalogue(project=PROJECT, services=registered_services(store)).service(service)
    return ParityReport(
        service,
        as_of,
        entities,
        values,
        unknown,
        len(differences),
        tuple(differences[:_EXAMPLES]),
        feature_hash(definition),
        feature_hash(registered),
    )


def _as_of(settings: Settings, catalogue: Catalogue, views: Sequence[ViewDefinition]) -> datetime:
    loaded = {each.view: each for each in catalogue.loaded}
    published = publications(settings)
    for view in views:
        held = loaded[view.name].epoch if view.name in loaded else "nothing"
        wanted = published[view.name].epoch if view.name in published else "nothing"
        if held == "nothing" or held != wanted:
            raise GenomeError(
                f"The online store holds {held} of {view.name}; published is {wanted}.",
                "Fill the store: `genome serve-features`.",
            )
    return max(loaded[view.name].as_of for view in views)


def _ids(settings: Settings, view: ViewDefinition, wanted: "int | Sequence[str] | None") -> list[str]:
    if wanted is not None and not isinstance(wanted, int):
        return list(wanted)
    import numpy as np
    import pyarrow.compute as pc

    column = publications(settings)[view.name].read(view.name, [view.join_key]).column(view.join_key)
    found = pc.unique(column).to_pylist()
    ids: np.ndarray = np.array(sorted(found), dtype=object)
    if wanted is not None and wanted < len(ids):
        ids = np.random.default_rng(0).choice(ids, wanted, replace=False)
    return [str(each) for each in ids]


def _offline(
    settings: Settings, service: str, join_key: str, ids: list[str], as_of: datetime
) -> dict[str, Any]:
    import pandas as pd

    spine = pd.DataFrame({join_key: ids, "label_at": pd.to_datetime([as_of] * len(ids), utc=True)})
    table = historical_table(settings, spine, service)
    return {name: table.column(name) for name in table.column_names}


def _sdk(store: "FeatureStore", views: Sequence[ViewDefinition], ids: list[str]) -> dict[str, list[Any]]:
    answer = store.get_online_features(
        features=[f"{view.name}:{feature.name}" for view in views for feature in view.features],
        entity_rows=[{views[0].join_key: each} for each in ids],
    )
    return answer.to_dict()


def _disagreeing(direct: Any, sdk: Any, offline: Any, *, expired: bool) -> str:
    sides = [] if _same(direct, sdk) else ["direct ≠ SDK"]
    # Past its ttl the offline side shows nothing; online the value is given, and said to be stale.
    if not _same(None if expired else direct, offline):
        sides.append("online ≠ offline")
    return ", ".join(sides)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list) and one != other:
        return len(one) == len(other) and all(
            _same(_plain(a), _plain(b)) for a, b in zip(one, other, strict=True)
        )
    return bool(one == other)


def _plain(value: Any) -> Any:
    """A value of any side as plain Python, so that equal ones compare equal: NaN is missing."""
    import numpy as np

    if hasattr(value, "as_py"):
        value = value.as_py()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, tuple):
        value = list(value)
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124
