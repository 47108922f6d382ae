"""What all people share: sellers, stores, products with DNA, prices, stock, campaigns and their offers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genome.simulate.calendar import Calendar
from genome.simulate.parameters import Parameters
from genome.simulate.randomness import WORLD, Bools, Chance, Floats, Ints


@dataclass(frozen=True)
class SellerKind:
    """A seller, its categories with the median price of each, and its department names."""

    seller_id: str
    department: str
    categories: tuple[tuple[str, float], ...]
    brands: int


_GROCERY = """milk:2.4 cheese:3.1 yogurt:1.3 eggs:2.2 butter:3.0 bread:2.1 pastry:3.2 cereal:3.0 coffee:6.5
tea:3.2 juice:2.9 soft_drinks:2.8 water:2.6 beer:8.5 wine:9.5 crisps:2.6 cookies:2.5
chocolate:2.2 candy:1.4 ice_cream:3.6 frozen_pizza:4.2 frozen_meals:2.7 frozen_vegetables:1.9
beef:6.2 chicken:5.1 pork:5.0 fish:6.8 deli_meat:4.1 sausages:3.3 apples:2.1 bananas:1.0
berries:3.2 salad:2.3 tomatoes:1.9 potatoes:2.3 onions:1.2 pasta:1.4 rice:1.9 sauces:2.2
soup:1.4 canned_vegetables:0.9 canned_fish:1.4 baby_food:1.1 diapers:9.9 cat_food:1.0
dog_food:4.9 detergent:5.9 cleaning:3.1 paper_towels:4.4 toilet_paper:5.4 shampoo_basic:3.9
toothpaste:2.7"""
_OTHERS = {
    "fashion": "dresses:49 shirts:29 jeans:55 sweaters:45 coats:110 shoes:65 underwear:15 accessories:19",
    "home": "cookware:32 bedding:45 lamps:38 candles:12 storage:18 towels:14",
    "electronics": "headphones:69 phones:420 tablets:280 chargers:19 speakers:89 games:45",
    "sports": "running_shoes:95 yoga:28 cycling:60 fitness:35 outdoor_jackets:120 team_sports:30",
    "beauty": "perfume:55 skincare:22 makeup:16 hair_care:12 shaving:11 gift_sets:35",
}


def _categories(text: str) -> tuple[tuple[str, float], ...]:
    pairs = [each.split(":") for each in text.split()]
    return tuple((name, float(price)) for name, price in pairs)


SELLERS: tuple[SellerKind, ...] = (
    SellerKind("grocer", "grocery", _categories(_GROCERY), 40),
    *(SellerKind(name, name, _categories(text), 12) for name, text in _OTHERS.items()),
)
SELLER_IDS = [seller.seller_id for seller in SELLERS]
GROCER = 0
# Presents: these sellers feel the weeks before Christmas most.
GIFT_SELLERS = np.array([0.4, 1.0, 0.8, 1.6, 0.8, 1.6])

CHANNELS = ("email", "sms_push", "direct_mail")
KINDS = ("cross_sell", "up_sell")


@dataclass(frozen=True)
class World:
    """Columns of products, campaigns and offers; indexes point from one into another."""

    sellers: int
    malls: int
    # categories
    category_name: list[str]
    category_seller: Ints
    category_log_weight: Floats
    category_start: Ints
    """First product of each category; products lie in category order."""
    # products
    product_category: Ints
    product_type: Ints
    product_brand: Ints
    is_private: Bools
    product_price: Floats
    product_tier: Ints
    product_size: Ints
    product_log_weight: Floats
    launched_day: Ints
    retired_day: Ints
    shelf_discount: Floats
    """(product, week)."""
    out_of_stock: Bools
    """(store, product, day)."""
    # campaigns
    campaign_seller: Ints
    campaign_channel: Ints
    campaign_type: list[str]
    campaign_day: Ints
    campaign_ends: Ints
    campaign_offers: Ints
    """(campaign, 3): the offers a person may draw."""
    campaign_is_placebo: Bools
    """Shown on the site without any effect: what an honest estimate must find to be nothing."""
    # offers
    offer_campaign: Ints
    offer_category: Ints
    offer_kind: Ints
    offer_discount: Floats
    offer_products: Bools
    """(offer, product)."""

    @property
    def products(self) -> int:
        """How many products."""
        return len(self.product_category)

    @property
    def categories(self) -> int:
        """How many categories."""
        return len(self.category_name)

    @property
    def stores(self) -> int:
        """How many stores."""
        return self.sellers * self.malls

    def products_of(self, category: int) -> slice:
        """The products of a category."""
        return slice(int(self.category_start[category]), int(self.category_start[category + 1]))

    def categories_of(self, seller: int) -> Ints:
        """The categories of a seller."""
        return np.flatnonzero(self.category_seller == seller)

    def product_id(self, product: Ints) -> Ints:
        """The number under which the retailer knows a product."""
        return 100_000 + product

    def store_id(self, store: Ints) -> Ints:
        """The number under which the retailer knows a store (mall by mall)."""
        return 1 + store


def build(parameters: Parameters, seed: int, days: Calendar) -> World:
    """The world of a seed."""
    chance = Chance(seed, WORLD)
    names = [name for seller in SELLERS for name, _ in seller.categories]
    category_seller = np.array(
        [number for number, seller in enumerate(SELLERS) for _ in seller.categories], dtype=np.int64
    )
    median_price = np.array([price for seller in SELLERS for _, price in seller.categories])
    weight = chance.stream("categories").normal(0, parameters.behaviour.category_sd, len(names))

    products = _products(parameters, chance, category_seller, median_price, weight)
    stock = _stock(parameters, chance, len(products["product_category"]), days)
    campaigns = _campaigns(parameters, chance, category_seller, products, days)
    return World(
        sellers=len(SELLERS),
        malls=parameters.world.malls,
        category_name=names,
        category_seller=category_seller,
        category_log_weight=weight,
        out_of_stock=stock,
        **products,
        **campaigns,
    )


def _products(
    parameters: Parameters,
    chance: Chance,
    category_seller: Ints,
    median_price: Floats,
    category_weight: Floats,
) -> dict[str, Any]:
    random = chance.stream("products")
    share = np.exp(0.5 * category_weight)
    counts = np.maximum(4, np.floor(parameters.world.products * share / share.sum())).astype(np.int64)
    category = np.repeat(np.arange(len(counts)), counts)
    start = np.concatenate([[0], np.cumsum(counts)])
    count = len(category)
    position = np.arange(count) - start[category]

    brands = np.array([seller.brands for seller in SELLERS])
    first_brand = np.concatenate([[0], np.cumsum(brands)])[:-1]
    seller = category_seller[category]
    # A category sees only a few of its seller's brands: those around a centre of its own.
    centre = random.integers(0, 1 << 30, len(counts))[category]
    brand = first_brand[seller] + (centre + random.integers(0, 6, count)) % brands[seller]
    tier_draw = random.normal(0, 0.35, count)
    private = random.random(count) < 0.2
    price = median_price[category] * np.exp(tier_draw - 0.15 * private)
    price = np.maximum(0.29, np.floor(price * 10) / 10 + 0.09)
    # The tier is the tercile of the price within the category.
    order = np.lexsort((price, category))
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count) - start[category[order]]
    tier = np.minimum(2, rank * 3 // counts[category])

    period = parameters.run.days
    launched = np.full(count, -1, dtype=np.int64)
    retired = np.full(count, period + 1, dtype=np.int64)
    draw = random.random(count)
    day = random.integers(5, max(6, period - 5), count)
    # The best seller of a category is never launched or retired: a category always has something to sell.
    movable = position > 0
    is_launch = movable & (draw < parameters.world.launched_share)
    is_retire = (
        movable & ~is_launch & (draw < parameters.world.launched_share + parameters.world.retired_share)
    )
    launched[is_launch] = day[is_launch]
    retired[is_retire] = day[is_retire]

    weeks = parameters.run.days // 7 + 1
    on_shelf = random.random((count, weeks)) < parameters.world.shelf_discount_share
    shelf = np.where(on_shelf, random.choice([0.10, 0.15, 0.20, 0.25, 0.30], (count, weeks)), 0.0)
    return {
        "category_start": start,
        "product_category": category,
        "product_type": random.integers(0, 3, count),
        "product_brand": brand,
        "is_private": private,
        "product_price": price.round(2),
        "product_tier": tier,
        "product_size": random.integers(0, 3, count),
        # Zipf within the category: a few products sell most.
        "product_log_weight": -0.9 * np.log1p(position) + random.normal(0, 0.2, count),
        "launched_day": launched,
        "retired_day": retired,
        "shelf_discount": shelf,
    }


def _stock(parameters: Parameters, chance: Chance, products: int, days: Calendar) -> Bools:
    random = chance.stream("stock")
    stores = len(SELLERS) * parameters.world.malls
    out = np.zeros((stores, products, days.days), dtype=bool)
    for store in range(stores):  # one store at a time keeps the random draws small
        begins = random.random((products, days.days)) < parameters.world.stockout_rate
        product, day = np.nonzero(begins)
        length = random.geometric(1 / parameters.world.stockout_days, len(product))
        for offset in range(int(length.max(initial=0))):
            inside = (offset < length) & (day + offset < days.days)
            out[store, product[inside], day[inside] + offset] = True
    return out


def _campaigns(
    parameters: Parameters, chance: Chance, category_seller: Ints, products: dict[str, Any], days: Calendar
) -> dict[str, Any]:
    """Mails each week, texts every other week, letters now and then, and placebo banners on the site."""
    random = chance.stream("campaigns")
    rows: list[tuple[int, int, str, int, int, bool]] = []
    for seller in range(len(SELLERS)):
        for day in range(3 + seller % 5, days.days - 3, 7):
            rows.append((seller, 0, "Weekly", day, 7, False))
        for day in range(5 + (2 * seller) % 7, days.days - 3, 14):
            rows.append((seller, 1, "Flash", day, 3, False))
        for day in range(2 + seller % 3, days.days - 7, 28):
            rows.append((seller, 0, "Banner", day, 14, True))
    letters = ["Type A", "Type B", "Type B", "Type C"]
    for number, day in enumerate(range(4, days.days - 10, 10)):
        rows.append((0 if number % 3 else number % len(SELLERS), 2, letters[number % 4], day, 28, False))
    rows.sort(key=lambda row: (row[3], row[0], row[1], row[5]))

    count = len(rows)
    offer_campaign = np.repeat(np.arange(count), 3)
    offers = len(offer_campaign)
    kind = (random.random(offers) < parameters.response.up_sell_share).astype(np.int64)
    category = np.empty(offers, dtype=np.int64)
    member = np.zeros((offers, len(products["product_category"])), dtype=bool)
    start = products["category_start"]
    for offer in range(offers):
        own = np.flatnonzero(category_seller == rows[offer_campaign[offer]][0])
        category[offer] = own[random.integers(len(own))]
        inside = np.arange(start[category[offer]], start[category[offer] + 1])
        if kind[offer] == 1:  # the dearest third
            inside = inside[products["product_tier"][inside] == 2]
        take = max(2, int(np.ceil(0.6 * len(inside))))
        member[offer, random.permutation(inside)[:take]] = True
    begins = np.array([row[3] for row in rows], dtype=np.int64)
    return {
        "campaign_seller": np.array([row[0] for row in rows], dtype=np.int64),
        "campaign_channel": np.array([row[1] for row in rows], dtype=np.int64),
        "campaign_type": [row[2] for row in rows],
        "campaign_day": begins,
        "campaign_ends": begins + np.array([row[4] for row in rows], dtype=np.int64),
        "campaign_offers": np.arange(offers).reshape(count, 3),
        "campaign_is_placebo": np.array([row[5] for row in rows]),
        "offer_campaign": offer_campaign,
        "offer_category": category,
        "offer_kind": kind,
        "offer_discount": random.choice([0.10, 0.15, 0.20, 0.25, 0.30], offers),
        "offer_products": member,
    }
