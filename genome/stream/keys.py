"""Names in the events store that the readers of the stream use; a partition's names share its slot.

collector:{p}:owner:<consumer>      who owns the partition, until when (a key that expires)
collector:{p}:fence:<consumer>      how often the ownership has changed
collector:{p}:parked:<consumer>     hash: stream id → a message that could not be taken, sealed
collector:{p}:figures:<consumer>    hash: how far this consumer is
collector:{p}:trimmed               the last stream id that has left the stream
stream:{<consumer>}:members         sorted set: processes of a consumer, by when they were last alive
stream:consumers                    hash: consumer → when it was last alive, in milliseconds
"""

from typing import Final

from genome.collector.stream import PREFIX

CONSUMERS: Final = "stream:consumers"
BEGINNING: Final = b"0-0"
"""Before every stream id."""


def of_partition(partition: int, what: str, consumer: str | None = None) -> str:
    """A name of a partition, or of one consumer's in it."""
    base = f"{PREFIX}:{{{partition}}}:{what}"
    return f"{base}:{consumer}" if consumer else base


def members(consumer: str) -> str:
    """The processes of a consumer."""
    return f"stream:{{{consumer}}}:members"


def parsed(stream_id: bytes) -> tuple[int, int]:
    """A stream id as (milliseconds, number), which sorts as the stream does."""
    milliseconds, _, number = stream_id.partition(b"-")
    return int(milliseconds), int(number or 0)


def after(stream_id: bytes) -> bytes:
    """The smallest stream id behind this one."""
    milliseconds, number = parsed(stream_id)
    return b"%d-%d" % (milliseconds, number + 1)
