"""One block of people: households, latent tastes that drift, habits, and what they agreed to."""

from dataclasses import dataclass

import numpy as np

from genome.simulate.parameters import Parameters
from genome.simulate.randomness import Bools, Chance, Floats, Ints
from genome.simulate.world import GROCER, SELLERS, World

HOUSEHOLD_SIZES = np.array([1, 2, 3, 4, 5])
HOUSEHOLD_WEIGHTS = np.array([0.30, 0.34, 0.16, 0.14, 0.06])
ARMS = ("low", "normal", "high")


@dataclass(frozen=True)
class People:
    """Columns over the people of a block. `first` is the number of the first one in the whole mall."""

    first: int
    household: Ints
    """Within the block, ascending: people of a household are neighbours."""
    household_size: Ints
    # tastes
    taste: Floats
    """(person, category) log taste on the first day."""
    drift: Floats
    """(person, category) change of it over the whole period."""
    jump_week: Ints
    """The week in which the drift happens at once; −1: it comes evenly."""
    brand_taste: Floats
    tier_taste: Floats
    is_cross_brand: Bools
    price_sensitivity: Floats
    # habits
    trip_rate: Floats
    """(person, seller) trips a day."""
    session_rate: Floats
    basket_mean: Floats
    home_mall: Ints
    trip_hour: Floats
    online_hour: Floats
    away_from: Ints
    away_until: Ints
    # response
    tolerance: Floats
    arm: Ints
    is_held_out: Bools
    # by what they are known
    has_card: Bools
    has_account: Bools
    has_app: Bools
    has_email: Bools
    has_phone: Bools
    has_handle: Bools
    # what they agreed to at the start
    consent: Bools
    """(person, email | sms_push | direct_mail | location | profiling | sharing)."""
    refused_seller: Ints
    """A seller whose marketing the person refuses; −1: none."""
    change_day: Ints
    """The day on which the person turns one consent round; −1: never."""
    change_what: Ints

    @property
    def count(self) -> int:
        """How many."""
        return len(self.household)

    @property
    def person_id(self) -> Ints:
        """The true number of each person: truth only, no channel carries it."""
        return self.first + np.arange(self.count)

    @property
    def households(self) -> int:
        """How many households."""
        return int(self.household[-1]) + 1

    @property
    def head(self) -> Ints:
        """The first person of each household."""
        return np.flatnonzero(np.diff(self.household, prepend=-1))

    def log_taste(self, categories: Ints, week: int, weeks: int) -> Floats:
        """(person, one of these categories) log taste in a week."""
        progress = np.full(self.count, min(1.0, week / max(1, weeks - 1)))
        jumps = self.jump_week >= 0
        progress[jumps] = (week >= self.jump_week[jumps]).astype(float)
        return self.taste[:, categories] + progress[:, None] * self.drift[:, categories]

    def choice_weights(self, world: World, seller: int, week: int, weeks: int) -> Floats:
        """(person, category of the seller) chance of each category for one line of a basket."""
        own = world.categories_of(seller)
        utility = world.category_log_weight[own] + self.log_taste(own, week, weeks)
        weight = np.exp(utility - utility.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)

    def product_weights(self, world: World, category: int, rows: Ints | None = None) -> Floats:
        """(person, product of the category) chance of each product, once the category is chosen."""
        inside = world.products_of(category)
        rows = np.arange(self.count) if rows is None else rows
        utility = (
            world.product_log_weight[inside]
            + self.brand_taste[rows][:, world.product_brand[inside]]
            + self.tier_taste[rows, None] * (world.product_tier[inside] - 1)
        )
        weight = np.exp(utility - utility.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)


def build(parameters: Parameters, world: World, seed: int, block: int, first: int, count: int) -> People:
    """The people of a block (blocks count from 0 here)."""
    chance = Chance(seed, block + 1)
    people, behaviour, response = parameters.people, parameters.behaviour, parameters.response
    days = parameters.run.days

    random = chance.stream("households")
    sizes = random.choice(HOUSEHOLD_SIZES, size=count, p=HOUSEHOLD_WEIGHTS)
    household = np.repeat(np.arange(count), sizes)[:count]  # the last household is cut at the block's end
    size = np.bincount(household)[household]
    households = int(household[-1]) + 1

    random = chance.stream("tastes")
    shared = random.normal(0, 1, (households, world.categories))[household]
    own = random.normal(0, 1, (count, world.categories))
    part = people.household_taste
    taste = people.taste_sd * (np.sqrt(part) * shared + np.sqrt(1 - part) * own)
    draw = random.random(count)
    drifts = draw < people.drifting_share + people.jump_share
    jumps = drifts & (draw >= people.drifting_share)
    drift = random.normal(0, people.drift_sd, (count, world.categories)) * drifts[:, None]
    weeks = days // 7 + 1
    jump_week = np.where(jumps, random.integers(1, max(2, weeks - 1), count), -1)
    brands = sum(seller.brands for seller in SELLERS)
    cross = random.random(count) < response.cross_brand_share
    # A cross-brand buyer's tastes for brands are flat: that is what makes one.
    brand_taste = random.normal(0, people.brand_sd, (count, brands)) * np.where(cross, 0.25, 1.0)[:, None]

    random = chance.stream("habits")
    spread = behaviour.trips_sd
    home_rate = random.normal(0, 1, households)[household]
    log_rate = spread * (np.sqrt(0.75) * home_rate + np.sqrt(0.25) * random.normal(0, 1, count))
    trip_rate = np.empty((count, world.sellers))
    trip_rate[:, GROCER] = np.minimum(0.8, behaviour.grocer_trips * np.exp(log_rate))
    for seller in range(1, world.sellers):
        trip_rate[:, seller] = np.minimum(
            0.3, behaviour.other_trips * np.exp(0.4 * log_rate + random.normal(0, 0.9, count))
        )
    hours = np.array([9.5, 12.5, 17.5])
    away = random.random(count) < people.away_share
    away_from = np.where(away, random.integers(3, max(4, days - 3), count), days + 10)
    away_until = away_from + random.integers(4, 15, count)

    random = chance.stream("known_by")
    has_card = random.random(count) < people.card_share
    has_account = random.random(count) < people.account_share
    has_app = has_account & (random.random(count) < people.app_share / max(people.account_share, 1e-9))
    has_email = has_account | (random.random(count) < people.email_share)
    has_phone = random.random(count) < people.phone_share

    random = chance.stream("consent")
    level = [
        people.consent_email,
        people.consent_sms_push,
        people.consent_direct_mail,
        people.consent_location,
        people.consent_profiling,
        people.consent_sharing,
    ]
    consent = random.random((count, len(level))) < np.array(level)
    refuses = random.random(count) < people.consent_seller_override
    changes = random.random(count) < people.consent_change
    return People(
        first=first,
        household=household,
        household_size=size,
        taste=taste,
        drift=drift,
        jump_week=jump_week,
        brand_taste=brand_taste,
        tier_taste=random.normal(0, people.tier_sd, count),
        is_cross_brand=cross,
        price_sensitivity=np.exp(random.normal(-0.1, 0.45, count)),
        trip_rate=trip_rate,
        session_rate=np.minimum(1.5, behaviour.sessions * np.exp(random.normal(0, 1.0, count))),
        basket_mean=behaviour.basket_mean + random.normal(0, behaviour.basket_person_sd, count),
        home_mall=random.integers(0, world.malls, households)[household],
        trip_hour=random.choice(hours, count) + random.normal(0, 0.7, count),
        online_hour=random.choice([12.5, 20.5], count, p=[0.3, 0.7]) + random.normal(0, 0.7, count),
        away_from=away_from,
        away_until=away_until,
        tolerance=np.maximum(0.2, random.normal(response.fatigue_tolerance, 0.5, count)),
        arm=random.integers(0, len(ARMS), count),
        is_held_out=random.random(count) < response.holdout_share,
        has_card=has_card,
        has_account=has_account,
        has_app=has_app,
        has_email=has_email,
        has_phone=has_phone,
        has_handle=random.random(count) < people.social_share,
        consent=consent,
        refused_seller=np.where(refuses, random.integers(0, world.sellers, count), -1),
        change_day=np.where(changes, random.integers(2, days - 1, count), -1),
        change_what=random.integers(0, 3, count),
    )
