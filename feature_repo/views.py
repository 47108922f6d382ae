"""Feast's feature views, made from dbt contracts and the current publications."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from feature_repo.contract import KNOWN_AT, VALID_AT, FeatureTable
from genome.lake.publish import Publication, current
from genome.settings import Settings

if TYPE_CHECKING:
    from feast import Entity, FeatureView

GROUPS = ("genome", "scores")
"""The groups that publish feature tables."""


def publications(settings: Settings) -> dict[str, Publication]:
    """Published table -> the current publication that holds it."""
    found: dict[str, Publication] = {}
    for group in GROUPS:
        publication = current(settings, group)
        if publication is not None:
            found.update(dict.fromkeys(publication.tables, publication))
    return found


def source_path(settings: Settings, table: str, publication: Publication | None) -> Path:
    """What the view reads: the files of one epoch, which never change.

    A table that has not been published yet has its place already, so that services do not depend on what has
    run so far.
    """
    folder = publication.place(table) if publication else settings.lake / "features" / table / "v=none"
    return folder / "part-*.parquet"


def feast_views(
    settings: Settings,
    tables: Mapping[str, FeatureTable],
    published: Mapping[str, Publication],
    entities: Mapping[str, "Entity"],
) -> "dict[str, FeatureView]":
    """The feature tables as Feast takes them, by name.

    The schema is said in full, key included, so that Feast never infers one from a file.
    """
    from feast import FeatureView, Field, FileSource
    from feast.data_format import ParquetFormat
    from feast.types import String

    views: dict[str, FeatureView] = {}
    for table in tables.values():
        source = FileSource(
            name=table.name,
            path=str(source_path(settings, table.name, published.get(table.name))),
            file_format=ParquetFormat(),
            timestamp_field=VALID_AT,
            created_timestamp_column=KNOWN_AT,
        )
        views[table.name] = FeatureView(
            name=table.name,
            description=table.description,
            entities=[entities[table.entity]],
            ttl=table.ttl,
            schema=[
                Field(name=table.join_key, dtype=String),
                *(
                    Field(name=column.name, dtype=column.type.feast(), description=column.description)
                    for column in table.columns
                ),
            ],
            source=source,
            online=True,
        )
    return views
