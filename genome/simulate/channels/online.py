"""Site and app: sessions, carts, orders, banners, reviews; wrong clocks and phones that were offline."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from genome.simulate.behaviour import Columns
from genome.simulate.calendar import DAY, HOUR
from genome.simulate.channels.scene import Scene, choose, join, pick, where
from genome.simulate.identity import COOKIES
from genome.simulate.purchases import logistic
from genome.simulate.randomness import Bools, Floats, Ints
from genome.simulate.text import MOTIVE_NAMES, sentences

EVENTS = (
    "Page Viewed",
    "Application Opened",
    "Products Searched",
    "Product List Viewed",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Checkout Started",
    "Order Completed",
    "Promotion Viewed",
    "Promotion Clicked",
    "Promotion Dismissed",
    "Product Reviewed",
)
CODE = {name: number for number, name in enumerate(EVENTS)}
PAGES = ("home", "list", "product", "cart", "checkout")
PAGE_OF = np.array([0, 0, 1, 1, 2, 3, 3, 4, 4, 0, 0, 0, 2])
REFERRERS = ("direct", "search", "email", "social", "store")


@dataclass(frozen=True)
class Events(Columns):
    """Online events before they get identifiers; `session` points into `Where`."""

    session: Ints
    event: Ints
    instant: Ints
    product: Ints
    category: Ints
    offer: Ints
    quantity: Ints


@dataclass(frozen=True)
class Where(Columns):
    """Of each session: who, at which seller, from which thing."""

    person: Ints
    seller: Ints
    instant: Ints
    is_app: Bools
    on_tablet: Bools
    browser: Ints
    is_known: Bools
    referrer: Ints


def emit(scene: Scene) -> None:
    """Write web and app."""
    sessions = _places(scene)
    events = _events(scene, sessions)
    events = events.take(np.lexsort((events.event, events.instant, events.session)))
    events = events.take(events.instant < scene.days.cut_off)
    random = scene.random("online")
    count = len(events)
    faults = scene.parameters.channels
    late = random.random(count) < faults.late_share
    wait = np.where(late, random.integers(HOUR, 20 * HOUR, count), random.integers(200, 4_000, count))
    travel = random.integers(20, 900, count)
    session = events.session
    app = sessions.is_app[session]
    person = sessions.person[session]
    day = scene.days.day_of(events.instant)
    slot = np.where(app, 2, sessions.browser[session])
    skew = np.where(sessions.on_tablet[session], 0, scene.identity.clock_error[person, slot])
    stamped = events.instant + skew
    price = scene.world.product_price[np.maximum(events.product, 0)]
    price = np.round(price * (1 - scene.shelf_discount(np.maximum(events.product, 0), day)), 2)
    priced = (events.product >= 0) & (events.event != CODE["Product Reviewed"])
    ordered = events.event == CODE["Order Completed"]
    rating, words = _reviews(scene, sessions, events)
    review = events.event == CODE["Product Reviewed"]
    columns: dict[str, pa.Array] = {
        "event_id": scene.ids("online", count),
        "event": pick(pa.array(EVENTS), events.event),
        "sent_at": pa.array(stamped + wait),
        # A review is written on its own, days after the purchase, by somebody logged in.
        "session_id": pick(scene.ids("session", len(sessions)), session, ~review),
        "user_id": pick(scene.identity.user_id, person, sessions.is_known[session] | review),
        "seller_id": pick(scene.seller_id, sessions.seller[session]),
        "product_id": pick(scene.product_id, events.product),
        "query": pick(scene.category_name, events.category, events.event == CODE["Products Searched"]),
        "order_id": choose(ordered, join("W", scene.transaction_id(session)), None),
        "quantity": where((events.event == CODE["Product Added"]) | ordered, events.quantity),
        "price": where(priced, price),
        "amount": where(ordered, price * events.quantity),
        "currency": choose(priced, "USD", None),
        "offer_id": pick(scene.offer_id, events.offer),
    }
    held = np.where(day >= scene.identity.handed_day[person], scene.identity.device_person[person], person)
    cookie = COOKIES * person + 2 * sessions.browser[session]
    cookie = cookie + (day >= scene.identity.cleared_day[person, sessions.browser[session]])
    anonymous = choose(
        sessions.on_tablet[session],
        pick(scene.identity.tablet, scene.people.household[person]),
        pick(scene.identity.cookie, cookie),
    )
    at_home = (day < scene.people.away_from[person]) | (day >= scene.people.away_until[person])
    again = random.random(count) < faults.duplicates

    def write(key: str, mask: Bools, more: dict[str, pa.Array]) -> None:
        rows = np.concatenate([np.flatnonzero(mask), np.flatnonzero(mask & again)])
        channel = key.partition("/")[0]
        received = pa.array(scene.arrival(channel, events.instant, wait + travel))
        picked = pa.array(rows)
        every = columns | more | {"received_at": received}
        scene.sink.write(key, len(rows), {name: values.take(picked) for name, values in every.items()})

    away = choose(at_home, "US", "ES")
    write(
        "web/events",
        ~app,
        {
            "timestamp": pa.array(stamped),
            "anonymous_id": anonymous,
            "page": pick(pa.array(PAGES), PAGE_OF[events.event]),
            "referrer": pick(pa.array(REFERRERS), sessions.referrer[session]),
            "ip_country": away,
            "rating": rating,
            "text": words,
        },
    )
    kind = pa.array(["ios", "android"])
    zone = choose(at_home, scene.parameters.run.timezone, "Europe/Madrid")
    write(
        "app/events",
        app,
        {
            "occurred_at": pa.array(stamped),
            "device_id": pick(scene.identity.device, held),
            "os": pick(kind, held % 2),
            "timezone": zone,
        },
    )
    _truth(scene, sessions, events)


def _places(scene: Scene) -> Where:
    """The block's sessions, then one more for each banner shown."""
    purchases, people = scene.purchases, scene.people
    own = purchases.sessions
    contacts, outcomes = scene.history.contacts, purchases.outcomes
    banner = np.flatnonzero(scene.world.campaign_is_placebo[contacts.campaign] & contacts.is_sent)
    random = scene.random("places")
    person = np.concatenate([own.person, contacts.person[banner]])
    count = len(person)
    is_app = np.concatenate([own.is_app, np.zeros(len(banner), dtype=bool)])
    tablet = np.asarray(scene.identity.tablet.is_valid())[people.household[person]]
    bought = np.concatenate([own.is_bought, np.zeros(len(banner), dtype=bool)])
    from_store = np.concatenate([own.is_from_store, np.zeros(len(banner), dtype=bool)])
    login = np.where(bought, 0.9, 0.4)
    return Where(
        person=person,
        seller=np.concatenate([own.seller, scene.world.campaign_seller[contacts.campaign[banner]]]),
        instant=np.concatenate([own.instant, outcomes.contact_instant[banner] + 10 * HOUR]),
        is_app=is_app,
        on_tablet=tablet & ~is_app & (random.random(count) < 0.35),
        browser=(random.random(count) < 0.35).astype(np.int64),
        is_known=people.has_account[person] & (is_app | (random.random(count) < login)),
        referrer=np.where(from_store, 4, random.choice(4, count, p=[0.45, 0.3, 0.17, 0.08])),
    )


def _events(scene: Scene, sessions: Where) -> Events:
    purchases, people = scene.purchases, scene.people
    own, views = purchases.sessions, purchases.views
    random = scene.random("events")
    every = np.arange(len(own))
    searched = np.flatnonzero(own.category >= 0)
    seen = own.instant[views.session] + 30_000 + 45_000 * views.position
    added = np.flatnonzero(views.is_added)
    removed = added[~views.is_bought[added] & (random.random(len(added)) < 0.2)]
    has_cart = np.bincount(views.session[added], minlength=len(own)) > 0
    starts = np.flatnonzero(own.is_bought | (has_cart & (random.random(len(own)) < 0.2)))
    ordered = purchases.lines.take(purchases.lines.store < 0)
    order_session = ordered.visit - len(scene.history.trips)
    banner = len(own) + np.arange(len(sessions) - len(own))
    contacts = scene.history.contacts
    shown = np.flatnonzero(scene.world.campaign_is_placebo[contacts.campaign] & contacts.is_sent)
    clicks = random.random(len(shown)) < logistic(
        -2.6 + scene.parameters.response.click_match * contacts.match[shown]
    )
    dismisses = ~clicks & (random.random(len(shown)) < 0.05)
    able = np.flatnonzero(people.has_account[purchases.lines.person])
    reviewed = able[random.random(len(able)) < np.where(purchases.lines.seller[able] == 0, 0.0005, 0.03)]
    where_reviewed, at_reviewed = _review_sessions(scene, sessions, reviewed, random)

    def part(
        session: Ints,
        code: str,
        instant: Ints,
        product: Ints | int = -1,
        category: Ints | int = -1,
        offer: Ints | int = -1,
        quantity: Ints | int = 1,
    ) -> Events:
        count = len(session)
        return Events(
            session=session,
            event=np.full(count, CODE[code]),
            instant=instant,
            product=np.broadcast_to(np.asarray(product), count),
            category=np.broadcast_to(np.asarray(category), count),
            offer=np.broadcast_to(np.asarray(offer), count),
            quantity=np.broadcast_to(np.asarray(quantity), count),
        )

    app = own.is_app
    return Events.joined(
        [
            part(every[~app], "Page Viewed", own.instant[~app]),
            part(every[app], "Application Opened", own.instant[app]),
            part(
                searched, "Products Searched", own.instant[searched] + 8_000, category=own.category[searched]
            ),
            part(
                searched,
                "Product List Viewed",
                own.instant[searched] + 9_500,
                category=own.category[searched],
            ),
            part(views.session, "Product Viewed", seen, product=views.product),
            part(views.session[added], "Product Added", seen[added] + 20_000, product=views.product[added]),
            part(
                views.session[removed],
                "Product Removed",
                seen[removed] + 200_000,
                product=views.product[removed],
            ),
            part(starts, "Checkout Started", own.instant[starts] + 11 * 60_000),
            part(
                order_session,
                "Order Completed",
                ordered.instant,
                product=ordered.product,
                quantity=ordered.quantity,
            ),
            part(banner, "Page Viewed", sessions.instant[banner]),
            part(banner, "Promotion Viewed", sessions.instant[banner] + 1_000, offer=contacts.offer[shown]),
            part(
                banner[clicks],
                "Promotion Clicked",
                sessions.instant[banner[clicks]] + 6_000,
                offer=contacts.offer[shown][clicks],
            ),
            part(
                banner[dismisses],
                "Promotion Dismissed",
                sessions.instant[banner[dismisses]] + 4_000,
                offer=contacts.offer[shown][dismisses],
            ),
            part(where_reviewed, "Product Reviewed", at_reviewed, product=purchases.lines.product[reviewed]),
        ]
    )


def _review_sessions(
    scene: Scene, sessions: Where, lines: Ints, random: np.random.Generator
) -> tuple[Ints, Ints]:
    """Reviews are written in the reviewer's first web session of the block, days after the purchase."""
    person = scene.purchases.lines.person[lines]
    web = np.flatnonzero(~sessions.is_app & ~sessions.on_tablet)
    first = np.full(scene.people.count, -1)
    first[sessions.person[web][::-1]] = web[::-1]
    at = scene.purchases.lines.instant[lines] + (random.random(len(lines)) * 6 + 1) * DAY
    session = first[person]
    # Without any session of one's own nobody reviews; those fall out with the rows after the cut-off.
    return np.maximum(session, 0), np.where(session >= 0, at, scene.days.cut_off + DAY).astype(np.int64)


def liking(scene: Scene, person: Ints, product: Ints) -> Floats:
    """What a person thinks of a product, about −2 … 2: taste for its brand and tier."""
    people, world = scene.people, scene.world
    tier = people.tier_taste[person] * (world.product_tier[product] - 1)
    return people.brand_taste[person, world.product_brand[product]] + tier


def _reviews(scene: Scene, sessions: Where, events: Events) -> tuple[pa.Array, pa.Array]:
    random = scene.random("reviews")
    mask = events.event == CODE["Product Reviewed"]
    rows = np.flatnonzero(mask)
    person = sessions.person[events.session[rows]]
    likes = liking(scene, person, events.product[rows]) + random.normal(0.6, 0.8, len(rows))
    stars = np.clip(np.round(3.4 + 1.1 * likes), 1, 5).astype(np.int64)
    motive = np.where(stars >= 4, MOTIVE_NAMES.index("praise"), MOTIVE_NAMES.index("average"))
    bad = stars <= 2
    motive[bad] = random.choice([MOTIVE_NAMES.index("quality"), MOTIVE_NAMES.index("price")], int(bad.sum()))
    category = pick(scene.category_name, scene.world.product_category[events.product[rows]])
    rating = np.zeros(len(events), dtype=np.int64)
    rating[rows] = stars
    words = sentences(motive, category, random)
    place = np.full(len(events), -1)
    place[rows] = np.arange(len(rows))
    ids = scene.ids("online", len(events)).take(pa.array(rows))
    scene.motives.append(
        pa.table(
            {
                "channel": pa.array(["web"] * len(rows), pa.string()),
                "message_id": ids,
                "motive": pick(pa.array(MOTIVE_NAMES), motive),
                "person_id": scene.people.person_id[person],
            }
        )
    )
    return where(mask, rating), pick(words, place) if len(rows) else pa.nulls(len(events), pa.string())


def _truth(scene: Scene, sessions: Where, events: Events) -> None:
    """Whose sessions those on shared tablets and without a login really were."""
    session = np.unique(events.session)
    session = session[sessions.on_tablet[session] | ~sessions.is_known[session]]
    scene.owners.append(
        pa.table(
            {
                "channel": choose(sessions.is_app[session], "app", "web"),
                "session_id": scene.ids("session", len(sessions)).take(pa.array(session)),
                "person_id": scene.people.person_id[sessions.person[session]],
            }
        )
    )
