"""Who owns which partition: one process of a consumer for each, and another within seconds when it dies.

A lease is a key that expires. Its owner renews it from a thread of its own, so that a long batch does not
lose it, and believes in it only until a little before it would expire. A process that stood still (stopped,
swapped out) notices by its own clock that its lease is over. For the moment between that look and a commit
there is the fence: a number that rises with each new owner; a commit that compares the position it starts
from with the one that is stored is refused after somebody else has moved it.
"""

import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from genome.settings import Settings
from genome.stream import keys

if TYPE_CHECKING:
    import redis

log = structlog.get_logger(__name__)

_TAKE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local fence = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. fence, 'PX', ARGV[2])
return fence
"""
_RENEW: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition that is ours.

    Attributes:
        partition: which.
        token: what the store holds for it: `<owner>|<fence>`.
        fence: how often the ownership of this partition has changed.
    """

    partition: int
    token: bytes
    fence: int


class Leases:
    """The partitions that this process owns for one consumer.

    Args:
        settings: where the events store is.
        consumer: whose partitions.
        partitions: all that may be owned.
        share: take only this process's share of them, so that several processes divide them.
        seconds: how long a lease holds without being renewed: a dead owner's partitions move on after it.
    """

    def __init__(
        self,
        settings: Settings,
        consumer: str,
        partitions: Sequence[int],
        *,
        share: bool = True,
        seconds: float = 5.0,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._partitions = sorted(partitions)
        self._share = share
        self._seconds = seconds
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._held: dict[int, tuple[Lease, float]] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"leases-{consumer}", daemon=True)

    def start(self) -> None:
        """Begin to renew what is taken."""
        self._thread.start()

    def held(self) -> list[int]:
        """The partitions whose lease is in force now."""
        now = time.monotonic()
        with self._lock:
            return [partition for partition, (_, until) in self._held.items() if now < until]

    def lease(self, partition: int) -> Lease | None:
        """Our lease of a partition, where it is in force now."""
        with self._lock:
            found = self._held.get(partition)
        return found[0] if found is not None and time.monotonic() < found[1] else None

    def settle(self, client: "redis.Redis") -> tuple[list[int], list[int]]:
        """Take what is free up to our share; say what is gone and what is too much.

        Returns:
            The partitions that are newly ours, and those above our share: `release` them between two batches.
        """
        self._beat(client)
        wanted = len(self._partitions)
        if self._share:
            wanted = math.ceil(len(self._partitions) / max(1, self._alive(client)))
        now = time.monotonic()
        with self._lock:
            self._held = {each: found for each, found in self._held.items() if now < found[1]}
            held = sorted(self._held)
        taken: list[int] = []
        for partition in self._partitions:
            if len(held) + len(taken) >= wanted:
                break
            if partition in held:
                continue
            began = time.monotonic()
            fence: Any = client.eval(
                _TAKE,
                2,
                keys.of_partition(partition, "owner", self._consumer),
                keys.of_partition(partition, "fence", self._consumer),
                self.owner,
                int(self._seconds * 1000),
            )
            if fence:
                lease = Lease(partition, f"{self.owner}|{fence}".encode(), int(fence))
                with self._lock:
                    self._held[partition] = (lease, began + self._belief)
                taken.append(partition)
        return taken, held[wanted:]

    def release(self, client: "redis.Redis", partition: int) -> None:
        """Give a partition up; another process may take it at once."""
        with self._lock:
            found = self._held.pop(partition, None)
        if found is not None:
            client.eval(_RELEASE, 1, keys.of_partition(partition, "owner", self._consumer), found[0].token)

    def end(self, client: "redis.Redis | None") -> None:
        """Give everything up (where the store answers) and stop renewing."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(self._seconds)
        if client is not None:
            for partition in list(self._held):
                self.release(client, partition)
            client.zrem(keys.members(self._consumer), self.owner)
        self._held.clear()

    @property
    def _belief(self) -> float:
        # Our clock and the store's may run a little apart, and the answer took its time.
        return self._seconds * 0.8

    def _keep(self) -> None:
        from redis.exceptions import RedisError

        from genome.stores import valkey

        client: redis.Redis | None = None
        while not self._ending.wait(self._seconds / 4):
            try:
                if client is None:
                    client = valkey.connect(
                        self._settings, "events", start=False, socket_timeout=self._seconds, retry=None
                    )
                self._beat(client)
                self._renew(client)
            except (RedisError, OSError) as error:
                # Nothing is lost by it but time: a lease that cannot be renewed ends by our own clock.
                log.warning("stream_lease_not_renewed", consumer=self._consumer, error=type(error).__name__)
                if client is not None:
                    client.close()
                client = None
        if client is not None:
            client.close()

    def _renew(self, client: "redis.Redis") -> None:
        with self._lock:
            mine = list(self._held.items())
        for partition, (lease, _) in mine:
            began = time.monotonic()
            owner = keys.of_partition(partition, "owner", self._consumer)
            kept: Any = client.eval(_RENEW, 1, owner, lease.token, int(self._seconds * 1000))
            with self._lock:
                found = self._held.get(partition)
                if found is None or found[0] != lease:
                    continue
                if kept:
                    self._held[partition] = (lease, began + self._belief)
                else:
                    del self._held[partition]

    def _beat(self, client: "redis.Redis") -> None:
        now = store_clock(client)
        client.zadd(keys.members(self._consumer), {self.owner: now + int(self._seconds * 1000)})

    def _alive(self, client: "redis.Redis") -> int:
        name, now = keys.members(self._consumer), store_clock(client)
        client.zremrangebyscore(name, "-inf", now)
        found: Any = client.zcard(name)
        return int(found)


def store_clock(client: "redis.Redis") -> int:
    """The store's clock, which all processes share: milliseconds since 1970."""
    answer: Any = client.time()
    seconds, micros = answer
    return int(seconds) * 1000 + int(micros) // 1000
