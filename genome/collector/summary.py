"""The collector in a few plain values, for `genome status`."""

from dataclasses import asdict
from typing import Any

from genome.collector import ledger
from genome.errors import GenomeError
from genome.settings import Settings


def ledger_rows(settings: Settings) -> list[dict[str, Any]]:
    """The ledger of each source with `is_balanced`; empty where the events store does not run."""
    from redis.exceptions import RedisError

    if settings.events_url is None and not (settings.valkey / "events").exists():
        return []  # it never ran here
    try:
        rows = ledger.read(settings)
    except (RedisError, GenomeError, OSError):
        return []
    return [{**asdict(row), "is_balanced": row.is_balanced} for row in rows]
