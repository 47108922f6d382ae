"""The sealed folder: what nobody in the platform may know. Evaluation reads it here, by name.

`tests/simulate/test_seal.py` fails if anything else opens it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genome.errors import GenomeError
from genome.simulate.channels.scene import Scene, choose, join, pick
from genome.simulate.people import ARMS, People
from genome.simulate.purchases import ORGANIC, ORIGINS, REACTIONS
from genome.simulate.randomness import Bools, Floats, Ints
from genome.simulate.world import CHANNELS, GROCER, KINDS, SELLER_IDS, World

FOLDER = "truth"
CONSENTS = ("email", "sms_push", "direct_mail", "location", "profiling", "sharing")
"""The columns of `People.consent`, at the start of the period."""


class Truth:
    """Reads the truth of one run, table by table."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def files(self, table: str) -> list[Path]:
        """The parts of a table, in order."""
        files = sorted(self.folder.glob(f"{table}-part-*.parquet"))
        if not files:
            raise GenomeError(
                f"{self.folder} holds no truth table '{table}'.", "Run `genome simulate` first."
            )
        return files

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """A whole table."""
        return pa.concat_tables([pq.read_table(path, columns=columns) for path in self.files(table)])

    def parts(self, table: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """A table block by block, for runs larger than the memory."""
        return (pq.read_table(path, columns=columns) for path in self.files(table))

    def tables(self) -> list[str]:
        """Every table there is."""
        return sorted({path.name.partition("-part-")[0] for path in self.folder.glob("*-part-*.parquet")})


def write(scene: Scene, out: Path) -> None:
    """Write a block's truth."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, table in _tables(scene):
        path = folder / f"{name}-part-{scene.block:04d}.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=1)


def category_shares(world: World, people: People, basket_lines: Floats, week: int, weeks: int) -> Floats:
    """(person, category) expected share of the person's lines: the taste that a genome should find."""
    share = np.zeros((people.count, world.categories), dtype=np.float64)
    lines = people.trip_rate * basket_lines
    for seller in range(world.sellers):
        own = world.categories_of(seller)
        share[:, own] = lines[:, seller, None] * people.choice_weights(world, seller, week, weeks)
    return share / share.sum(axis=1, keepdims=True)


def _tables(scene: Scene) -> Iterator[tuple[str, pa.Table]]:
    yield "people", _people(scene)
    yield "identifiers", _identifiers(scene)
    yield "contacts", _contacts(scene)
    yield "churn", _churn(scene)
    history = scene.history
    yield (
        "fatigue",
        _sums(history.by_fatigue, ("person_days", "excess", "usual_trips", "trips", "complaints")),
    )
    yield "trips", _trips(scene)
    if scene.cards is not None:
        yield "cards", _plain(scene.cards)
    for cross, name in enumerate(("memory_loyal", "memory_cross_brand")):
        yield name, _sums(history.by_memory[cross], ("days_at_risk", "up_sells", "left"))
    gaps, lines, purchases = scene.purchases.stockouts, scene.purchases.lines, scene.purchases
    yield (
        "stockouts",
        pa.table(
            {
                "person_id": scene.people.person_id[gaps.person],
                "store_id": pick(scene.store_id, gaps.store),
                "product_id": pick(scene.product_id, gaps.product),
                "at": pa.array(gaps.instant).cast(pa.timestamp("ms", "UTC")),
                "reaction": pick(pa.array(REACTIONS), gaps.reaction),
            }
        ),
    )
    caused = np.flatnonzero(lines.origin != ORGANIC)
    yield (
        "origins",
        pa.table(
            {
                "person_id": scene.people.person_id[lines.person[caused]],
                "transaction_id": scene.transaction_id(lines.visit[caused]),
                "product_id": pick(scene.product_id, lines.product[caused]),
                "origin": pick(pa.array(ORIGINS), lines.origin[caused]),
            }
        ),
    )
    yield (
        "links",
        pa.table(
            {
                "effect": ["online_to_store", "store_to_online"],
                "could": [purchases.shown_not_bought, purchases.trips_that_could_lead_online],
                "did": [purchases.led_to_store, purchases.led_online],
            }
        ),
    )
    yield "owners", pa.concat_tables([_plain(table) for table in scene.owners])
    yield "motives", pa.concat_tables([_plain(table) for table in scene.motives])


def _sums(values: Floats, names: tuple[str, ...]) -> pa.Table:
    columns = {name: values[:, number] for number, name in enumerate(names)}
    return pa.table({"bin": np.arange(len(values))} | columns)


def _trips(scene: Scene) -> pa.Table:
    """Of each day and seller: trips expected on a plain day (and their squares), and those that were made."""
    sums = scene.history.by_day
    days, sellers, _ = sums.shape
    return pa.table(
        {
            "day": np.repeat(np.arange(days), sellers),
            "seller_id": pick(pa.array(SELLER_IDS), np.tile(np.arange(sellers), days)),
            "plain_trips": sums[:, :, 0].ravel(),
            "plain_trips_squared": sums[:, :, 1].ravel(),
            "trips": sums[:, :, 2].ravel(),
        }
    )


def _plain(table: pa.Table) -> pa.Table:
    """Every text column as plain text, so that tables can be put together."""
    return table.cast(pa.schema([(each.name, each.type) for each in table.schema])).combine_chunks()


def _lists(values: Floats) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1]).cast(pa.list_(pa.float32()))


def _people(scene: Scene) -> pa.Table:
    people, world, identity = scene.people, scene.world, scene.identity
    behaviour = scene.parameters.behaviour
    weeks = scene.days.days // 7 + 1
    lines = np.full((people.count, world.sellers), np.exp(behaviour.other_basket_mean + 0.125))
    lines[:, GROCER] = np.exp(people.basket_mean + behaviour.basket_sd**2 / 2)
    start, end = (category_shares(world, people, lines, week, weeks) for week in (0, weeks - 1))
    moved = np.abs(people.drift).sum(axis=1) > 0
    return pa.table(
        {
            "person_id": people.person_id,
            "true_household": people.first + people.household,
            "contact_id": identity.contact_id,
            "household_id": identity.household_id,
            "arm": pick(pa.array(ARMS), people.arm),
            "is_held_out": people.is_held_out,
            "is_cross_brand": people.is_cross_brand,
            "price_sensitivity": people.price_sensitivity,
            "fatigue_tolerance": people.tolerance,
            "tier_taste": people.tier_taste,
            "home_mall": people.home_mall,
            "away_from_day": people.away_from,
            "away_until_day": people.away_until,
            "refused_seller": pick(pa.array(SELLER_IDS), people.refused_seller),
            "changes_consent": people.change_day >= 0,
            **{f"consents_{name}": people.consent[:, column] for column, name in enumerate(CONSENTS)},
            "has_drift": moved,
            "jump_week": people.jump_week,
            "categories": pa.array([world.category_name] * people.count, pa.list_(pa.string())),
            "category_share_start": _lists(start),
            "category_share_end": _lists(end),
            "brand_taste": _lists(people.brand_taste),
            "trip_rate": _lists(people.trip_rate),
        }
    )


def _identifiers(scene: Scene) -> pa.Table:
    """Every identifier with every person it may stand for, and why that is so."""
    people, identity = scene.people, scene.identity
    every = np.arange(people.count)
    household = people.household
    cookies = len(identity.cookie) // people.count
    wrong = np.flatnonzero(identity.is_mistyped)
    wrong = wrong[np.asarray(identity.typed_email.is_valid())[wrong]]
    handed = np.flatnonzero(identity.device_person != every)
    tablet = pick(identity.tablet, household)
    shared = pick(identity.shared_token, household)
    kinds: list[tuple[str, str, pa.Array, Ints]] = [
        ("contact", "own", identity.contact_id, every),
        ("user", "own", identity.user_id, every),
        ("loyalty_card", "own", identity.card_id, every),
        ("household", "household", identity.household_id, every),
        ("email", "own", identity.email, every),
        ("email", "mistyped", pick(identity.typed_email, wrong), wrong),
        ("phone", "own", identity.phone, every),
        ("social", "own", identity.handle, every),
        ("anonymous", "own", identity.cookie, np.repeat(every, cookies)),
        ("anonymous", "shared_tablet", tablet, every),
        ("device", "own", pick(identity.device, every, people.has_app), every),
        ("device", "handed_on", pick(identity.device, identity.device_person[handed]), handed),
        ("wifi", "own", identity.wifi, every),
        ("payment_token", "own", identity.token, np.repeat(every, len(identity.token) // people.count)),
        ("payment_token", "shared_card", shared, every),
    ]
    houses = join("TILL-", scene.store_id)
    tables = [
        pa.table(
            {
                "identifier_type": pa.array([kind] * len(values), pa.string()),
                "identifier": values,
                "relation": pa.array([relation] * len(values), pa.string()),
                "person_id": people.person_id[rows],
            }
        )
        for kind, relation, values, rows in kinds
    ]
    if scene.block == 0:
        tables.append(
            pa.table(
                {
                    "identifier_type": pa.array(["loyalty_card"] * len(houses), pa.string()),
                    "identifier": houses,
                    "relation": pa.array(["house_account"] * len(houses), pa.string()),
                    "person_id": np.full(len(houses), -1),
                }
            )
        )
    whole = pa.concat_tables(tables)
    return whole.filter(pc.is_valid(whole["identifier"]))


def _contacts(scene: Scene) -> pa.Table:
    contacts, outcomes, world, people = (
        scene.history.contacts,
        scene.purchases.outcomes,
        scene.world,
        scene.people,
    )
    channel = world.campaign_channel[contacts.campaign]
    placebo = world.campaign_is_placebo[contacts.campaign]
    held = people.is_held_out[contacts.person]
    control = scene.parameters.response.control_share
    bought = np.where(contacts.is_sent, outcomes.bought_with, outcomes.bought_without)
    return pa.table(
        {
            "person_id": people.person_id[contacts.person],
            "campaign_id": pick(scene.campaign_id, contacts.campaign),
            "offer_id": pick(scene.offer_id, contacts.offer),
            "seller_id": pick(pa.array(SELLER_IDS), world.campaign_seller[contacts.campaign]),
            "channel": choose(placebo, "banner", pick(pa.array(CHANNELS), channel)),
            "campaign_type": pick(pa.array(world.campaign_type), contacts.campaign),
            "kind": pick(pa.array(KINDS), world.offer_kind[contacts.offer]),
            "contacted_at": pa.array(outcomes.contact_instant).cast(pa.timestamp("ms", "UTC")),
            "is_sent": contacts.is_sent,
            "is_held_out": held,
            "chance_sent": np.where(placebo, 0.5, np.where(held, 0.0, 1 - control)).astype(np.float32),
            "audience_chance": contacts.audience_chance.astype(np.float32),
            "match": contacts.match.astype(np.float32),
            "excess_fatigue": contacts.fatigue.astype(np.float32),
            "discount": world.offer_discount[contacts.offer].astype(np.float32),
            "price_sensitivity": people.price_sensitivity[contacts.person].astype(np.float32),
            "chance_moved": outcomes.chance_moved.astype(np.float32),
            "chance_off": outcomes.chance_off.astype(np.float32),
            "is_able": outcomes.is_able,
            "bought_without": outcomes.bought_without,
            "bought_with": outcomes.bought_with,
            "is_bought": bought,
            "is_redeemed": outcomes.is_redeemed,
            "stratum": _strata(outcomes.bought_without, outcomes.bought_with),
        }
    )


def _strata(without: Bools, with_: Bools) -> pa.Array:
    names = pa.array(["never", "moved", "put_off", "anyway"])
    return names.take(pa.array(2 * without.astype(np.int64) + with_))


def _churn(scene: Scene) -> pa.Table:
    people, history = scene.people, scene.history
    sellers = scene.world.sellers
    person = np.repeat(np.arange(people.count), sellers)
    end = scene.days.days
    return pa.table(
        {
            "person_id": people.person_id[person],
            "seller_id": pick(pa.array(SELLER_IDS), np.tile(np.arange(sellers), people.count)),
            "is_cross_brand": people.is_cross_brand[person],
            "up_sells": history.up_sells.ravel(),
            "hazard": history.hazard.ravel(),
            "hazard_without_up_sell": history.hazard_without.ravel(),
            "has_left": (history.churn_day <= end).ravel(),
            "would_have_left": (history.churn_day_without <= end).ravel(),
            "left_on_day": pa.array(history.churn_day.ravel(), mask=(history.churn_day > end).ravel()),
        }
    )
