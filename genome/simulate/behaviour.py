"""The days of a block: trips, sessions, contacts, and what contacts do (formulas: docs/simulator.md).

Where a counterfactual is kept, it shares its luck with what happened: one draw, compared with both chances.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from genome.simulate.calendar import Calendar
from genome.simulate.parameters import Parameters
from genome.simulate.people import People
from genome.simulate.randomness import Bools, Chance, Floats, Ints
from genome.simulate.world import CHANNELS, GIFT_SELLERS, GROCER, World

FATIGUE_BINS = np.concatenate([[0.0, 1e-9], np.arange(0.25, 4.1, 0.25), [5.0, 6.0, 8.0, np.inf]])
"""Excess fatigue is booked by these bins: the first holds those without any."""
MEMORY_BINS = np.concatenate([[0.0, 1e-9], np.arange(0.1, 1.6, 0.1), [2.0, 2.5, 3.0, 4.0, np.inf]])
"""Remembered up-sells are booked by these."""
WEEKDAY_SHAPE = np.array([0.97, 0.95, 0.93, 0.96, 1.05, 1.0, 1.0])


@dataclass(frozen=True)
class Columns:
    """Equally long arrays; helpers to select and to join."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, rows: Ints | Bools) -> Any:
        """The rows picked by numbers or by a mask."""
        return type(self)(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    @classmethod
    def joined(cls, parts: list[Any]) -> Any:
        """One after the other."""
        return cls(
            **{
                each.name: np.concatenate([getattr(part, each.name) for part in parts])
                for each in fields(cls)
            }
        )


@dataclass(frozen=True)
class Visits(Columns):
    """Trips to a store, or sessions online: who, which seller, on which day."""

    person: Ints
    seller: Ints
    day: Ints


@dataclass(frozen=True)
class Contacts(Columns):
    """Everybody in a campaign's audience, sent to or held back."""

    person: Ints
    campaign: Ints
    offer: Ints
    day: Ints
    is_sent: Bools
    match: Floats
    """Standardised log share of the offer's category in the person's own taste."""
    fatigue: Floats
    """Excess fatigue at the contact (before it)."""
    audience_chance: Floats


@dataclass(frozen=True)
class History:
    """What the days brought."""

    trips: Visits
    sessions: Visits
    contacts: Contacts
    unsubscribed: Ints
    """(person, channel): the day of unsubscribing, or a day past the end."""
    complaints: Ints
    """(person, day) pairs, two rows."""
    churn_day: Ints
    """(person, seller); past the end: stayed."""
    churn_day_without: Ints
    """The same had there been no up-sell contact at all."""
    up_sells: Ints
    """(person, seller): up-sell contacts received."""
    hazard: Floats
    hazard_without: Floats
    """(person, seller) cumulated hazards up to leaving or the end."""
    by_fatigue: Floats
    """(bin, [person-days, excess fatigue, trips usually expected, trips, complaints]), sums; without trips
    to the grocer: the others' are rare enough for chances of a day to fall as their rates do."""
    by_day: Floats
    """(day, seller, [trips usually expected on a plain day, their squares, trips]), sums over people."""
    by_memory: Floats
    """(cross-brand, bin, [days at risk, remembered up-sells, left]), sums over people and sellers."""


def live(
    parameters: Parameters, world: World, days: Calendar, people: People, seed: int, block: int
) -> History:
    """Let the block live through its days."""
    response, behaviour = parameters.response, parameters.behaviour
    chance = Chance(seed, block + 1)
    random = chance.stream("days")
    count, sellers, period = people.count, world.sellers, days.days
    weeks = period // 7 + 1
    never = period + 100

    fatigue = np.zeros(count)
    memory = np.zeros((count, sellers))
    hazard = np.zeros((count, sellers))
    hazard_without = np.zeros((count, sellers))
    patience = random.exponential(1.0, (count, sellers))
    churn_day = np.full((count, sellers), never)
    churn_without = np.full((count, sellers), never)
    up_sells = np.zeros((count, sellers), dtype=np.int64)
    unsubscribed = np.full((count, len(CHANNELS)), never)
    fatigue_decay = 0.5 ** (1 / response.fatigue_half_life)
    memory_decay = 0.5 ** (1 / response.churn_half_life)
    pressure = np.array([response.pressure_low, 1.0, response.pressure_high])[people.arm]
    by_fatigue = np.zeros((len(FATIGUE_BINS) - 1, 5))
    by_day = np.zeros((period, sellers, 3))
    by_memory = np.zeros((2, len(MEMORY_BINS) - 1, 3))
    online_share = people.trip_rate / people.trip_rate.sum(axis=1, keepdims=True)
    online_cdf = np.cumsum(0.5 * online_share + 0.5 / sellers, axis=1)
    match_cache: dict[int, Floats] = {}

    trips: list[Visits] = []
    sessions: list[Visits] = []
    contacts: list[Contacts] = []
    complaints: list[Ints] = []
    starting = [np.flatnonzero(world.campaign_day == day) for day in range(period)]
    everyone = np.arange(count)

    for day in range(period):
        if day % 7 == 0:
            match_cache.clear()
        may = _consents(people, day) & (unsubscribed > day)
        for campaign in starting[day]:
            channel, seller = int(world.campaign_channel[campaign]), int(world.campaign_seller[campaign])
            placebo = bool(world.campaign_is_placebo[campaign])
            if seller not in match_cache:
                match_cache[seller] = _match(people, world, seller, day // 7, weeks)
            pick = random.integers(0, 3, count)
            draws = random.random((count, 4), dtype=np.float32)
            offer = world.campaign_offers[campaign][pick]
            local = world.offer_category[offer] - world.categories_of(seller)[0]
            match = match_cache[seller][everyone, local]
            reach = np.minimum(
                0.95, response.audience_base * np.exp(response.audience_match * match) * pressure
            )
            if placebo:
                eligible = people.has_account
                reach = np.full(count, 0.25)
            else:
                eligible = may[:, channel] & (people.refused_seller != seller) & _reachable(people, channel)
                eligible &= churn_day[:, seller] > day
            inside = np.flatnonzero(eligible & (draws[:, 0] < reach))
            held_back = np.where(people.is_held_out[inside] & (not placebo), 1.0, response.control_share)
            sent = draws[inside, 1] >= (0.5 if placebo else held_back)
            excess = np.maximum(0, fatigue[inside] - people.tolerance[inside])
            contacts.append(
                Contacts(
                    person=inside,
                    campaign=np.full(len(inside), campaign),
                    offer=offer[inside],
                    day=np.full(len(inside), day),
                    is_sent=sent,
                    match=match[inside],
                    fatigue=excess,
                    audience_chance=reach[inside],
                )
            )
            if placebo:
                continue
            hit = inside[sent]
            leave = response.unsubscribe_base * np.exp(response.unsubscribe_fatigue * excess[sent])
            gone = hit[draws[hit, 2] < leave]
            unsubscribed[gone, channel] = day + 1
            fatigue[hit] += 1
            pushed = hit[world.offer_kind[offer[hit]] == 1]
            memory[pushed, seller] += 1
            up_sells[pushed, seller] += 1

        excess = np.maximum(0, fatigue - people.tolerance)
        home = ~((day >= people.away_from) & (day < people.away_until))
        plain = people.trip_rate * WEEKDAY_SHAPE[days.weekday[day]] * home[:, None] * (churn_day > day)
        usual = plain * season_of(days, day)
        calm = np.exp(-response.fatigue_trips * excess)[:, None]
        draw = random.random((count, sellers), dtype=np.float32)
        goes = draw < -np.expm1(-usual * calm)
        person, seller_of = np.nonzero(goes)
        trips.append(Visits(person, seller_of, np.full(len(person), day)))
        plain *= calm
        by_day[day] = np.stack([plain.sum(axis=0), (plain**2).sum(axis=0), goes.sum(axis=0)], axis=1)
        again = person[(seller_of == GROCER) & (random.random(len(person)) < behaviour.again_share)]
        trips.append(Visits(again, np.full(len(again), GROCER), np.full(len(again), day)))

        online = random.random(count) < people.session_rate * (
            0.6 + 0.4 * min(2.0, max(0.5, days.trips[day]))
        )
        surfer = np.flatnonzero(online)
        where = (random.random(len(surfer))[:, None] > online_cdf[surfer]).sum(axis=1)
        sessions.append(Visits(surfer, np.minimum(where, sellers - 1), np.full(len(surfer), day)))

        upset = response.complaint_base * np.exp(response.complaint_fatigue * excess)
        unhappy = np.flatnonzero(random.random(count) < upset)
        complaints.append(np.stack([unhappy, np.full(len(unhappy), day)]))

        others = slice(GROCER + 1, None)
        _book(
            by_fatigue,
            np.searchsorted(FATIGUE_BINS, excess, side="right") - 1,
            excess,
            -np.expm1(-usual[:, others]).sum(axis=1),
            goes[:, others].sum(axis=1),
            np.bincount(unhappy, minlength=count),
        )

        # Leaving: an exponential patience is used up by the hazard; the same patience without the up-sells.
        harm = response.churn_up_sell * memory * people.is_cross_brand[:, None]
        here, there = churn_day > day, churn_without > day
        hazard += (response.churn_base + harm) * here
        hazard_without += response.churn_base * there
        leaves = here & (hazard > patience)
        churn_day[leaves] = day + 1
        churn_without[there & (hazard_without > patience)] = day + 1
        bins = np.searchsorted(MEMORY_BINS, memory, side="right") - 1
        for cross in (0, 1):
            at_risk = here & (people.is_cross_brand == cross)[:, None]
            _book(by_memory[cross], bins[at_risk], memory[at_risk], leaves[at_risk])
        fatigue *= fatigue_decay
        memory *= memory_decay

    return History(
        trips=Visits.joined(trips),
        sessions=Visits.joined(sessions),
        contacts=Contacts.joined(contacts),
        unsubscribed=unsubscribed,
        complaints=np.concatenate(complaints, axis=1),
        churn_day=churn_day,
        churn_day_without=churn_without,
        up_sells=up_sells,
        hazard=hazard,
        hazard_without=hazard_without,
        by_fatigue=by_fatigue,
        by_day=by_day,
        by_memory=by_memory,
    )


GREAT = 1.3
"""From this factor on a day is a day for presents: sellers feel it as GIFT_SELLERS says; below it, alike."""


def season_of(days: Calendar, day: int) -> Floats:
    """(seller) factor of the calendar on the trips of a day."""
    return np.asarray(1 + (days.trips[day] - 1) * felt_by(days, day))


def felt_by(days: Calendar, day: int) -> Floats:
    """(seller) how much of the calendar's factor a seller feels on a day."""
    if days.trips[day] > GREAT:
        return np.maximum(0.4, GIFT_SELLERS)
    return np.ones(len(GIFT_SELLERS))


def _book(sums: Floats, bins: Ints, *values: Floats) -> None:
    """Add a count and the sums of the values to the rows of their bins."""
    for column, weight in enumerate((None, *values)):
        sums[:, column] += np.bincount(bins, weights=weight, minlength=len(sums))


def _consents(people: People, day: int) -> Bools:
    """(person, channel) consent to marketing on a day."""
    agreed = people.consent[:, :3].copy()
    changed = np.flatnonzero((people.change_day >= 0) & (people.change_day <= day))
    agreed[changed, people.change_what[changed]] ^= True
    return agreed


def _reachable(people: People, channel: int) -> Bools:
    return (people.has_email, people.has_phone | people.has_app, people.has_card)[channel]


def _match(people: People, world: World, seller: int, week: int, weeks: int) -> Floats:
    """(person, category of the seller): log taste, standardised over the block's people."""
    own = world.categories_of(seller)
    taste = people.log_taste(own, week, weeks)
    return (taste - taste.mean(axis=0)) / np.maximum(taste.std(axis=0), 1e-9)
