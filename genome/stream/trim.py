"""What nobody needs any more leaves the stream, so that it cannot fill the store.

The rule: an entry leaves when it lies in the lake **and** every consumer has passed it. A consumer that was
not alive for `stream_patience_hours` is not waited for, nor is any but `land` once the store is three
quarters full: the lake has what they will miss, and they go on behind the gap. Nothing that has not landed
ever leaves, however full the store is: then the collector answers 503, and nothing is lost.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from genome.collector import stream
from genome.settings import Settings
from genome.stream import keys
from genome.stream.lease import store_clock

if TYPE_CHECKING:
    import redis

_FULL: Final = 0.75
_TRIM: Final = """
local gone = redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])
if gone > 0 then redis.call('SET', KEYS[2], ARGV[1]) end
return gone
"""


def trim(settings: Settings, client: "redis.Redis", landed: Mapping[int, str], *, land: str) -> int:
    """Let go of what has landed and was passed by all that are waited for.

    Args:
        settings: how long a consumer is waited for.
        client: of the events store.
        landed: partition → the last id that lies in the lake.
        land: the name of the consumer whose positions those are.

    Returns:
        How many entries left.
    """
    waited_for = [] if _is_filling(settings, client) else _alive(settings, client, but=land)
    gone = 0
    for partition, position in landed.items():
        limit = keys.parsed(position.encode())
        for consumer in waited_for:
            told: Any = client.hget(keys.of_partition(partition, "figures", consumer), "position")
            limit = min(limit, keys.parsed(told or keys.BEGINNING))
        if limit > (0, 0):
            last = b"%d-%d" % limit
            places = (stream.events_key(partition), keys.of_partition(partition, "trimmed"))
            left: Any = client.eval(_TRIM, 2, *places, last, keys.after(last))
            gone += int(left)
    return gone


def _alive(settings: Settings, client: "redis.Redis", *, but: str) -> list[str]:
    since = store_clock(client) - int(settings.stream_patience_hours * 3_600_000)
    seen: Any = client.hgetall(keys.CONSUMERS)
    return [name.decode() for name, at in seen.items() if name.decode() != but and int(at) >= since]


def _is_filling(settings: Settings, client: "redis.Redis") -> bool:
    memory: Any = client.info("memory")
    return bool(memory["used_memory"] > _FULL * settings.collector_memory_mb * 1024 * 1024)
