"""Features as they were known at given instants: the training side of the feature services."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from feature_repo.entities import ENTITIES
from feature_repo.serve import registered_catalogue
from feature_repo.store import feature_store
from feature_repo.views import publications
from genome.errors import GenomeError, UsageError
from genome.features.definitions import Catalogue, ServiceDefinition
from genome.features.online import PROJECT
from genome.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_PLACE = "_spine_place"


def service_definition(settings: Settings, service: str) -> ServiceDefinition:
    """A feature service as the registry holds it; `feature_repo.services.feature_hash` takes it."""
    with feature_store(settings) as store:
        services = registered_catalogue(settings, store)
    return Catalogue(project=PROJECT, services=services).service(service)


def historical_features(
    settings: Settings, spine: "pd.DataFrame", service: str, *, at: str = "label_at"
) -> "pd.DataFrame":
    """As `historical_table`, in pandas: lists are NumPy arrays (of the Arrow memory, not copied)."""
    return cast("pd.DataFrame", historical_table(settings, spine, service, at=at).to_pandas())


def historical_table(
    settings: Settings, spine: "pd.DataFrame", service: str, *, at: str = "label_at"
) -> "pa.Table":
    """The features of a service for each (entity, instant) of a spine, as they were known then.

    Feast's point-in-time join over the published Parquet: the newest row that was valid *and known* by the
    instant and is not older than its view's ttl; null where there is none. Ask for distinct pairs and join
    them to what repeats (the offers of one customer at one time), since rows here hold long lists.

    Args:
        settings: where things are.
        spine: one key column (`customer_id` or `offer_id`), one column of instants, and any others, which
            come back as they are.
        service: for example `next_best_offer_v1`; its views of the spine's entity are read.
        at: the column of instants, with a time zone.

    Returns:
        The spine's columns and rows, in its order, then the features, in the service's order.

    Raises:
        GenomeError: nothing is published, the service is unknown, or the spine is not as it should be.
    """
    join_key = _check_spine(spine, at)
    with feature_store(settings) as store:
        services = registered_catalogue(settings, store)
        entity = next(each.name for each in ENTITIES.values() if each.join_key == join_key)
        views = Catalogue(project=PROJECT, services=services).service(service).of(entity)
        names = [feature.name for view in views for feature in view.features]
        clash = sorted(set(names) & set(spine.columns))
        if clash:
            raise UsageError(
                f"The spine has columns named like features: {', '.join(clash)}.", "Rename them."
            )
        _check_sources(settings, [view.name for view in views])
        # Feast looks for this name, and keeps no order.
        asked = spine.rename(columns={at: "event_timestamp"})
        asked[_PLACE] = range(len(asked))
        with _duckdb(settings):
            table = store.get_historical_features(
                entity_df=asked,
                features=[f"{view.name}:{feature.name}" for view in views for feature in view.features],
                filter_by_created_timestamp=True,
            ).to_arrow()
    if table.num_rows != len(spine):
        raise GenomeError(
            f"The point-in-time join gave {table.num_rows} rows for {len(spine)}.",
            "Two rows of a feature table may share entity and instants: look at the build's tests.",
        )
    table = table.sort_by(_PLACE).drop_columns([_PLACE])
    table = table.rename_columns([at if name == "event_timestamp" else name for name in table.column_names])
    return table.select([*spine.columns, *names])


def _check_spine(spine: "pd.DataFrame", at: str) -> str:
    import pandas as pd

    keys = [each.join_key for each in ENTITIES.values() if each.join_key in spine.columns]
    if len(keys) != 1:
        raise UsageError(
            f"The spine's columns are {', '.join(map(str, spine.columns))}.",
            f"It needs exactly one of {', '.join(each.join_key for each in ENTITIES.values())}.",
        )
    if at not in spine.columns or not isinstance(spine[at].dtype, pd.DatetimeTZDtype):
        raise UsageError(
            f"The spine's column '{at}' is {spine[at].dtype if at in spine.columns else 'missing'}.",
            "Give it instants with a time zone: pd.to_datetime(…, utc=True).",
        )
    if spine.duplicated([keys[0], at]).any():
        raise UsageError(
            f"The spine asks for the same {keys[0]} and {at} more than once.",
            "Ask for distinct pairs: spine.drop_duplicates(), and merge the features to your rows.",
        )
    return keys[0]


def _check_sources(settings: Settings, views: list[str]) -> None:
    published = publications(settings)
    missing = [view for view in views if view not in published]
    if missing:
        raise GenomeError(f"Not published yet: {', '.join(missing)}.", "Run `genome build`.")
    for view in views:
        published[view].path(view)  # Feast reads these folders: they are to be there


@contextmanager
def _duckdb(settings: Settings) -> Iterator[None]:
    """Feast's offline store runs on Ibis' own DuckDB: give it our limits, and end it afterwards."""
    import ibis

    spill = settings.feast / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    before = ibis.options.default_backend
    backend = ibis.duckdb.connect(
        threads=settings.threads, memory_limit=settings.memory_limit, temp_directory=str(spill)
    )
    ibis.set_backend(backend)
    try:
        with warnings.catch_warnings():
            # Ibis 12 still calls this name of DuckDB 1.5; the result is the same.
            warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
            yield
    finally:
        ibis.options.default_backend = before
        backend.disconnect()
