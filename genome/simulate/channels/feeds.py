"""What the head office sends: products, offers, stores, stock and prices. Made once, for all people."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from genome.simulate.calendar import DAY, HOUR, Calendar
from genome.simulate.channels.scene import choose, join, pick, text
from genome.simulate.parameters import Parameters
from genome.simulate.randomness import Ints
from genome.simulate.sink import Sink, Values, Written, save
from genome.simulate.tables import STREAMS, TYPES
from genome.simulate.world import GROCER, KINDS, SELLER_IDS, SELLERS, World

SIZES = {True: ("8 OZ", "16 OZ", "32 OZ"), False: ("1 CT", "2 CT", "4 CT")}
TYPES_OF = ("classic", "light", "premium")


def emit(parameters: Parameters, world: World, days: Calendar, root: Path) -> list[Written]:
    """Write the five feeds."""
    sink = Sink(root, "part-feed", days)
    product = np.arange(world.products)
    category = world.product_category
    seller = world.category_seller[category]
    seller_ids, product_id = pa.array(SELLER_IDS), text(world.product_id(product))
    category_names = pa.array(world.category_name)
    before = int(days.midnight[0]) - 200 * DAY
    launched = np.where(
        world.launched_day >= 0, days.midnight[np.maximum(0, world.launched_day)] - 7 * DAY, before
    )
    retired = world.retired_day <= days.days
    sizes = pa.array([*SIZES[True], *SIZES[False]])
    brands = join("brand-", text(world.product_brand))
    words = pick(pa.array(TYPES_OF), world.product_type)
    _whole(
        sink,
        "products/products",
        len(product),
        {
            "product_id": product_id,
            "department": pick(pa.array([each.department for each in SELLERS]), seller),
            "category": pick(category_names, category),
            "product_type": join(pick(category_names, category), "-", words),
            "brand_id": brands,
            "brand_type": choose(world.is_private, "Private", "National"),
            "package_size": pick(sizes, world.product_size + 3 * (seller != GROCER)),
            "valid_from": launched,
            "seller_id": pick(seller_ids, seller),
            "price": world.product_price,
            "label": join(brands, " ", words, " ", pick(category_names, category), " ", product_id),
            "retired_at": pa.array(days.midnight[np.minimum(days.days, world.retired_day)], mask=~retired),
        },
    )
    _offers(sink, world, days, product_id, seller_ids)
    store = np.arange(world.stores)
    _whole(
        sink,
        "stores/stores",
        len(store),
        {
            "store_id": text(world.store_id(store)),
            "seller_id": pick(seller_ids, store % world.sellers),
            "mall_id": join("mall-", text(1 + store // world.sellers)),
            "name": join(pick(seller_ids, store % world.sellers), " ", text(1 + store // world.sellers)),
            "floor": store % 3,
            "beacon_id": join("b-", text(world.store_id(store))),
            "latitude": 40.7 + 0.05 * (store // world.sellers),
            "longitude": -73.9 - 0.05 * (store // world.sellers),
            "opens_at": "08:00",
            "closes_at": "22:00",
            "valid_from": np.full(len(store), before),
        },
    )
    _stock(sink, world, days, product_id, seller_ids)
    _prices(parameters, sink, world, days, product_id, seller_ids)
    return sink.files


def _whole(sink: Sink, key: str, count: int, columns: dict[str, Values]) -> None:
    """One file for the whole feed: a catalogue is not cut by months."""
    stream = STREAMS[key]
    arrays = []
    for name, kind in stream.columns.items():
        values = columns[name]
        arrays.append(
            pa.array([values] * count, TYPES[kind])
            if isinstance(values, str)
            else _typed(values, TYPES[kind])
        )
    folder = sink.root / "inbox" / stream.channel
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stream.name}.{stream.format}"
    sink.files.append(save(pa.table(arrays, stream.schema), path, stream.format, sink.root))


def _typed(values: Values, target: pa.DataType) -> pa.Array:
    return (values if isinstance(values, pa.Array) else pa.array(values)).cast(target)


def _offers(sink: Sink, world: World, days: Calendar, product_id: pa.Array, seller_ids: pa.Array) -> None:
    offer, product = np.nonzero(world.offer_products)
    campaign = world.offer_campaign[offer]
    campaigns = text(1 + np.arange(len(world.campaign_day)))
    upc = text(5_000_000_000 + np.arange(len(world.offer_campaign)))
    starts = days.midnight[world.campaign_day[campaign]]
    # Some windows end past the period: local midnights there are counted on in days of 24 hours.
    past = np.maximum(0, world.campaign_ends - days.days)[campaign]
    ends = days.midnight[np.minimum(world.campaign_ends, days.days)[campaign]] + past * DAY
    _whole(
        sink,
        "offers/offers",
        len(offer),
        {
            "offer_id": join(pick(campaigns, campaign), "-", pick(upc, offer)),
            "campaign_id": pick(campaigns, campaign),
            "campaign_type": pick(pa.array(world.campaign_type), campaign),
            "coupon_upc": pick(upc, offer),
            "kind": pick(pa.array(KINDS), world.offer_kind[offer]),
            "starts_at": starts,
            "ends_at": ends,
            "announced_at": starts - 7 * DAY,
            "product_id": pick(product_id, product),
            "seller_id": pick(seller_ids, world.campaign_seller[campaign]),
            "discount": world.offer_discount[offer],
        },
    )


def _stock(sink: Sink, world: World, days: Calendar, product_id: pa.Array, seller_ids: pa.Array) -> None:
    """A row whenever a shelf runs empty or is filled."""
    edges = np.diff(world.out_of_stock.astype(np.int8), axis=2, prepend=0)
    store, product, day = np.nonzero(edges)
    # Each store only sells what its seller sells.
    own = world.category_seller[world.product_category[product]] == store % world.sellers
    store, product, day = store[own], product[own], day[own]
    out = edges[store, product, day] == 1
    at = days.midnight[day] + np.where(out, 7 * HOUR, 6 * HOUR)
    sink.write(
        "stock/stock",
        len(store),
        {
            "store_id": text(world.store_id(store)),
            "product_id": pick(product_id, product),
            "seller_id": pick(seller_ids, store % world.sellers),
            "state": choose(out, "out", "in"),
            "changed_at": at,
            "received_at": at + 300_000,
        },
    )


def _prices(
    parameters: Parameters,
    sink: Sink,
    world: World,
    days: Calendar,
    product_id: pa.Array,
    seller_ids: pa.Array,
) -> None:
    """The list price of every product, then each week's shelf discounts, then the day of promotion."""
    product = np.arange(world.products)
    everything: list[tuple[Ints, np.ndarray, str, Ints, Ints, bool]] = []
    zero = np.zeros(len(product), dtype=np.int64)
    listed = np.where(
        world.launched_day >= 0, days.midnight[np.maximum(0, world.launched_day)], days.midnight[0]
    )
    everything.append((product, world.product_price, "list", listed, zero, True))
    low, week = np.nonzero(world.shelf_discount)
    inside = week * 7 < days.days
    low, week = low[inside], week[inside]
    price = np.round(world.product_price[low] * (1 - world.shelf_discount[low, week]), 2)
    until = days.midnight[np.minimum(days.days, week * 7 + 7)]
    everything.append((low, price, "shelf", days.midnight[week * 7], until, False))
    for day in np.flatnonzero(days.is_promotion[: days.days]):
        price = np.round(world.product_price * (1 - parameters.world.promotion_discount), 2)
        begin, end = (np.full(len(product), days.midnight[number]) for number in (day, day + 1))
        everything.append((product, price, "promotion_day", begin, end, False))
    for number, value, reason, begin, end, is_open in everything:
        named = Sink(sink.root, f"part-{reason.replace('_', '-')}", days)
        named.write(
            "prices/prices",
            len(number),
            {
                "product_id": pick(product_id, number),
                "seller_id": pick(seller_ids, world.category_seller[world.product_category[number]]),
                "price": value,
                "reason": reason,
                "valid_from": begin,
                "valid_to": pa.array(end, mask=np.full(len(number), is_open)),
            },
        )
        sink.files.extend(named.files)
