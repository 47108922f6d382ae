"""Which consumers there are, and what makes each: `genome stream NAME` runs it, `genome up` watches over it."""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from genome.settings import Settings

if TYPE_CHECKING:
    from genome.stream.consumer import Consumer

CONSUMERS: Final[dict[str, str]] = {
    "land": "genome.stream.land:make",
    "live": "genome.stream.live:make",
    "moments": "genome.stream.moments:make",
}
"""name → "module:function"; the function makes the consumer: `(settings, partitions) -> Consumer`.

A consumer's name is its handler's. Adding a line here adds the verb and the service.
"""

ABOUT: Final[dict[str, str]] = {
    "land": "the event stream into the lake",
    "live": "what has just happened into the online genome",
    "moments": "events that match a rule onto the moments queue",
}
"""name → what it is for, in a few words."""


def make(name: str, settings: Settings, partitions: Sequence[int] | None = None) -> "Consumer":
    """A consumer of this process.

    Args:
        name: a key of CONSUMERS.
        settings: where the stream is.
        partitions: only these, all of them; None: this process's share of all.
    """
    module, _, function = CONSUMERS[name].partition(":")
    made: Consumer = getattr(importlib.import_module(module), function)(settings, partitions)
    return made
