"""Where things lie in the lake, what their columns are, and how a batch gets its name."""

import hashlib
from pathlib import Path

from genome.settings import Settings

INTERACTIONS = "interactions"
CATALOG = "catalog"

INTERACTION_COLUMNS: dict[str, str] = {
    "interaction_id": "VARCHAR",
    "source_id": "VARCHAR",
    "seller_id": "VARCHAR",
    "channel": "VARCHAR",
    "interaction_type": "VARCHAR",
    "occurred_at": "TIMESTAMPTZ",
    "original_at": "TIMESTAMPTZ",
    "sent_at": "TIMESTAMPTZ",
    "received_at": "TIMESTAMPTZ",
    "session_id": "VARCHAR",
    "customer_key_type": "VARCHAR",
    "customer_key": "VARCHAR",
    "product_id": "VARCHAR",
    "offer_id": "VARCHAR",
    "store_id": "VARCHAR",
    "quantity": "DOUBLE",
    "amount": "DECIMAL(18,4)",
    "currency": "VARCHAR",
    "properties": "VARCHAR",
    "_key_version": "INTEGER",
    "_known_assumed": "BOOLEAN",
    "_batch_id": "VARCHAR",
    "_ingested_at": "TIMESTAMPTZ",
}
"""`lake/interactions/`: column -> DuckDB type, in order. `properties` is the text of a JSON object."""

IDENTIFIERS = "identifiers"

IDENTIFIER_COLUMNS: dict[str, str] = {
    "interaction_id": "VARCHAR",
    "source_id": "VARCHAR",
    "seller_id": "VARCHAR",
    "channel": "VARCHAR",
    "occurred_at": "TIMESTAMPTZ",
    "received_at": "TIMESTAMPTZ",
    "customer_key_type": "VARCHAR",
    "customer_key": "VARCHAR",
    "identifier_type": "VARCHAR",
    "identifier": "VARCHAR",
    "_key_version": "INTEGER",
    "_known_assumed": "BOOLEAN",
    "_batch_id": "VARCHAR",
    "_ingested_at": "TIMESTAMPTZ",
}
"""`lake/identifiers/`: column -> DuckDB type, in order. One row for each further identifier of an
interaction: it was seen together with the customer's key. `_key_version` is the identifier's own."""

DECISIONS = "identity_decisions"
"""What persons decided about who is who, as interactions of nobody in particular: `INTERACTION_COLUMNS`."""

MOTIVES = "motives"
"""What texts say since they were read anew (genome/lake/motives.py)."""

QUARANTINE_COLUMNS: dict[str, str] = {
    "quarantine_id": "VARCHAR",
    "channel": "VARCHAR",
    "reason": "VARCHAR",
    "source": "VARCHAR",
    "source_sha256": "VARCHAR",
    "offset": "BIGINT",
    "raw_kind": "VARCHAR",
    "raw": "BLOB",
    "_key_version": "INTEGER",
    "_batch_id": "VARCHAR",
    "_ingested_at": "TIMESTAMPTZ",
}
"""`lake/quarantine/`: column -> DuckDB type, in order. `raw` is encrypted; `offset` counts records from 1."""


STREAM_BATCH = "stream-"
"""What the name of a batch begins with that was landed from the event stream."""


def batch_id(channel: str, source_sha256: str) -> str:
    """The name of the batch that a file makes: the same bytes in the same channel give the same name."""
    return f"{channel}-{hashlib.sha256(f'{channel}:{source_sha256}'.encode()).hexdigest()[:20]}"


def interactions_file(channel: str, month: str, batch: str) -> str:
    """Where one month of a batch of interactions lies, relative to the lake."""
    return f"{INTERACTIONS}/channel={channel}/month={month}/{batch}.parquet"


def identifiers_file(channel: str, month: str, batch: str) -> str:
    """Where the further identifiers of one month of a batch lie, relative to the lake."""
    return f"{IDENTIFIERS}/channel={channel}/month={month}/{batch}.parquet"


def decisions_file(batch: str) -> str:
    """Where a decision about who is who lies, relative to the lake."""
    return f"{DECISIONS}/{batch}.parquet"


def motives_file(digest: str) -> str:
    """Where the motives of texts that were read anew lie, relative to the lake; named by the file's own hash."""
    return f"{MOTIVES}/motives-{digest[:20]}.parquet"


def catalog_file(feed: str, batch: str) -> str:
    """Where a batch of a feed lies, relative to the lake."""
    return f"{CATALOG}/{feed}/{batch}.parquet"


def quarantine_file(channel: str, batch: str) -> str:
    """Where the rows set aside from a batch lie, relative to the lake."""
    return f"quarantine/{channel}/{batch}.parquet"


def refused_file(channel: str, batch: str) -> str:
    """Where the encrypted bytes of a refused file lie, relative to the lake."""
    return f"quarantine/{channel}/{batch}.file"


def manifest_folder(settings: Settings, dataset: str) -> Path:
    """Where the entries of a dataset's committed batches lie."""
    return settings.lake / "_manifest" / dataset


def refusals_folder(settings: Settings) -> Path:
    """Where the records of refused files lie."""
    return settings.lake / "_manifest" / "refused"


def work_folder(settings: Settings, channel: str) -> Path:
    """Where a run keeps its private copies while it holds the channel's lock."""
    return settings.lake / "_work" / channel


def lock_file(settings: Settings, channel: str) -> Path:
    """Held while a channel's files are landed: one writer for each channel."""
    return settings.lake / "_locks" / f"ingest-{channel}.lock"
