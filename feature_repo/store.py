"""The FeatureStore of this installation: SQL registry, DuckDB offline, Valkey online."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from genome.errors import GenomeError
from genome.features.definitions import FeatureDefinition, ServiceDefinition, ViewDefinition
from genome.features.online import PROJECT
from genome.settings import Settings
from genome.stores import valkey

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

KEY_VERSION = 3
"""Feast's `entity_key_serialization_version`; genome/features/layout.py writes this one."""


@contextmanager
def feature_store(settings: Settings) -> "Iterator[FeatureStore]":
    """Feast's FeatureStore; one at a time in a process (two of them thrash a cache that they share).

    It starts no server: the online store is connected to by the first online read.
    """
    from feast import FeatureStore, RepoConfig
    from sqlalchemy.pool import NullPool

    settings.feast.mkdir(parents=True, exist_ok=True)
    store = FeatureStore(
        config=RepoConfig(
            project=PROJECT,
            provider="local",
            registry={
                "registry_type": "sql",
                "path": _registry_url(settings),
                # Connections end with their use: nothing is left to close, and nothing to hold a lock.
                "sqlalchemy_config_kwargs": {"echo": False, "poolclass": NullPool},
            },
            offline_store={"type": "duckdb"},
            online_store={
                "type": "redis",
                "connection_string": _connection_string(valkey.url(settings, "online")),
                # The loader removes what is retired (feature_repo/serve.py): Feast's way scans for each view.
                "full_scan_for_deletion": False,
            },
            entity_key_serialization_version=KEY_VERSION,
        )
    )
    yield store


def registered_services(store: "FeatureStore") -> tuple[ServiceDefinition, ...]:
    """The services as the registry holds them, in our words."""
    views = {view.name: _view(view) for view in store.list_feature_views()}
    return tuple(
        ServiceDefinition(
            name=service.name,
            views=tuple(views[projection.name] for projection in service.feature_view_projections),
        )
        for service in sorted(store.list_feature_services(), key=lambda each: each.name)
    )


def _view(view: "FeatureView") -> ViewDefinition:
    if view.ttl is None:
        raise GenomeError(
            f"Feature view {view.name} is registered without a ttl.", "Run `genome serve-features`."
        )
    return ViewDefinition(
        name=view.name,
        entity=view.entities[0],
        join_key=view.entity_columns[0].name,
        ttl=view.ttl,
        features=tuple(
            FeatureDefinition(name=field.name, kind=field.dtype.to_value_type().name)
            for field in view.features
        ),
    )


def _registry_url(settings: Settings) -> str:
    if settings.feast_registry_url:
        return settings.feast_registry_url.get_secret_value()
    # Another process may hold the file for a moment: wait for it.
    return f"sqlite:///{settings.feast / 'registry.db'}?timeout=60"


def _connection_string(url: str) -> str:
    """Feast's way to write a Redis URL: `host:port,key=value,…`, the values as JSON."""
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"}:
        raise GenomeError(
            f"GENOME_ONLINE_URL begins with '{parts.scheme}://', which Feast cannot take.",
            "Write redis://… or rediss://….",
        )
    values: dict[str, object] = {}
    if parts.username:
        values["username"] = unquote(parts.username)
    if parts.password:
        values["password"] = unquote(parts.password)
        if "," in str(values["password"]):
            raise GenomeError(
                "The password of GENOME_ONLINE_URL has a comma in it, which Feast cannot take.",
                "Give the store a password without one.",
            )
    database = parts.path.strip("/") or parse_qs(parts.query).get("db", ["0"])[0]
    if int(database):
        values["db"] = int(database)
    if parts.scheme == "rediss":
        values["ssl"] = True
    said = [f"{parts.hostname}:{parts.port or 6379}"]
    return ",".join(said + [f"{key}={json.dumps(value)}" for key, value in values.items()])
