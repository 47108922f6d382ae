"""The one clock. Everything that needs to know what time it is asks here, so that `GENOME_NOW` can set it."""

from datetime import UTC, datetime

from genome.settings import Settings


def now(settings: Settings) -> datetime:
    """The present instant, UTC: `GENOME_NOW` where it is set (the demo's data ends in 2017), else the system's."""
    return settings.now.astimezone(UTC) if settings.now else datetime.now(UTC)
