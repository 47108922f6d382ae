"""From trips, sessions and contacts to lines that were bought, with what would have been bought otherwise."""

from dataclasses import dataclass

import numpy as np

from genome.simulate.behaviour import Columns, Contacts, History, Visits
from genome.simulate.calendar import HOUR, Calendar
from genome.simulate.choice import Choice
from genome.simulate.parameters import Parameters
from genome.simulate.people import People
from genome.simulate.randomness import Bools, Chance, Floats, Ints
from genome.simulate.world import GROCER, World

ORGANIC, MOVED, ONLINE_TO_STORE, POSTPONED, SUBSTITUTED = range(5)
ORIGINS = ("organic", "moved", "online_to_store", "postponed", "substituted")
CONTACT_HOURS = np.array([7.0, 10.0, 0.0])
"""Local hour at which mails, texts and letters go out; letters count from the day's beginning."""
LOST, SUBSTITUTE, POSTPONE = 0, 1, 2
REACTIONS = ("lost", "substituted", "postponed")
POSTPONED_VISITS = 1 << 24
"""Receipts of postponed purchases are numbered from here, past all others of a block."""


@dataclass(frozen=True)
class Lines(Columns):
    """Lines of receipts and online orders; `visit` numbers the receipt (or session) within the block."""

    visit: Ints
    person: Ints
    seller: Ints
    store: Ints
    """−1 online."""
    day: Ints
    instant: Ints
    product: Ints
    quantity: Ints
    origin: Ints
    offer: Ints
    """The offer whose coupon was used, or −1."""


@dataclass(frozen=True)
class Stockouts(Columns):
    """What somebody wanted and the shelf did not have."""

    person: Ints
    store: Ints
    day: Ints
    instant: Ints
    product: Ints
    reaction: Ints


@dataclass(frozen=True)
class Views(Columns):
    """Products seen in sessions."""

    session: Ints
    position: Ints
    product: Ints
    is_added: Bools
    is_bought: Bools


@dataclass(frozen=True)
class Sessions(Columns):
    """Visits to site or app."""

    person: Ints
    seller: Ints
    day: Ints
    instant: Ints
    category: Ints
    """The category searched, −1: none."""
    is_from_store: Bools
    is_app: Bools
    is_bought: Bools


@dataclass(frozen=True)
class Outcomes:
    """Of each contact in an audience: what happens without it, and with it."""

    contact_instant: Ints
    bought_without: Bools
    bought_with: Bools
    chance_moved: Floats
    chance_off: Floats
    is_able: Bools
    """Not away, stores open, the offer on the shelf on the day drawn: only then can anybody be moved."""
    is_redeemed: Bools


@dataclass(frozen=True)
class Purchases:
    """Everything bought, looked at, missed, and its truth."""

    lines: Lines
    sessions: Sessions
    views: Views
    stockouts: Stockouts
    outcomes: Outcomes
    shown_not_bought: int
    """Views that could lead to a store, and how many did (the truth of online → store)."""
    led_to_store: int
    trips_that_could_lead_online: int
    led_online: int
    visits: int


def moved_log_odds(
    parameters: Parameters, world: World, people: People, contacts: Contacts, campaign_is_a: Bools
) -> Floats:
    """Log odds that a contact moves somebody who would not have bought: the response model's first line."""
    response = parameters.response
    channel = world.campaign_channel[contacts.campaign]
    base = np.array([response.move_email, response.move_sms_push, response.move_direct_mail])[channel]
    return (
        base
        + response.move_type_a * campaign_is_a
        + response.move_match * contacts.match
        + response.move_discount
        * world.offer_discount[contacts.offer]
        * people.price_sensitivity[contacts.person]
        + response.move_fatigue * contacts.fatigue
    )


def off_log_odds(parameters: Parameters, contacts: Contacts) -> Floats:
    """Log odds that a contact puts somebody off who would have bought: the second line."""
    return parameters.response.off_base + parameters.response.off_fatigue * contacts.fatigue


def logistic(value: Floats) -> Floats:
    """1 / (1 + e^−x)."""
    return 1 / (1 + np.exp(-value))


def buy(
    parameters: Parameters,
    world: World,
    days: Calendar,
    people: People,
    history: History,
    seed: int,
    block: int,
) -> Purchases:
    """Fill baskets and carts, then let the contacts do what they do."""
    chance = Chance(seed, block + 1)
    choice = Choice(world, people, days.days // 7 + 1)
    response = parameters.response

    wanted = _baskets(parameters, world, days, people, history.trips, choice, chance)
    lines, stockouts = _empty_shelves(parameters, world, days, wanted, choice, chance)
    visits = len(history.trips)

    sessions, could, did = _sessions(parameters, world, days, people, history, choice, lines, chance)
    views, sessions = _views(parameters, sessions, choice, chance)
    online = _online_orders(views, sessions, chance, visits)
    visits += len(sessions)

    random = chance.stream("online_to_store")
    seen = np.flatnonzero(~views.is_bought & ~sessions.is_from_store[views.session])
    origin = views.session[seen]
    day = sessions.day[origin] + random.integers(1, response.online_to_store_days + 1, len(seen))
    day = _next_open(days, day)
    able = _is_on_shelf(
        world,
        days,
        _home_store(world, people, sessions.person[origin], views.product[seen]),
        views.product[seen],
        day,
    )
    leads = np.flatnonzero(able & (random.random(len(seen)) < response.online_to_store))
    origin, day = origin[leads], day[leads]
    extra = _single_lines(
        world,
        days,
        people,
        sessions.person[origin],
        views.product[seen[leads]],
        day,
        ONLINE_TO_STORE,
        random,
        visits,
    )
    visits += len(leads)
    lines = Lines.joined([lines, online, extra])

    lines, outcomes, added = _respond(
        parameters, world, days, people, history.contacts, lines, visits, chance
    )
    return Purchases(
        lines=lines,
        sessions=sessions,
        views=views,
        stockouts=stockouts,
        outcomes=outcomes,
        shown_not_bought=int(able.sum()),
        led_to_store=len(leads),
        trips_that_could_lead_online=could,
        led_online=did,
        visits=visits + added,
    )


def _hours(
    person: Ints,
    preferred: Floats,
    spread: float,
    earliest: float,
    latest: float,
    draw: Floats,
) -> Ints:
    """Milliseconds of the day around each person's own hour."""
    hour = preferred[person] + spread * draw
    # Reflected at opening and closing time: a pile of visits at exactly 21:30 would look like no shop.
    hour = earliest + np.abs(hour - earliest)
    hour = latest - np.abs(latest - hour)
    return (np.clip(hour, earliest, latest) * HOUR).astype(np.int64)


def _baskets(
    parameters: Parameters,
    world: World,
    days: Calendar,
    people: People,
    trips: Visits,
    choice: Choice,
    chance: Chance,
) -> Lines:
    behaviour = parameters.behaviour
    random = chance.stream("baskets")
    count = len(trips)
    instant = days.instant(
        trips.day, _hours(trips.person, people.trip_hour, 2.2, 8.0, 21.5, random.normal(0, 1, count))
    )
    log_size = np.where(
        trips.seller == GROCER,
        people.basket_mean[trips.person] + behaviour.basket_sd * random.normal(0, 1, count),
        behaviour.other_basket_mean + 0.5 * random.normal(0, 1, count),
    )
    size = np.clip(np.floor(np.exp(log_size) + 0.35), 1, 90).astype(np.int64)
    visit = np.repeat(np.arange(count), size)
    person, seller, day = trips.person[visit], trips.seller[visit], trips.day[visit]
    category = choice.categories(person, seller, day, random)
    product = choice.products(person, category, day, random)
    more = (seller == GROCER) & (random.random(len(visit), dtype=np.float32) < 0.22)
    return Lines(
        visit=visit,
        person=person,
        seller=seller,
        store=people.home_mall[person] * world.sellers + seller,
        day=day,
        instant=instant[visit],
        product=product,
        quantity=1 + more * random.geometric(0.7, len(visit)),
        origin=np.full(len(visit), ORGANIC),
        offer=np.full(len(visit), -1),
    )


def _empty_shelves(
    parameters: Parameters, world: World, days: Calendar, wanted: Lines, choice: Choice, chance: Chance
) -> tuple[Lines, Stockouts]:
    response = parameters.response
    random = chance.stream("stockouts")
    missing = np.flatnonzero(world.out_of_stock[wanted.store, wanted.product, wanted.day])
    draw = random.random(len(missing))
    reaction = np.where(
        draw < response.stockout_substitute,
        SUBSTITUTE,
        np.where(draw < response.stockout_substitute + response.stockout_postpone, POSTPONE, LOST),
    )
    gap = wanted.take(missing)
    stockouts = Stockouts(gap.person, gap.store, gap.day, gap.instant, gap.product, reaction)
    kept = np.ones(len(wanted), dtype=bool)
    kept[missing] = False

    instead = gap.take(reaction == SUBSTITUTE)
    empty = world.out_of_stock[instead.store, :, instead.day]
    category = world.product_category[instead.product]
    other = choice.products(instead.person, category, instead.day, random, unavailable=empty)
    found = ~empty[np.arange(len(instead)), other]
    instead = _replaced(instead, product=other, origin=np.full(len(instead), SUBSTITUTED)).take(found)

    later = gap.take(reaction == POSTPONE)
    day = _next_open(days, later.day + random.integers(2, 6, len(later)))
    inside = (day < days.days) & _is_on_shelf(world, days, later.store, later.product, day)
    later, day = later.take(inside), day[inside]
    shift = days.midnight[day] - days.midnight[later.day]
    # A postponed product gets a receipt of its own, on another day.
    fresh = POSTPONED_VISITS + np.arange(len(later))
    later = _replaced(
        later, day=day, instant=later.instant + shift, origin=np.full(len(later), POSTPONED), visit=fresh
    )
    return Lines.joined([wanted.take(kept), instead, later]), stockouts


def _next_open(days: Calendar, day: Ints) -> Ints:
    """The same day, or the one after Christmas."""
    return day + (days.trips[np.minimum(day, days.days)] == 0)


def _home_store(world: World, people: People, person: Ints, product: Ints) -> Ints:
    """The product's seller in the person's own mall."""
    return people.home_mall[person] * world.sellers + world.category_seller[world.product_category[product]]


def _is_on_shelf(world: World, days: Calendar, store: Ints, product: Ints, day: Ints) -> Bools:
    """In stock and on sale there on that day (of days past the end: on sale)."""
    inside = np.minimum(day, days.days - 1)
    on_sale = (world.launched_day[product] <= day) & (world.retired_day[product] > day)
    return on_sale & ~world.out_of_stock[store, product, inside]


def _replaced(lines: Lines, **values: Ints) -> Lines:
    columns = {name: getattr(lines, name) for name in Lines.__dataclass_fields__}
    return Lines(**(columns | values))


def _sessions(
    parameters: Parameters,
    world: World,
    days: Calendar,
    people: People,
    history: History,
    choice: Choice,
    lines: Lines,
    chance: Chance,
) -> tuple[Sessions, int, int]:
    random = chance.stream("sessions")
    own = history.sessions
    first = np.flatnonzero(np.diff(lines.visit, prepend=-1) != 0)
    first = first[lines.origin[first] == ORGANIC]
    able = first[people.has_account[lines.person[first]] & (lines.day[first] < days.days - 2)]
    led = able[random.random(len(able)) < parameters.response.store_to_online]
    person = np.concatenate([own.person, lines.person[led]])
    seller = np.concatenate([own.seller, lines.seller[led]])
    day = np.concatenate([own.day, lines.day[led] + random.integers(1, 3, len(led))])
    category = np.concatenate([np.full(len(own), -1), world.product_category[lines.product[led]]])
    searches = np.flatnonzero((random.random(len(person)) < 0.45) & (category < 0))
    category[searches] = choice.categories(person[searches], seller[searches], day[searches], random)
    instant = days.instant(
        day, _hours(person, people.online_hour, 2.5, 6.0, 23.2, random.normal(0, 1, len(person)))
    )
    return (
        Sessions(
            person=person,
            seller=seller,
            day=day,
            instant=instant,
            category=category,
            is_from_store=np.arange(len(person)) >= len(own),
            is_app=people.has_app[person] & (random.random(len(person)) < 0.6),
            is_bought=np.zeros(len(person), dtype=bool),
        ),
        len(able),
        len(led),
    )


def _views(
    parameters: Parameters, sessions: Sessions, choice: Choice, chance: Chance
) -> tuple[Views, Sessions]:
    behaviour = parameters.behaviour
    random = chance.stream("views")
    size = 1 + random.poisson(behaviour.views, len(sessions))
    session = np.repeat(np.arange(len(sessions)), size)
    position = np.arange(len(session)) - np.repeat(np.cumsum(size) - size, size)
    person, day = sessions.person[session], sessions.day[session]
    category = choice.categories(person, sessions.seller[session], day, random)
    # Who searches looks mostly at what was searched.
    stays = (sessions.category[session] >= 0) & (random.random(len(session)) < 0.75)
    category = np.where(stays, sessions.category[session], category)
    product = choice.products(person, category, day, random)
    added = random.random(len(session)) < behaviour.add_rate
    with_cart = np.bincount(session[added], minlength=len(sessions)) > 0
    bought = with_cart & (random.random(len(sessions)) < behaviour.checkout_rate)
    columns = {name: getattr(sessions, name) for name in Sessions.__dataclass_fields__}
    return (
        Views(session, position, product, added, added & bought[session]),
        Sessions(**(columns | {"is_bought": bought})),
    )


def _online_orders(views: Views, sessions: Sessions, chance: Chance, visits: int) -> Lines:
    bought = np.flatnonzero(views.is_bought)
    session = views.session[bought]
    minutes = chance.stream("orders").integers(12, 25, len(sessions))
    return Lines(
        visit=visits + session,
        person=sessions.person[session],
        seller=sessions.seller[session],
        store=np.full(len(bought), -1),
        day=sessions.day[session],
        instant=sessions.instant[session] + minutes[session] * 60_000,
        product=views.product[bought],
        quantity=np.ones(len(bought), dtype=np.int64),
        origin=np.full(len(bought), ORGANIC),
        offer=np.full(len(bought), -1),
    )


def _single_lines(
    world: World,
    days: Calendar,
    people: People,
    person: Ints,
    product: Ints,
    day: Ints,
    origin: int,
    random: np.random.Generator,
    visits: int,
) -> Lines:
    """A receipt of one line for each, in the seller's store of the person's own mall."""
    seller = world.category_seller[world.product_category[product]]
    inside = np.minimum(day, days.days - 1)
    hour = _hours(person, people.trip_hour, 2.2, 10.5, 21.5, random.normal(0, 1, len(person)))
    lines = Lines(
        visit=visits + np.arange(len(person)),
        person=person,
        seller=seller,
        store=_home_store(world, people, person, product),
        day=day,
        instant=days.instant(inside, hour),
        product=product,
        quantity=np.ones(len(person), dtype=np.int64),
        origin=np.full(len(person), origin),
        offer=np.full(len(person), -1),
    )
    return lines.take(day < days.days)


def _respond(
    parameters: Parameters,
    world: World,
    days: Calendar,
    people: People,
    contacts: Contacts,
    lines: Lines,
    visits: int,
    chance: Chance,
) -> tuple[Lines, Outcomes, int]:
    """Potential outcomes of every contact of an audience; what was sent changes the lines."""
    response = parameters.response
    random = chance.stream("response")
    count = len(contacts)
    channel = world.campaign_channel[contacts.campaign]
    placebo = world.campaign_is_placebo[contacts.campaign]
    instant = np.where(
        channel == 2,
        days.midnight[contacts.day],
        days.instant(contacts.day, (CONTACT_HOURS[channel] * HOUR).astype(np.int64)),
    ) + np.where(channel == 2, 0, random.integers(0, 1_800_000, count))
    ends = days.midnight[np.minimum(world.campaign_ends[contacts.campaign], days.days)]

    pair_contact, pair_line = _pairs(
        contacts.person * world.categories + world.offer_category[contacts.offer],
        lines.person * world.categories + world.product_category[lines.product],
    )
    fits = (
        (lines.instant[pair_line] >= instant[pair_contact])
        & (lines.instant[pair_line] < ends[pair_contact])
        & world.offer_products[contacts.offer[pair_contact], lines.product[pair_line]]
    )
    pair_contact, pair_line = pair_contact[fits], pair_line[fits]
    without = np.bincount(pair_contact, minlength=count) > 0

    type_a = np.array([name == "Type A" for name in world.campaign_type])[contacts.campaign]
    chance_moved = logistic(moved_log_odds(parameters, world, people, contacts, type_a)) * ~placebo
    chance_off = logistic(off_log_odds(parameters, contacts)) * ~placebo
    moves = ~without & (random.random(count) < chance_moved)
    turns_off = without & (random.random(count) < chance_off)
    # The person must still be able to come: within the window, at home, and no ex-customer of the seller.
    wait = 1 + np.floor(
        random.random(count) ** 2 * (world.campaign_ends[contacts.campaign] - contacts.day - 1)
    )
    day = contacts.day + wait.astype(np.int64)
    inside = (day < world.campaign_ends[contacts.campaign]) & (day < days.days)
    away = (day >= people.away_from[contacts.person]) & (day < people.away_until[contacts.person])
    able = inside & ~away & (days.trips[np.minimum(day, days.days)] > 0)
    moves &= able
    would = np.flatnonzero(moves)
    product = np.zeros(count, dtype=np.int64)
    product[would], found = _offered(
        world, people, contacts.person[would], contacts.offer[would], day[would], random
    )
    able[would[~found]] = False
    moves &= able
    with_contact = (without & ~turns_off) | moves

    redeems = contacts.is_sent & with_contact & (random.random(count) < response.redeem) & ~placebo
    redeems &= people.has_card[contacts.person]
    lost = np.isin(pair_contact, np.flatnonzero(turns_off & contacts.is_sent))
    kept = np.ones(len(lines), dtype=bool)
    kept[pair_line[lost]] = False
    # The coupon is used on the first fitting line of a store.
    offer = lines.offer.copy()
    usable = redeems[pair_contact] & kept[pair_line] & (lines.store[pair_line] >= 0)
    order = np.lexsort((lines.instant[pair_line], pair_contact))
    order = order[usable[order]]
    head = order[np.flatnonzero(np.diff(pair_contact[order], prepend=-1) != 0)]
    offer[pair_line[head]] = contacts.offer[pair_contact[head]]

    drawn = np.flatnonzero(moves & contacts.is_sent)
    extra = _single_lines(
        world, days, people, contacts.person[drawn], product[drawn], day[drawn], MOVED, random, visits
    )
    extra = _replaced(extra, offer=np.where(redeems[drawn], contacts.offer[drawn], -1))
    lines = Lines.joined([_replaced(lines, offer=offer).take(kept), extra])
    used = np.zeros(count, dtype=bool)
    used[pair_contact[head]] = True
    used[drawn] = redeems[drawn]
    return lines, Outcomes(instant, without, with_contact, chance_moved, chance_off, able, used), len(extra)


def _pairs(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """All (row of left, row of right) with equal keys."""
    order = np.argsort(right, kind="stable")
    sorted_right = right[order]
    begin = np.searchsorted(sorted_right, left, side="left")
    size = np.searchsorted(sorted_right, left, side="right") - begin
    row = np.repeat(np.arange(len(left)), size)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)
    return row, order[begin[row] + offset]


def _offered(
    world: World, people: People, person: Ints, offer: Ints, day: Ints, random: np.random.Generator
) -> tuple[Ints, Bools]:
    """One of the offer's products, by taste, among those on the shelf; and whether there is one."""
    product = np.zeros(len(person), dtype=np.int64)
    found = np.zeros(len(person), dtype=bool)
    draw = random.random(len(person))
    for number in np.unique(offer):
        rows = np.flatnonzero(offer == number)
        category = int(world.offer_category[number])
        inside = world.products_of(category)
        store = people.home_mall[person[rows]] * world.sellers + world.category_seller[category]
        there = (world.launched_day[inside] <= day[rows, None]) & (
            world.retired_day[inside] > day[rows, None]
        )
        there &= ~world.out_of_stock[store, inside, day[rows]]
        weight = people.product_weights(world, category, person[rows]) * world.offer_products[number, inside]
        cumulated = np.cumsum(weight * there, axis=1)
        found[rows] = cumulated[:, -1] > 0
        place = (draw[rows, None] * cumulated[:, -1:] >= cumulated).sum(axis=1)
        product[rows] = inside.start + np.minimum(place, cumulated.shape[1] - 1)
    return product, found
