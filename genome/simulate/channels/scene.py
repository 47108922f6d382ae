"""What every channel needs of a block, and the small change of writing rows."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genome.simulate.behaviour import History
from genome.simulate.calendar import HOUR, Calendar
from genome.simulate.identity import Identity
from genome.simulate.parameters import Parameters
from genome.simulate.people import People
from genome.simulate.purchases import Purchases
from genome.simulate.randomness import Bools, Chance, Floats, Ints, names
from genome.simulate.sink import Sink
from genome.simulate.world import SELLER_IDS, World

VISIT_BITS = 26
"""A receipt's number is its block and its visit within it."""


@dataclass
class Scene:
    """One block: its people, what they did, and where their traces go."""

    parameters: Parameters
    world: World
    days: Calendar
    people: People
    identity: Identity
    history: History
    purchases: Purchases
    seed: int
    block: int
    sink: Sink
    owners: list[pa.Table] = field(default_factory=list)
    """Truth about single events: who it really was, where the identifier tells otherwise or nothing."""
    motives: list[pa.Table] = field(default_factory=list)
    """Truth about texts: the motive behind each."""
    cards: pa.Table | None = None
    """Truth about loyalty cards: what was spent with each, its points and its tier at the end."""

    def random(self, name: str) -> np.random.Generator:
        """A stream of this block."""
        return Chance(self.seed, self.block + 1).stream(f"channel {name}")

    def ids(self, kind: str, count: int, prefix: str = "") -> pa.Array:
        """Fresh identifiers, never given twice for a kind in the whole mall."""
        return names(kind, self.seed, (self.block << 36) + np.arange(count), prefix)

    @cached_property
    def product_id(self) -> pa.Array:
        """Text by product."""
        return text(self.world.product_id(np.arange(self.world.products)))

    @cached_property
    def store_id(self) -> pa.Array:
        """Text by store."""
        return text(self.world.store_id(np.arange(self.world.stores)))

    @cached_property
    def seller_id(self) -> pa.Array:
        """Text by seller."""
        return pa.array(SELLER_IDS)

    @cached_property
    def campaign_id(self) -> pa.Array:
        """Text by campaign."""
        return text(1 + np.arange(len(self.world.campaign_day)))

    @cached_property
    def coupon_upc(self) -> pa.Array:
        """Text by offer."""
        return text(5_000_000_000 + np.arange(len(self.world.offer_campaign)))

    @cached_property
    def offer_id(self) -> pa.Array:
        """Text by offer: campaign and coupon."""
        return join(pick(self.campaign_id, self.world.offer_campaign), "-", self.coupon_upc)

    @cached_property
    def category_name(self) -> pa.Array:
        """Text by category."""
        return pa.array(self.world.category_name)

    def transaction_id(self, visit: Ints) -> pa.Array:
        """Text by visit."""
        return text(((self.block + 1) << VISIT_BITS) + visit)

    def arrival(self, channel: str, occurred: Ints, delay: Ints | int) -> Ints:
        """When the hub got the rows: after the channel's delay, or when a failed source came back."""
        faults = self.parameters.channels
        received = occurred + delay
        if channel == faults.outage_channel and faults.outage_days:
            first = max(0, self.days.days - faults.outage_start)
            last = min(self.days.days, first + faults.outage_days)
            failed = (received >= self.days.midnight[first]) & (received < self.days.midnight[last])
            # Everything comes at once, in the night after: two hours past midnight and a few minutes.
            received = np.where(failed, self.days.midnight[last] + 2 * HOUR + (received % 600_000), received)
        return received

    def shelf_discount(self, product: Ints, day: Ints) -> Floats:
        """Share of the list price taken off on the shelf."""
        weekly = self.world.shelf_discount[
            product, np.minimum(day // 7, self.world.shelf_discount.shape[1] - 1)
        ]
        promotion = self.parameters.world.promotion_discount * self.days.is_promotion[day]
        return np.maximum(weekly, promotion)


def text(numbers: Ints) -> pa.Array:
    """Numbers as text."""
    return pa.array(numbers).cast(pa.string())


def pick(values: pa.Array, rows: Ints, valid: Bools | None = None) -> pa.Array:
    """values[rows]; null where a row is negative, or not valid."""
    ok = rows >= 0 if valid is None else valid & (rows >= 0)
    return values.take(pa.array(np.where(ok, rows, 0), mask=~ok))


def choose(
    condition: Bools, yes: pa.Array | pa.Scalar | str | None, no: pa.Array | pa.Scalar | str | None
) -> pa.Array:
    """Row by row one or the other; None is null."""
    left = pa.scalar(None, pa.string()) if yes is None else yes
    right = pa.scalar(None, pa.string()) if no is None else no
    return pc.if_else(pa.array(condition), left, right)


def join(*parts: pa.Array | str) -> pa.Array:
    """Texts one after the other."""
    return pc.binary_join_element_wise(*parts, "")


def where(condition: Bools, values: Ints | Floats) -> pa.Array:
    """Numbers, null where the condition does not hold."""
    return pa.array(values, mask=~condition)
