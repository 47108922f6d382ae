"""The mall's floor: tills, returns, the loyalty scheme, beacons and Wi-Fi."""

import numpy as np
import pyarrow as pa

from genome.simulate.calendar import DAY, HOUR
from genome.simulate.channels.scene import Scene, choose, join, pick, text, where
from genome.simulate.purchases import Lines
from genome.simulate.randomness import Bools, Floats, Ints
from genome.simulate.world import GROCER

TIERS = ("basic", "silver", "gold")
POINTS_STEP = 500
"""Points are spent in steps of this many, as soon as they are there."""


def emit(scene: Scene) -> None:
    """Write pos, loyalty and location."""
    lines = scene.purchases.lines
    lines = lines.take(lines.store >= 0)
    lines = lines.take(np.lexsort((lines.product, lines.visit, lines.instant)))
    head = np.flatnonzero(np.diff(lines.visit, prepend=-1) != 0)
    receipt = np.cumsum(np.diff(lines.visit, prepend=-1) != 0) - 1
    random = scene.random("tills")
    shown = scene.people.has_card[lines.person[head]] & (
        random.random(len(head)) < scene.parameters.behaviour.card_shown
    )
    # A coupon only works with the card.
    shown |= (
        np.bincount(receipt, weights=lines.offer >= 0, minlength=len(head)) > 0
    ) & scene.people.has_card[lines.person[head]]
    house = ~shown & (random.random(len(head)) < scene.parameters.behaviour.till_account)
    cash = random.random(len(head)) < scene.parameters.behaviour.cash
    card = choose(
        (shown)[receipt],
        pick(scene.identity.card_id, lines.person),
        choose(house[receipt], join("TILL-", pick(scene.store_id, lines.store)), None),
    )
    shared = pick(scene.identity.shared_token, scene.people.household[lines.person])
    own = pick(scene.identity.token, 2 * lines.person + (random.random(len(head)) < 0.2)[receipt])
    token = choose(cash[receipt], None, _first(shared, own))
    household = pick(scene.identity.household_id, lines.person, shown[receipt])

    list_price = scene.world.product_price[lines.product] * lines.quantity
    shelf = np.round(list_price * scene.shelf_discount(lines.product, lines.day), 2)
    coupon_share = np.where(lines.offer >= 0, scene.world.offer_discount[np.maximum(lines.offer, 0)], 0.0)
    coupon = np.round((list_price - shelf) * coupon_share, 2)
    amount = np.round(list_price - shelf - coupon, 2)
    number = np.arange(len(lines)) - head[receipt] + 1
    transaction = scene.transaction_id(lines.visit)
    scene.sink.write(
        "pos/lines",
        len(lines),
        {
            "transaction_id": transaction,
            "line_number": number,
            "store_id": pick(scene.store_id, lines.store),
            "sold_at": lines.instant,
            "household_id": household,
            "product_id": pick(scene.product_id, lines.product),
            "quantity": lines.quantity,
            "amount": amount,
            "retail_discount": shelf,
            "coupon_discount": coupon,
            "coupon_match_discount": np.zeros(len(lines)),
            "currency": "USD",
            "received_at": scene.arrival("pos", lines.instant, 0),
            "seller_id": pick(scene.seller_id, lines.seller),
            "card_id": card,
            "payment_token": token,
        },
    )
    unknown = head[~shown]
    scene.owners.append(
        pa.table(
            {
                "channel": pa.repeat("pos", len(unknown)),
                "session_id": transaction.take(pa.array(unknown)),
                "person_id": scene.people.person_id[lines.person[unknown]],
            }
        )
    )
    _returns(scene, lines, number, amount, transaction, card, token, household)
    _redemptions(scene, lines)
    _points(scene, lines.take(head), shown, np.bincount(receipt, weights=amount, minlength=len(head)))
    _pings(scene, lines.take(head))


def _first(one: pa.Array, other: pa.Array) -> pa.Array:
    return choose(np.asarray(one.is_valid()), one, other)


def _returns(
    scene: Scene,
    lines: Lines,
    number: Ints,
    amount: Floats,
    transaction: pa.Array,
    card: pa.Array,
    token: pa.Array,
    household: pa.Array,
) -> None:
    random = scene.random("returns")
    rate = scene.parameters.behaviour.return_rate * np.where(lines.seller == GROCER, 0.1, 1.0)
    rows = np.flatnonzero(random.random(len(lines)) < rate)
    when = lines.instant[rows] + random.integers(1, 15, len(rows)) * DAY
    kept = when < scene.days.cut_off
    rows, when = rows[kept], when[kept]
    picked = pa.array(rows)
    reasons = pa.array(["quality", "size", "changed_mind"])
    scene.sink.write(
        "pos/returns",
        len(rows),
        {
            "return_id": scene.ids("return", len(rows)),
            "transaction_id": transaction.take(picked),
            "line_number": number[rows],
            "store_id": pick(scene.store_id, lines.store[rows]),
            "sold_at": lines.instant[rows],
            "returned_at": when,
            "household_id": household.take(picked),
            "card_id": card.take(picked),
            "payment_token": token.take(picked),
            "product_id": pick(scene.product_id, lines.product[rows]),
            "quantity": lines.quantity[rows],
            "amount": amount[rows],
            "currency": "USD",
            "reason": pick(reasons, random.integers(0, 3, len(rows))),
            "seller_id": pick(scene.seller_id, lines.seller[rows]),
            "received_at": scene.arrival("pos", when, 0),
        },
    )


def _redemptions(scene: Scene, lines: Lines) -> None:
    used = lines.take(lines.offer >= 0)
    days = scene.days
    first_day = np.datetime64(days.dates[0], "D")
    scene.sink.write(
        "loyalty/redemptions",
        len(used),
        {
            "redemption_id": scene.ids("redemption", len(used)),
            "household_id": pick(scene.identity.household_id, used.person),
            "offer_id": pick(scene.offer_id, used.offer),
            "campaign_id": pick(scene.campaign_id, scene.world.offer_campaign[used.offer]),
            "coupon_upc": pick(scene.coupon_upc, used.offer),
            "redeemed_at": first_day + days.day_of(used.instant),
            "card_id": pick(scene.identity.card_id, used.person),
            "seller_id": pick(scene.seller_id, used.seller),
            # The loyalty scheme books by night.
            "received_at": scene.arrival("loyalty", days.midnight[days.day_of(used.instant) + 1], 0),
        },
    )


def _points(scene: Scene, receipts: Lines, shown: Bools, amount: Floats) -> None:
    """Points for what is spent; tiers by all that was spent, before the period too; points spent in steps."""
    days, people, behaviour = scene.days, scene.people, scene.parameters.behaviour
    tier_from = np.array([0.0, behaviour.tier_silver, behaviour.tier_gold])
    rows = np.flatnonzero(shown)
    rows = rows[np.lexsort((receipts.instant[rows], receipts.person[rows]))]
    person, instant = receipts.person[rows], receipts.instant[rows]
    before = scene.random("points").gamma(1.0, 250.0, people.count)
    earned = np.floor(behaviour.points_per_unit * amount[rows]).astype(np.int64)
    total = _running(earned, person)
    spent = np.floor(before[person] % POINTS_STEP).astype(np.int64)
    steps = (spent + total) // POINTS_STEP - (spent + total - earned) // POINTS_STEP
    balance = (spent + total) % POINTS_STEP
    money = before[person] + _running(amount[rows], person)
    tier = np.searchsorted(tier_from, money, side="right") - 1
    old_tier = np.searchsorted(tier_from, money - amount[rows], side="right") - 1
    last = np.append(np.diff(person) != 0, True) if len(person) else np.zeros(0, dtype=bool)
    scene.cards = pa.table(
        {
            "person_id": people.person_id[person[last]],
            "spent": money[last],
            "spent_in_period": money[last] - before[person[last]],
            "receipts": np.bincount(person, minlength=people.count)[person[last]],
            "points_earned": total[last],
            "tier": pick(pa.array(TIERS), tier[last]),
        }
    )

    def part(event: str, mask: Bools, points: Ints, left: Ints, delay: int) -> dict[str, pa.Array]:
        at = instant[mask] + delay
        return {
            "event": pa.repeat(event, int(mask.sum())),
            "booked_at": pa.array(at),
            "received_at": pa.array(scene.arrival("loyalty", days.midnight[days.day_of(at) + 1], 0)),
            "card_id": pick(scene.identity.card_id, person[mask]),
            "household_id": pick(scene.identity.household_id, person[mask]),
            "transaction_id": scene.transaction_id(receipts.visit[rows][mask]),
            "points": pa.array(points[mask]),
            "balance": pa.array(left[mask]),
            "tier": pick(pa.array(TIERS), tier[mask]),
        }

    parts = [
        part("Points Earned", earned > 0, earned, balance + steps * POINTS_STEP, 0),
        part("Points Spent", steps > 0, -steps * POINTS_STEP, balance, 1000),
        part("Tier Changed", tier != old_tier, np.zeros_like(earned), balance, 2000),
    ]
    columns = {name: pa.concat_arrays([each[name] for each in parts]) for name in parts[0]}
    count = len(columns["event"])
    scene.sink.write("loyalty/points", count, {"entry_id": scene.ids("points", count)} | columns)


def _running(values: Ints | Floats, person: Ints) -> Ints | Floats:
    """Running sum within each person (rows sorted by person)."""
    total = np.cumsum(values)
    head = np.flatnonzero(np.diff(person, prepend=-1) != 0)
    base = np.repeat(total[head] - values[head], np.diff(np.append(head, len(person))))
    return total - base


def _pings(scene: Scene, receipts: Lines) -> None:
    """Doors and beacons see phones with the app and its owner's consent; Wi-Fi sees some of the others."""
    faults, people, days = scene.parameters.channels, scene.people, scene.days
    random = scene.random("location")
    person, store, seller, instant = receipts.person, receipts.store, receipts.seller, receipts.instant
    # Who looked around and bought nothing: at the hours at which others bought.
    extra = random.integers(
        0, max(1, len(receipts)), int(scene.parameters.behaviour.walk_through * len(receipts))
    )
    other = random.integers(0, scene.world.sellers, len(extra))
    person = np.concatenate([person, person[extra]])
    store = np.concatenate([store, people.home_mall[receipts.person[extra]] * scene.world.sellers + other])
    seller = np.concatenate([seller, other])
    instant = np.concatenate([instant, instant[extra] + random.integers(-2 * HOUR, HOUR, len(extra))])
    by_app = people.has_app[person] & people.consent[person, 3]
    by_wifi = ~by_app & people.consent[person, 3] & (random.random(len(person)) < 0.25)
    seen = np.flatnonzero(by_app | by_wifi)
    person, store, seller, instant = person[seen], store[seen], seller[seen], instant[seen]
    app = by_app[seen]
    inside = random.gamma(2.0, 9.0, len(seen)) * 60_000 + 120_000
    walk = random.gamma(2.0, 3.0, (2, len(seen))) * 60_000 + 60_000
    entered = instant - 0.8 * inside
    left = instant + 0.2 * inside
    offsets = np.stack([entered - walk[0], entered, left, left + walk[1]], axis=1)
    count = 4 * len(seen)
    at = (offsets + random.normal(0, faults.beacon_jitter * 1000, offsets.shape)).astype(np.int64).ravel()
    row, event = np.repeat(np.arange(len(seen)), 4), np.tile(np.arange(4), len(seen))
    dwell = np.stack([inside * 0, inside * 0, inside, inside + walk.sum(axis=0)], axis=1).ravel() / 1000
    arrives = random.random(count) >= faults.beacon_loss
    delay = random.integers(500, 9_000, count)
    late = random.random(count) < faults.late_share
    delay = np.where(late, random.integers(HOUR, 30 * HOUR, count), delay)
    skew = np.where(app[row], scene.identity.clock_error[person[row], 2], 0)
    rows = np.flatnonzero(arrives & (at < days.cut_off))
    # Sent again, byte for byte, by a phone that saw no answer.
    again = rows[random.random(len(rows)) < faults.duplicates]
    rows = np.concatenate([rows, again])
    owner = person[row]
    used = _device_at(scene, owner, days.day_of(at))
    names = pa.array(["Mall Entered", "Store Entered", "Store Exited", "Mall Exited"])
    at_store = (event == 1) | (event == 2)
    stores = store[row]
    door = join("door-", text(stores // scene.world.sellers + 1))
    beacon = choose(at_store, join("b-", pick(scene.store_id, stores)), door)
    columns = {
        "ping_id": scene.ids("ping", count),
        "event": pick(names, event),
        "occurred_at": pa.array(at + skew),
        "received_at": pa.array(scene.arrival("location", at, delay)),
        "device_id": pick(scene.identity.device, used, app[row]),
        "wifi_hash": pick(scene.identity.wifi, owner, ~app[row]),
        "beacon_id": beacon,
        "store_id": pick(scene.store_id, stores, at_store),
        "dwell_seconds": where(event >= 2, dwell.astype(np.int64)),
        "seller_id": choose(at_store, pick(scene.seller_id, seller[row]), "mall"),
    }
    picked = pa.array(rows)
    scene.sink.write(
        "location/pings", len(rows), {name: values.take(picked) for name, values in columns.items()}
    )


def _device_at(scene: Scene, person: Ints, day: Ints) -> Ints:
    """Whose phone a person holds on a day."""
    identity = scene.identity
    return np.where(day >= identity.handed_day[person], identity.device_person[person], person)
