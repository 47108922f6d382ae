"""The CRM: household profiles, people's contact data, and consents with their changes."""

import numpy as np
import pyarrow as pa

from genome.simulate.calendar import DAY, HOUR
from genome.simulate.channels.scene import Scene, choose, pick, text
from genome.simulate.randomness import Ints
from genome.simulate.world import CHANNELS

AGE_BANDS = ("19-24", "25-34", "35-44", "45-54", "55-64", "65+")
INCOME_BANDS = ("Under 35K", "35-49K", "50-74K", "75-99K", "100-149K", "150K+")
PURPOSES = (
    ("marketing", "email"),
    ("marketing", "sms_push"),
    ("marketing", "direct_mail"),
    ("marketing", "location"),
    ("profiling", "all"),
    ("sharing", "all"),
)
"""Purpose and channel of each column of `People.consent`."""


def emit(scene: Scene) -> None:
    """Write crm."""
    _profiles(scene)
    registered = _contacts(scene)
    _consents(scene, registered)


def _profiles(scene: Scene) -> None:
    people = scene.people
    random = scene.random("profiles")
    head = people.head
    # The retailer knows a third of the households, those with a card.
    with_card = np.bincount(people.household, weights=people.has_card) > 0
    known = np.flatnonzero(with_card & (random.random(people.households) < 0.35))
    person = head[known]
    size = people.household_size[person]
    age = scene.days.dates[0].year - scene.identity.birth_year[person]
    kids = np.maximum(0, size - 2)
    sensitivity = people.price_sensitivity[person]
    income = np.clip(np.floor(3.2 - 2.0 * np.log(sensitivity) + random.normal(0, 1, len(known))), 0, 5)
    composition = np.where(size == 1, 0, np.where(size == 2, 1, 2))
    # Facts older than the period: they were known when it began.
    at = scene.days.midnight[0] - random.integers(1, 400, len(known)) * DAY
    scene.sink.write(
        "crm/profiles",
        len(known),
        {
            "household_id": pick(scene.identity.household_id, person),
            "age_band": pick(pa.array(AGE_BANDS), np.searchsorted([25, 35, 45, 55, 65], age, side="right")),
            "income_band": pick(pa.array(INCOME_BANDS), income.astype(np.int64)),
            "home_ownership": choose(random.random(len(known)) < 0.6, "Homeowner", "Renter"),
            "marital_status": choose(
                random.random(len(known)) < 0.3, None, choose(size > 1, "Married", "Unmarried")
            ),
            "household_size": choose(size >= 5, "5+", text(size)),
            "household_composition": pick(pa.array(["1 Adult", "2 Adults", "Adults with Kids"]), composition),
            "kids_count": choose(kids >= 3, "3+", text(kids)),
            "updated_at": at,
            "received_at": at + DAY,
        },
    )


def _contacts(scene: Scene) -> Ints:
    people, identity, days = scene.people, scene.identity, scene.days
    random = scene.random("contacts")
    count = people.count
    # Some register within the period, most before it.
    late = random.random(count) < 0.1
    registered = days.midnight[0] - (random.integers(1, 1200, count) * DAY) + 11 * HOUR
    registered = np.where(late, days.midnight[random.integers(0, days.days, count)] + 13 * HOUR, registered)
    registered = registered + random.integers(0, HOUR, count)
    members = np.flatnonzero(identity.member)
    moves = members[random.random(len(members)) < 0.02]
    moved_at = days.midnight[random.integers(1, days.days, len(moves))] + 15 * HOUR
    ok = moved_at > registered[moves]
    moves, moved_at = moves[ok], moved_at[ok]
    person = np.concatenate([members, moves])
    updated = np.concatenate([registered[members], moved_at])
    # Who moves lives in a street of somebody else's.
    address = np.concatenate([members, (moves + count // 2) % count])
    birth = np.array([f"{year}-01-01" for year in range(1900, 2030)], dtype="datetime64[D]")
    columns = {
        "contact_id": pick(identity.contact_id, person),
        "user_id": pick(identity.user_id, person),
        "card_id": pick(identity.card_id, person),
        "household_id": pick(identity.household_id, person, people.has_card[person]),
        "email": pick(identity.email, person),
        "phone": pick(identity.phone, person),
        "handle": pick(identity.handle, person, people.has_account[person]),
        "first_name": pick(identity.first_name, person),
        "last_name": pick(identity.last_name, person),
        "birth_date": pa.array(birth[identity.birth_year[person] - 1900] + identity.birth_day[person]),
        "street": pick(identity.street, address),
        "postcode": pick(identity.postcode, address),
        "preferred_locale": "en-US",
        "registered_at": registered[person],
        "updated_at": updated,
        "received_at": scene.arrival("crm", updated, DAY),
    }
    scene.sink.write("crm/contacts", len(person), columns)
    return registered


def _consents(scene: Scene, registered: Ints) -> None:
    """What was agreed at registration, refusals of single sellers, changes of mind, unsubscribing."""
    people, identity, days, history = scene.people, scene.identity, scene.days, scene.history
    random = scene.random("consents")
    members = np.flatnonzero(identity.member)
    kinds = len(PURPOSES)
    refused = members[people.refused_seller[members] >= 0]
    changed = members[people.change_day[members] >= 0]
    left, channel = np.nonzero(history.unsubscribed[members] <= days.days)
    left = members[left]
    person = np.concatenate([np.repeat(members, kinds), np.repeat(refused, len(CHANNELS)), changed, left])
    purpose = np.concatenate(
        [
            np.tile(np.arange(kinds), len(members)),
            np.tile(np.arange(len(CHANNELS)), len(refused)),
            people.change_what[changed],
            channel,
        ]
    )
    granted = np.concatenate(
        [
            people.consent[members].ravel(),
            np.zeros(len(refused) * len(CHANNELS), dtype=bool),
            ~people.consent[changed, people.change_what[changed]],
            np.zeros(len(left), dtype=bool),
        ]
    )
    seller = np.concatenate(
        [
            np.full(len(members) * kinds, -1),
            np.repeat(people.refused_seller[refused], len(CHANNELS)),
            np.full(len(changed) + len(left), -1),
        ]
    )
    unsubscribed = history.unsubscribed[left, channel] - 1
    at = np.concatenate(
        [
            np.repeat(registered[members], kinds),
            np.repeat(registered[refused] + 1_000, len(CHANNELS)),
            # By local midnight: what is sent that day already respects it.
            days.midnight[people.change_day[changed]] - random.integers(0, 3 * HOUR, len(changed)),
            days.midnight[unsubscribed] + 23 * HOUR,
        ]
    )
    source = np.concatenate(
        [
            np.zeros(len(members) * kinds + len(refused) * len(CHANNELS), dtype=np.int64),
            np.ones(len(changed), dtype=np.int64),
            np.full(len(left), 2),
        ]
    )
    count = len(person)
    scene.sink.write(
        "crm/consents",
        count,
        {
            "consent_id": scene.ids("consent", count),
            "contact_id": pick(identity.contact_id, person),
            "email": pick(identity.email, person),
            "phone": pick(identity.phone, person),
            "purpose": pick(pa.array([purpose for purpose, _ in PURPOSES]), purpose),
            "channel": pick(pa.array([channel for _, channel in PURPOSES]), purpose),
            "seller_id": choose(seller >= 0, pick(scene.seller_id, seller), "mall"),
            "is_granted": granted,
            "changed_at": at,
            "received_at": scene.arrival("crm", at, 60_000),
            "source": pick(pa.array(["registration", "preference_centre", "unsubscribe"]), source),
        },
    )
