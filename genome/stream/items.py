"""What the live path reads out of a record: interactions that may be evidence, acts of a session, facts for rules."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from genome.collector.contracts import identifier
from genome.collector.record import Record
from genome.features import live as layout
from genome.features.joins import PAIRS
from genome.stream.evidence import motive_kind
from genome.vocabulary import CHANNELS, LOCUS, PROPERTY


class Item(msgspec.Struct, frozen=True, gc=False):
    """One interaction of a record: an order of three products is three.

    Attributes:
        interaction_id: as the lake has it; empty where nothing can take the interaction back.
        product_id: the product.
        order: the order, or else the visit: what a refund names; None where nothing can take it back.
        number: the line within the order.
        quantity: units, None where not said.
    """

    interaction_id: str
    product_id: str
    order: str | None
    number: int | None
    quantity: float | None


LINE_CHANNELS: Final = frozenset({"web", "app", "pos"})
"""Channels of which dbt stages order, line and quantity; from the others it takes the product alone."""


def items(record: Record, *, is_named: bool = True) -> Iterator[Item]:
    """The interactions of a record that name a product: as genome/lake/live.py lands and dbt stages them.

    Args:
        record: what was accepted.
        is_named: whether a refund can name it: then it gets its id and its order.
    """
    said = record.properties
    if not record.name.startswith("Order "):
        item = _item(record, said, None, is_named=is_named)
        if item is not None:
            yield item
        return
    products = said.get("products")
    if not isinstance(products, list) or not products:
        item = _item(record, said, None, is_named=is_named)
        if item is not None:
            yield item
        return
    for line, each in enumerate(products, 1):
        fields = {**said, **each} if isinstance(each, dict) else said
        item = _item(record, fields, line, is_named=is_named)
        if item is not None:
            yield item


def _item(record: Record, fields: Mapping[str, Any], line: int | None, *, is_named: bool) -> Item | None:
    product = identifier(fields.get("product_id")) or identifier(fields.get("sku"))
    if product is None:
        return None
    has_lines = record.channel in LINE_CHANNELS
    units = number_of(fields, "quantity") if has_lines else None
    if units is None and line is not None and has_lines:
        units = 1.0
    if not is_named:
        return Item("", product, None, None, units)
    said = None
    if has_lines:
        said = number_of(fields, "line_number") if line is None else line
    return Item(
        record.interaction_id(line),
        product,
        _order(record, fields),
        None if said is None else int(said),
        units,
    )


def _order(record: Record, fields: Mapping[str, Any]) -> str | None:
    order = identifier(fields.get("order_id")) if record.channel in LINE_CHANNELS else None
    if order is not None or record.session is not None:
        return order or record.session
    named = (identifier(fields.get(name)) for name in ("session_id", "message_id", "transaction_id"))
    return next((each for each in named if each is not None), None)


def number_of(fields: Mapping[str, Any], name: str) -> float | None:
    """A number, which clients may send as text; None where it is none."""
    found = fields.get(name)
    if found is None:
        return None
    if isinstance(found, str):
        try:
            found = float(found)
        except ValueError:
            return None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


ACTS: Final = {
    "Product Viewed": "v",
    "Product Added": "a",
    "Wishlist Product Added to Cart": "a",
    "Product Removed": "r",
    "Order Completed": "o",
    "Place Entered": "i",
    "Store Entered": "i",
    "Mall Entered": "i",
    "Place Exited": "x",
    "Store Exited": "x",
    "Mall Exited": "x",
}
"""Event name → what it is in a session."""


@dataclass(slots=True)
class Columns:
    """The interactions of a batch, by column, and the acts of its sessions.

    Attributes:
        keys: the batch's source keys.
        owner: for each interaction the place of its key.
        name: its type.
        product: its product.
        quantity: units, NaN where not said.
        at: from when its evidence fades, microseconds since 1970.
        item: what else is known of it, for orders and refunds.
        acts: source key → its acts, encoded.
        places: source key → its place among the keys.
        pairs: (source key of a person, source key of a thing that the person identified on), each once.
    """

    keys: list[str] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    product: list[str] = field(default_factory=list)
    quantity: list[float] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    item: list[Item] = field(default_factory=list)
    acts: dict[str, list[bytes]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    pairs: dict[tuple[str, str], None] = field(default_factory=dict)


def columns(records: Iterable[Record], names: frozenset[str], named: frozenset[str]) -> Columns:
    """What a batch says.

    Args:
        records: in the stream's order.
        names: the interaction types that are evidence.
        named: those among them that take evidence back, or whose evidence is taken back.
    """
    made = Columns()
    for record in records:
        if record.identifiers:
            add_pairs(made, record.key_type, record.key, record.identifiers)
        name = record.name
        if PROPERTY in record.properties and record.channel in CHANNELS:
            at = min(record.occurred, record.received)
            add_motives(made, record.source_key, name, at, record.properties[PROPERTY], names)
        what = ACTS.get(name)
        if what is None and name not in names:
            continue
        key, at, said = record.source_key, min(record.occurred, record.received), record.properties
        if what in ("i", "x"):
            place = place_act(name, at, identifier(said.get("store_id")), said.get("place_id"))
            made.acts.setdefault(key, []).append(layout.encode_act(place))
            continue
        for item in items(record, is_named=name in named):
            add(made, key, name, at, item, names)
    return made


def add(made: Columns, key: str, name: str, at: int, item: Item, names: frozenset[str]) -> None:
    """Add one interaction to a batch: as evidence, as an act of its session, or as both."""
    what = ACTS.get(name)
    if what is not None:
        act = layout.Act(at, what, item.product_id, item.quantity if what in "ar" else None)
        made.acts.setdefault(key, []).append(layout.encode_act(act))
    if name in names:
        place = made.places.get(key)
        if place is None:
            place = made.places[key] = len(made.keys)
            made.keys.append(key)
        made.owner.append(place)
        made.name.append(name)
        made.product.append(item.product_id)
        made.quantity.append(math.nan if item.quantity is None else item.quantity)
        made.at.append(at)
        made.item.append(item)


def add_pairs(made: Columns, key_type: str, key: str, further: Iterable[Sequence[Any]]) -> None:
    """Note who has identified on what: an event's key, and its further identifiers (type, key, …)."""
    for kind, name, *_ in further:
        if (key_type, kind) in PAIRS:
            made.pairs[f"{key_type}:{key}", f"{kind}:{name}"] = None
        elif (kind, key_type) in PAIRS:
            made.pairs[f"{kind}:{name}", f"{key_type}:{key}"] = None


def add_motives(made: Columns, key: str, name: str, at: int, said: Any, names: frozenset[str]) -> None:
    """Add the motives that words of an interaction named: evidence without a product, which bears its own gene."""
    words = set(said.split()) if isinstance(said, str) else set()
    for word in sorted(words):
        kind = motive_kind(name, is_against=word.startswith("-"))
        if kind in names and f"-{word}" not in words:
            item = Item("", f"{LOCUS}:{word.removeprefix('-')}", None, None, None)
            add(made, key, kind, at, item, names)


def place_act(name: str, at: int, store_id: str | None, place_id: Any) -> layout.Act:
    """Coming into a place, or leaving it: a store, or the mall as a whole."""
    is_store = store_id is not None and not name.startswith("Mall ")
    place = store_id if is_store else identifier(place_id)
    return layout.Act(at, ACTS[name], place or "", None, "store" if is_store else "mall")
