"""By what the people of a block are known to the retailer, true and false (traps: docs/simulator.md)."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genome.simulate.calendar import Calendar
from genome.simulate.parameters import Parameters
from genome.simulate.people import People
from genome.simulate.randomness import Bools, Chance, Floats, Ints, names, shuffled_numbers

FIRST_NAMES = """Ada Alan Alice Amir Anna Ben Bilal Carla Carlos Chen Chloe Clara Daniel David Elena Emma Eric
Eva Farid Fatima Finn Grace Hana Hugo Ines Isaac Ivan Jack James Jana John Jose Julia Karim
Kate Kim Lara Leo Lina Lucas Maria Mark Martha Max Mei Mia Milan Mohamed Nadia Nina Noah Nora
Olga Oscar Paul Peter Priya Rosa Sam Sara Sofia Tom Vera Viktor Wei Yara Yusuf Zoe""".split()  # noqa: SIM905
LAST_NAMES = """Adams Ahmed Allen Baker Becker Brown Chen Clark Cohen Costa Davis Diaz Evans Fischer Garcia
Green Haddad Hall Hansen Hill Ivanov Jackson Jensen Johnson Jones Kaya Khan Kim King Kowalski
Kumar Lee Lewis Lopez Martin Meyer Miller Moore Moreau Nguyen Novak Okafor Olsen Park Patel
Perez Petrov Reed Rossi Roy Santos Sato Schmidt Scott Silva Singh Smith Suzuki Taylor Thomas
Turner Walker Wang White Wilson Wright Yilmaz Young""".split()  # noqa: SIM905
STREETS = [
    f"{name} {kind}"
    for name in (
        "Oak",
        "Maple",
        "Cedar",
        "Elm",
        "Lake",
        "Hill",
        "Mill",
        "River",
        "Church",
        "Meadow",
        "Station",
    )
    for kind in ("Street", "Road")
]
COOKIES = 4
"""A person's browsers: two, each with a second cookie after the first was cleared."""


@dataclass(frozen=True)
class Identity:
    """Arrow columns over the people of a block; null where the person has none."""

    contact_id: pa.Array
    user_id: pa.Array
    card_id: pa.Array
    household_id: pa.Array
    email: pa.Array
    typed_email: pa.Array
    """What the person writes into forms: mistyped for some, somebody else's for a few."""
    phone: pa.Array
    handle: pa.Array
    first_name: pa.Array
    last_name: pa.Array
    birth_year: Ints
    birth_day: Ints
    street: pa.Array
    postcode: pa.Array
    # things: by number of the thing
    cookie: pa.Array
    """person × COOKIES."""
    tablet: pa.Array
    """household: the cookie of the shared tablet, null where there is none."""
    device: pa.Array
    """person: the phone with the app, as bought."""
    wifi: pa.Array
    token: pa.Array
    """person × 2 payment cards."""
    shared_token: pa.Array
    """household: the card all pay with, null where there is none."""
    cleared_day: Ints
    """(person × 2 browsers): the day on which its cookie is cleared."""
    device_person: Ints
    """person: whose phone the person uses after `handed_day` (its own, but for phones handed on)."""
    handed_day: Ints
    clock_error: Ints
    """(person × 3: browser, browser, phone) milliseconds by which the device's clock is wrong."""
    is_mistyped: Bools
    member: Bools
    """The person is in the CRM: has a card or an account."""


def build(parameters: Parameters, days: Calendar, people: People, seed: int, block: int) -> Identity:
    """Give the block its identifiers."""
    random = Chance(seed, block + 1).stream("identity")
    count, households = people.count, people.households
    person, household = people.person_id, people.first + people.household
    first = random.integers(0, len(FIRST_NAMES), count)
    own_last = random.integers(0, len(LAST_NAMES), count)
    last = np.where(random.random(count) < 0.85, own_last[people.head][people.household], own_last)
    number = shuffled_numbers("email", seed, person, 7)
    domain = pa.array(["example.com", "example.org", "example.net"]).take(
        pa.array(random.integers(0, 3, count))
    )
    first_name, last_name = (
        pa.array(FIRST_NAMES).take(pa.array(first)),
        pa.array(LAST_NAMES).take(pa.array(last)),
    )
    local = _join(pc.utf8_lower(first_name), pa.scalar("."), pc.utf8_lower(last_name), _text(number))
    email = _join(local, pa.scalar("@"), domain)
    mistyped = people.has_email & (random.random(count) < parameters.people.mistyped_share)
    hits = mistyped & (random.random(count) < parameters.people.mistyped_hit_share)
    wrong = _join(local, pa.scalar("@"), pc.replace_substring(domain, "example", "exmaple"))
    stranger = email.take(pa.array((np.arange(count) + count // 2) % count))
    typed = pc.if_else(pa.array(hits), stranger, pc.if_else(pa.array(mistyped), wrong, email))

    tablet = (random.random(households) < parameters.people.shared_tablet_share) & (
        np.bincount(people.household) > 1
    )
    one_card = (random.random(households) < parameters.people.shared_token_share) & (
        np.bincount(people.household) > 1
    )
    heads = household[people.head]
    handed = people.has_app & (random.random(count) < parameters.people.handed_on_share)
    # A phone handed on goes to somebody of another household who has an account.
    receiver = random.permutation(np.flatnonzero(people.has_account & ~handed))[: int(handed.sum())]
    givers = np.flatnonzero(handed)[: len(receiver)]
    receiver_ok = people.household[receiver] != people.household[givers]
    device_person = np.arange(count)
    handed_day = np.full(count, days.days + 100)
    giver, receiver = givers[receiver_ok], receiver[receiver_ok]
    device_person[receiver] = giver
    handed_day[receiver] = random.integers(days.days // 4, 3 * days.days // 4, len(receiver))

    error = random.normal(0, 1500, (count, 3))
    wrong_clock = random.random((count, 3)) < parameters.channels.skewed_clocks
    hours = random.choice([-26.0, -3.0, -1.0, 1.0, 2.0, 25.0], (count, 3)) * 3_600_000
    return Identity(
        contact_id=_join(pa.scalar("C"), _text(shuffled_numbers("contact", seed, person, 9))),
        user_id=_where(people.has_account, names("user", seed, person, "u")),
        card_id=_where(
            people.has_card, _text(6_000_000_000_000 + shuffled_numbers("card", seed, person, 10))
        ),
        household_id=_text(100_000_000 + shuffled_numbers("household", seed, household, 9)),
        email=_where(people.has_email, email),
        typed_email=_where(people.has_email, typed),
        phone=_where(
            people.has_phone,
            _join(
                pa.scalar("+1555"),
                pc.utf8_slice_codeunits(_text(10_000_000 + shuffled_numbers("phone", seed, person, 7)), 1),
            ),
        ),
        handle=_where(people.has_handle, _join(pa.scalar("@"), pc.utf8_lower(first_name), _text(number))),
        first_name=first_name,
        last_name=last_name,
        birth_year=days.dates[0].year - random.integers(18, 85, count),
        birth_day=random.integers(0, 365, count),
        street=_join(
            _text(1 + random.integers(0, 180, households)),
            pa.scalar(" "),
            pa.array(STREETS).take(pa.array(random.integers(0, len(STREETS), households))),
        ).take(pa.array(people.household)),
        postcode=_text(10_000 + random.integers(0, 400, households)).take(pa.array(people.household)),
        cookie=names("cookie", seed, np.arange(people.first * COOKIES, (people.first + count) * COOKIES)),
        tablet=_where(tablet, names("tablet", seed, heads)),
        device=names("device", seed, person),
        wifi=names("wifi", seed, person),
        token=names("token", seed, np.arange(people.first * 2, (people.first + count) * 2), "tok_"),
        shared_token=_where(one_card, names("household token", seed, heads, "tok_")),
        cleared_day=random.integers(0, 3 * days.days, (count, 2)),
        device_person=device_person,
        handed_day=handed_day,
        clock_error=_clock(error, wrong_clock, hours),
        is_mistyped=mistyped,
        member=people.has_card | people.has_account,
    )


def _clock(error: Floats, wrong: Bools, hours: Floats) -> Ints:
    return (error + wrong * hours).astype(np.int64)


def _text(numbers: Ints) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _join(*parts: pa.Array | pa.Scalar) -> pa.Array:
    return pc.binary_join_element_wise(*parts, pa.scalar(""))


def _where(has: Bools, values: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(has), values, pa.scalar(None, values.type))
