"""Whether the live deltas of a build are there: for who puts the build online."""

import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from genome.features import live as layout
from genome.settings import Settings
from genome.stores import valkey
from genome.stream import figures
from genome.stream.lease import store_clock

if TYPE_CHECKING:
    import redis

log = structlog.get_logger(__name__)

CONSUMER: Final = "live"
_SILENT_MS: Final = 10_000


def wait_for_deltas(settings: Settings, epoch: str, *, seconds: float = 60.0) -> bool:
    """Wait until the consumer `live` has brought a build's deltas to where it is.

    Args:
        settings: where the stores are.
        epoch: the build.
        seconds: no longer than this: a build must come online also where `live` is in trouble.

    Returns:
        Whether they are there; True where no `live` runs, which then has none to bring.
    """
    from redis.exceptions import RedisError

    deadline = time.monotonic() + seconds
    while True:
        try:
            partitions = _owned(settings)
            if not partitions or _are_there(settings, partitions, epoch):
                return True
        except (RedisError, OSError) as error:
            log.warning("live_deltas_not_seen", error=type(error).__name__)
            return False
        if time.monotonic() > deadline:
            log.warning("live_deltas_not_there", epoch=epoch, waited_seconds=seconds)
            return False
        time.sleep(0.1)


def _owned(settings: Settings) -> list[int]:
    """The partitions that `live` has said something about lately."""
    if settings.events_url is None and not valkey.status(settings, "events").is_running:
        return []
    with valkey.connect(settings, "events", start=False) as client:
        now = store_clock(client)
        found = figures.read(settings, client)
    return [each.partition for each in found if each.consumer == CONSUMER and now - each.at < _SILENT_MS]


def _are_there(settings: Settings, partitions: list[int], epoch: str) -> bool:
    with valkey.connect(settings, "online") as client:
        return all(_is_there(client, partition, epoch) for partition in partitions)


def _is_there(client: "redis.Redis", partition: int, epoch: str) -> bool:
    main, own = _positions(client, partition, epoch)
    return main is not None and main == own


def _positions(client: "redis.Redis", partition: int, epoch: str) -> Any:
    return client.hmget(layout.epochs_key(partition), [layout.MAIN, epoch])  # type: ignore[arg-type]
