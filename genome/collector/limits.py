"""What one request may be, and how much may wait. Every number is a promise that a test holds at ±1."""

from dataclasses import dataclass

EVENT_BYTES = 32 * 1024
"""One event, as it was sent; a larger one is quarantined, its batch is not refused."""
BODY_BYTES = 4 * 1024 * 1024
"""A request's body after decompression."""
RATIO = 100
"""How many times its size a compressed body may grow."""
DEPTH = 64
"""Objects and arrays inside one another, in one event."""
BATCH_EVENTS = 2_500
"""Events in one request."""
MESSAGE_ID_CHARACTERS = 100
IDENTIFIER_CHARACTERS = 255
"""A user id, an anonymous id, a product id …"""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much may wait in this process before new requests are turned away with 503.

    Attributes:
        queue_bytes: of events waiting for the disk.
        body_bytes: of bodies being received.
        group_bytes: of events written by one commit: what comes while it runs makes up the next.
        body_seconds: for a body to arrive.
        commit_seconds: for the store to answer; after that its connection is given up.
    """

    queue_bytes: int = 32 * 1024 * 1024
    body_bytes: int = 64 * 1024 * 1024
    group_bytes: int = 4 * 1024 * 1024
    body_seconds: float = 30.0
    commit_seconds: float = 10.0
