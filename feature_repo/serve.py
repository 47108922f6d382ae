"""Registering the views, and filling the online store with the newest row of each entity.

The load writes Feast's own layout, so that Feast's SDK and feature server read it like the result of
`materialize`, which is not used (docs/adr/online-serving.md): it marks views as MATERIALIZING, on which
online reads fail; it skips rows as old as the stored ones, so a corrected build would never appear; it cannot
remove a customer; and it costs many times the CPU.

What a reader may see at any moment: each entity's row of a view is of one epoch (one HSET writes it whole).
While a load runs, some entities are of the new epoch and some of the old one. The catalogue changes last.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_repo.contract import FeatureTable, feature_tables, read_manifest
from feature_repo.entities import feast_entities
from feature_repo.loader import retire_fields, write_view
from feature_repo.services import definitions, feast_services
from feature_repo.store import feature_store, registered_services
from feature_repo.views import feast_views, publications, source_path
from genome import clock
from genome.errors import GenomeError, UsageError
from genome.features.definitions import (
    CATALOGUE,
    GENERATION,
    Catalogue,
    LoadedView,
    ServiceDefinition,
    ViewDefinition,
    feature_hash,
    metadata_key,
)
from genome.features.joins import retire_customers, write_customers
from genome.features.live import GENOME_VIEW
from genome.features.online import PROJECT, read_catalogue
from genome.lake.publish import Publication
from genome.settings import Settings
from genome.stores import valkey
from genome.stream.deltas import wait_for_deltas
from genome.stream.epoch import identity_map

if TYPE_CHECKING:
    import redis
    from feast import FeatureStore, FeatureView

_LOADER = f"{metadata_key(PROJECT)}:loader"
_LOCK_SECONDS = 60.0  # a loader that dies gives way after this; one that lives renews it at each step


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """What is registered.

    Attributes:
        views: the feature views.
        services: service -> the hash of its feature list.
        retired: views and services that were registered and are no more.
    """

    views: tuple[str, ...]
    services: Mapping[str, str]
    retired: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """What a task returns."""
        return {"views": list(self.views), "services": dict(self.services), "retired": list(self.retired)}


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What the online store holds after a load.

    Attributes:
        loaded: the views that were loaded.
        removed: view -> entities that had a row and have none any more.
        unpublished: views that have no publication yet.
        seconds: how long it took.
    """

    loaded: tuple[LoadedView, ...]
    removed: Mapping[str, int]
    unpublished: tuple[str, ...]
    seconds: float

    def summary(self) -> dict[str, Any]:
        """What a task returns."""
        return {
            "rows": {each.view: each.rows for each in self.loaded},
            "epochs": {each.view: each.epoch for each in self.loaded},
            "removed": dict(self.removed),
            "unpublished": list(self.unpublished),
            "seconds": round(self.seconds, 3),
        }


# Registering


def apply(settings: Settings) -> ApplyReport:
    """Register entities, views and services as the dbt contracts and the current publications say.

    Raises:
        GenomeError: a column without a map to Feast, or a published table that is not as its contract says.
    """
    tables = feature_tables(read_manifest(settings))
    services = definitions(tables)
    published = publications(settings)
    for table in tables.values():
        if table.name in published:
            _check_published(table, published[table.name])
    with feature_store(settings) as store:
        entities = feast_entities()
        views = feast_views(settings, tables, published, entities)
        feast_service_objects = feast_services(views)
        retired: list[Any] = [
            *(each for each in store.list_feature_services() if each.name not in feast_service_objects),
            *(each for each in store.list_feature_views() if each.name not in views),
        ]
        store.apply(
            [*entities.values(), *views.values(), *feast_service_objects.values()],
            objects_to_delete=retired,
            partial=not retired,
        )
    return ApplyReport(
        tuple(views),
        {service.name: feature_hash(service) for service in services},
        tuple(each.name for each in retired),
    )


def _check_published(table: FeatureTable, publication: Publication) -> None:
    """The published Parquet against the contract: a build that failed may have changed only one of them."""
    import pyarrow.parquet as pq

    for path in publication.written(table.name):
        schema = pq.read_schema(path)
        for column in table.columns:
            place = schema.get_field_index(column.name)
            found = str(schema.field(place).type) if place >= 0 else "missing"
            if place < 0 or not column.type.holds(schema.field(place).type):
                raise GenomeError(
                    f"{table.name}.{column.name} is {column.type.kind} in the contract and {found} in "
                    f"publication {publication.epoch}.",
                    "Build and publish anew: `genome build`.",
                )


def registered_catalogue(settings: Settings, store: "FeatureStore") -> tuple[ServiceDefinition, ...]:
    """The services in the registry; registered first where what is published now has not been."""
    published = publications(settings)
    sources = {view.name: _path(view) for view in store.list_feature_views()}
    if not sources or any(
        path != str(source_path(settings, view, published.get(view))) for view, path in sources.items()
    ):
        apply(settings)
        store.refresh_registry()
    return registered_services(store)


def _path(view: "FeatureView") -> str | None:
    from feast import FileSource

    return view.batch_source.path if isinstance(view.batch_source, FileSource) else None


# Loading


def load_online(settings: Settings, views: Sequence[str] | None = None) -> LoadReport:
    """Write the newest row of each entity into the online store, and remove entities that have none.

    The newest row is the one that a point-in-time join at the present instant would give: valid and known
    by now, the latest of these. Equal and older instants are overwritten. Loading twice changes nothing.

    Args:
        settings: where things are.
        views: some views; None: all.

    Raises:
        GenomeError: nothing is published, a view is unknown, or a published table breaks its contract.
    """
    from redis.exceptions import LockError

    began = time.monotonic()
    with feature_store(settings) as store:
        services = registered_catalogue(settings, store)
    known = {view.name: view for view in Catalogue(project=PROJECT, services=services).views}
    wanted = list(known) if views is None else list(views)
    for name in wanted:
        if name not in known:
            raise UsageError(f"There is no feature view '{name}'.", f"There is: {', '.join(known)}.")
    genome = publications(settings).get(GENOME_VIEW)
    if genome is not None and GENOME_VIEW in wanted:
        # Rows of the new build want its live deltas: else what has just happened would vanish for a moment.
        wait_for_deltas(settings, genome.epoch)
    try:
        with valkey.connect(settings, "online") as client, client.lock(_LOADER, _LOCK_SECONDS) as lock:
            loaded, removed = _load(settings, client, services, wanted, lock.reacquire)
    except LockError as error:
        raise GenomeError(
            "The load stood still for so long that another loader may have begun.",
            "Load again: `genome serve-features`.",
        ) from error
    unpublished = tuple(name for name in wanted if name not in removed)
    return LoadReport(loaded, removed, unpublished, time.monotonic() - began)


def ensure_loaded(settings: Settings) -> LoadReport | None:
    """Load what is published and not in the online store, which forgets when its server ends.

    For services at their start: Feast is imported only where something has to be loaded.

    Returns:
        What was loaded; None where everything was there, or nothing is published.
    """
    published = publications(settings)
    if not published:
        return None
    with valkey.connect(settings, "online") as client:
        found = read_catalogue(client)
    if found:
        held = {each.view: each.epoch for each in found[1].loaded}
        behind = [
            view.name
            for view in found[1].views
            if view.name in published and held.get(view.name) != published[view.name].epoch
        ]
        return load_online(settings, behind) if behind else None
    return load_online(settings)


def _load(
    settings: Settings,
    client: "redis.Redis",
    services: tuple[ServiceDefinition, ...],
    wanted: Sequence[str],
    step: Callable[[], object],
) -> tuple[tuple[LoadedView, ...], dict[str, int]]:
    known = {view.name: view for view in Catalogue(project=PROJECT, services=services).views}
    published = publications(settings)  # read under the lock: the last loader has the newest
    if not published:
        raise GenomeError("Nothing is published yet.", "Run `genome build`.")
    found = read_catalogue(client)
    before = {view.name: view for view in found[1].views} if found else {}
    retire_fields(client, tuple(before.values()), tuple(known.values()), step)
    # A view whose contract has changed goes along: the catalogue must not say what the rows do not hold.
    changed = [name for name, view in known.items() if name in before and before[name] != view]
    loaded: dict[str, LoadedView] = {}
    removed: dict[str, int] = {}
    for name in dict.fromkeys([*wanted, *changed]):
        if name in published:
            loaded[name], removed[name] = _load_view(settings, client, known[name], published[name], step)
    kept = {each.view: each for each in (found[1].loaded if found else ()) if each.view in known}
    if GENOME_VIEW in loaded and "fct_customer_keys" in (genome := published[GENOME_VIEW]).tables:
        write_customers(client, genome.epoch, *identity_map(genome), step)
    catalogue = Catalogue(project=PROJECT, services=services, loaded=tuple((kept | loaded).values()))
    metadata = {GENERATION: secrets.token_hex(8), CATALOGUE: catalogue.model_dump_json()}
    client.hset(metadata_key(PROJECT), mapping=metadata)
    # A request that has just begun may still read the map of the build before.
    retire_customers(client, {each[GENOME_VIEW].epoch for each in (kept, loaded) if GENOME_VIEW in each})
    return tuple(loaded.values()), removed


def _load_view(
    settings: Settings,
    client: "redis.Redis",
    view: ViewDefinition,
    publication: Publication,
    step: Callable[[], object],
) -> tuple[LoadedView, int]:
    as_of = clock.now(settings)
    rows, removed = write_view(client, view, publication.files(view.name), as_of, step, publication.epoch)
    loaded = LoadedView(
        view=view.name,
        epoch=publication.epoch,
        published_at=publication.published_at,
        as_of=as_of,
        loaded_at=clock.now(settings),
        rows=rows,
    )
    return loaded, removed
