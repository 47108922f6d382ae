"""The champion's probability of every customer and live offer, for the build to rank and publish.

Features come through the same join as in training, at the instant of the current publication. Candidates of one
campaign are described together, as they were when the ranker learned.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from genome import clock
from genome.errors import GenomeError
from genome.lake import files
from genome.lake.publish import Publication
from genome.settings import Settings
from genome.warehouse import scored_file
from models import data, tracking
from models.ranker import Ranker
from models.tracking import Version

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_MADE_FROM = b"made_from"

_READ = (
    "feat_customer_traits",
    "feat_customer_genome",
    "feat_customer_purchases",
    "feat_offer_dna",
    "dim_offers",
    "dim_genes",
    "dim_customers",
)
"""The published tables that scoring reads."""

_CUSTOMERS = 20_000
"""Customers whose lists are held at once."""


@dataclass(frozen=True)
class ScoreReport:
    """What was scored.

    Attributes:
        rows: customer × offer pairs.
        customers: how many.
        offers: how many live ones.
        version: of the registered model.
        ranker: its name.
        valid_at: the instant of the features.
        skipped: neither the champion nor what it reads had changed: the last scores stay.
        seconds: how long it took.
    """

    rows: int
    customers: int
    offers: int
    version: str
    ranker: str
    valid_at: Any
    skipped: bool
    seconds: float

    def summary(self) -> dict[str, Any]:
        """What a task returns."""
        return {
            "rows": self.rows,
            "customers": self.customers,
            "offers": self.offers,
            "model": tracking.NAME,
            "version": self.version,
            "ranker": self.ranker,
            "valid_at": self.valid_at.isoformat(),
            "skipped": self.skipped,
            "seconds": round(self.seconds, 1),
        }


def score(settings: Settings, *, force: bool = False) -> ScoreReport:
    """Score every customer for every live offer, and leave the scores where `genome build` reads them.

    Args:
        settings: where things are.
        force: score also when neither the champion nor what it reads has changed.

    Raises:
        GenomeError: nothing is published, there is no champion, or its artefact is not what was registered.
    """
    import pyarrow.parquet as pq

    began = time.monotonic()
    version, ranker = tracking.champion(settings, tracking.client(settings))
    if ranker.service != data.SERVICE:
        raise GenomeError(
            f"Version {version.version} reads the feature service '{ranker.service}', this code '{data.SERVICE}'.",
            "Train anew: `genome train --force`.",
        )
    published = data.publication(settings)
    at = _cut_off(published)
    customers = np.unique(
        np.asarray(data.read(published, "dim_customers", ["customer_id"])["customer_id"].to_pylist())
    )
    campaigns = live_offers(published, at)
    final = scored_file(settings)
    made_from = _made_from(published, version, ranker, at)
    skipped = not force and _says(final) == made_from
    rows = len(customers) * sum(len(each) for each in campaigns)
    if not skipped:
        files.make_folder(final.parent)
        part = files.temporary(final)
        schema = _schema().with_metadata({_MADE_FROM: made_from})
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for table in _scored(settings, published, ranker, customers, campaigns, at):
                writer.write_table(_stamped(table, at, clock.now(settings), version, schema))
        files.commit(part, final)
    return ScoreReport(
        rows=rows,
        customers=len(customers),
        offers=sum(len(each) for each in campaigns),
        version=version.version,
        ranker=version.name,
        valid_at=at,
        skipped=skipped,
        seconds=time.monotonic() - began,
    )


def _stamped(
    table: "pa.Table", at: "pd.Timestamp", known_at: datetime, version: Version, schema: "pa.Schema"
) -> "pa.Table":
    import pyarrow as pa

    def same(value: Any, kind: Any) -> Any:
        return pa.repeat(pa.scalar(value, kind), table.num_rows)

    instant = pa.timestamp("us", "UTC")
    return pa.table(
        {
            **{name: table[name] for name in ("customer_id", "offer_id", "score")},
            "valid_at": same(at.to_pydatetime(), instant),
            "known_at": same(known_at, instant),
            "model_name": same(tracking.NAME, pa.string()),
            "model_version": same(version.version, pa.string()),
        },
        schema=schema,
    )


def _made_from(published: Publication, version: Version, ranker: Ranker, at: "pd.Timestamp") -> bytes:
    """A hash of all that scores depend on."""
    parts = {
        "tables": {name: published.table(name).sha256 for name in _READ},
        "version": version.version,
        "artefact": dict(version.sha256),
        "columns": ranker.columns.hash,
        "at": at.isoformat(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest().encode()


def _says(path: Path) -> bytes | None:
    """What the last scores were made from; None where there are none that can be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return (pq.read_metadata(path).metadata or {}).get(_MADE_FROM)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None


def live_offers(published: Publication, at: "pd.Timestamp") -> list[npt.NDArray[Any]]:
    """Ids of the offers that can be redeemed at an instant, campaign by campaign."""
    offers = data.read(
        published, "dim_offers", ["offer_id", "campaign_id", "starts_at", "ends_at"]
    ).to_pandas()
    live = offers[(offers["starts_at"] <= at) & (offers["ends_at"] > at)]
    # An offer without a campaign competes with the others without one.
    return [
        np.sort(some["offer_id"].to_numpy(dtype=str))
        for _, some in live.groupby(live["campaign_id"].fillna(""), sort=True)
    ]


def _scored(
    settings: Settings,
    published: Publication,
    ranker: Ranker,
    customers: npt.NDArray[Any],
    campaigns: list[npt.NDArray[Any]],
    at: "pd.Timestamp",
) -> "Iterator[pa.Table]":
    import pyarrow as pa

    if not campaigns:
        return
    index = data.gene_index(published)
    for first in range(0, len(customers), _CUSTOMERS):
        some = customers[first : first + _CUSTOMERS]
        for rectangle, offers in data.rectangles_at(settings, index, some, campaigns, at):
            found = ranker.probabilities(rectangle, threads=settings.threads)
            yield pa.table(
                {
                    "customer_id": np.repeat(some, len(offers)),
                    "offer_id": np.tile(offers, len(some)),
                    "score": found.reshape(-1),
                }
            )


def _cut_off(published: Publication) -> "pd.Timestamp":
    """The instant for which the current publication holds every customer."""
    import pandas as pd
    import pyarrow.compute as pc

    found = pc.max(data.read(published, "feat_customer_traits", ["valid_at"])["valid_at"]).as_py()
    if found is None:
        raise GenomeError(
            "There is no customer in the published features.", "Ingest something and build again."
        )
    return pd.Timestamp(found)


def _schema() -> "pa.Schema":
    import pyarrow as pa

    instant = pa.timestamp("us", "UTC")
    return pa.schema(
        [
            ("customer_id", pa.string()),
            ("offer_id", pa.string()),
            ("score", pa.float64()),
            ("valid_at", instant),
            ("known_at", instant),
            ("model_name", pa.string()),
            ("model_version", pa.string()),
        ]
    )
