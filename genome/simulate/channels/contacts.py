"""What the retailer sent: mails, texts, pushes and letters, and what came back."""

import numpy as np
import pyarrow as pa

from genome.simulate.behaviour import Contacts
from genome.simulate.calendar import HOUR
from genome.simulate.channels.scene import Scene, choose, join, pick
from genome.simulate.purchases import logistic
from genome.simulate.randomness import Bools, Ints
from genome.simulate.world import CHANNELS


def emit(scene: Scene) -> None:
    """Write email, sms_push and direct_mail."""
    contacts = scene.history.contacts
    real = contacts.is_sent & ~scene.world.campaign_is_placebo[contacts.campaign]
    channel = scene.world.campaign_channel[contacts.campaign]
    for number, write in enumerate((_mails, _texts, _letters)):
        rows = np.flatnonzero(real & (channel == number))
        write(scene, contacts.take(rows), scene.purchases.outcomes.contact_instant[rows], _moved(scene, rows))


def _moved(scene: Scene, rows: Ints) -> Bools:
    outcomes = scene.purchases.outcomes
    return outcomes.bought_with[rows] & ~outcomes.bought_without[rows]


def _unsubscribes(scene: Scene, contacts: Contacts, channel: str) -> Bools:
    """The contact after which the person unsubscribed."""
    return scene.history.unsubscribed[contacts.person, CHANNELS.index(channel)] == contacts.day + 1


def _mails(scene: Scene, contacts: Contacts, instant: Ints, moved: Bools) -> None:
    random = scene.random("email")
    count = len(contacts)
    bounced = random.random(count) < 0.012
    reads = random.random(count) < logistic(-0.9 + 0.3 * contacts.match)
    opened = ~bounced & (reads | moved)
    click = random.random(count) < logistic(-1.9 + scene.parameters.response.click_match * contacts.match)
    clicked = opened & (click | (moved & (random.random(count) < 0.5)))
    gone = opened & _unsubscribes(scene, contacts, "email")
    spam = opened & ~clicked & (random.random(count) < 0.001 * (1 + contacts.fatigue))
    delivered = instant + random.integers(500, 60_000, count)
    open_at = delivered + (random.exponential(5 * HOUR, count)).astype(np.int64) + 20_000
    # Who is moved reads in time: before the purchase, on the day of the mail.
    open_at = np.where(moved, delivered + (random.random(count) * 9 * HOUR).astype(np.int64), open_at)
    message = scene.ids("mail", count)
    parts = [
        (~bounced, "Email Delivered", delivered),
        (bounced, "Email Bounced", delivered),
        (opened, "Email Opened", open_at),
        (clicked, "Email Link Clicked", open_at + 25_000),
        (spam, "Email Marked as Spam", open_at + 40_000),
        (gone, "Unsubscribed", open_at + 60_000),
    ]
    rows, event, at = _stacked(parts)
    seller = pick(scene.seller_id, scene.world.campaign_seller[contacts.campaign[rows]])
    offer = pick(scene.offer_id, contacts.offer[rows])
    is_click = event == 3
    kept = np.flatnonzero(at < scene.days.cut_off)
    columns = {
        "event_id": scene.ids("mail event", len(rows)),
        "event": pick(pa.array([name for _, name, _ in parts]), event),
        "occurred_at": pa.array(at),
        "received_at": pa.array(scene.arrival("email", at, random.integers(1_000, 120_000, len(rows)))),
        "email": pick(scene.identity.email, contacts.person[rows]),
        "message_id": pick(message, rows),
        "campaign_id": pick(scene.campaign_id, contacts.campaign[rows]),
        "offer_id": offer,
        "seller_id": seller,
        "url": choose(is_click, join("https://shop.example.com/", seller, "/offers/", offer), None),
    }
    picked = pa.array(kept)
    scene.sink.write(
        "email/events", len(kept), {name: values.take(picked) for name, values in columns.items()}
    )


def _texts(scene: Scene, contacts: Contacts, instant: Ints, moved: Bools) -> None:
    random = scene.random("sms_push")
    count = len(contacts)
    people = scene.people
    push = people.has_app[contacts.person] & (
        (random.random(count) < 0.6) | ~people.has_phone[contacts.person]
    )
    tapped = (random.random(count) < logistic(-2.3 + 0.6 * contacts.match)) | (
        moved & (random.random(count) < 0.5)
    )
    gone = _unsubscribes(scene, contacts, "sms_push")
    got = instant + random.integers(200, 20_000, count)
    tap_at = got + (random.exponential(0.7 * HOUR, count)).astype(np.int64) + 3_000
    message = scene.ids("text", count)
    parts = [
        (~push, "SMS Delivered", got),
        (push, "Push Notification Received", got),
        (tapped & ~push, "SMS Link Clicked", tap_at),
        (tapped & push, "Push Notification Tapped", tap_at),
        (gone, "Unsubscribed", got + HOUR),
    ]
    rows, event, at = _stacked(parts)
    day = scene.days.day_of(at)
    person = contacts.person[rows]
    held = np.where(day >= scene.identity.handed_day[person], scene.identity.device_person[person], person)
    columns = {
        "event_id": scene.ids("text event", len(rows)),
        "event": pick(pa.array([name for _, name, _ in parts]), event),
        "kind": choose(push[rows], "push", "sms"),
        "occurred_at": pa.array(at),
        "received_at": pa.array(scene.arrival("sms_push", at, random.integers(300, 30_000, len(rows)))),
        "phone": pick(scene.identity.phone, person, ~push[rows]),
        "device_id": pick(scene.identity.device, held, push[rows]),
        "message_id": pick(message, rows),
        "campaign_id": pick(scene.campaign_id, contacts.campaign[rows]),
        "offer_id": pick(scene.offer_id, contacts.offer[rows]),
        "seller_id": pick(scene.seller_id, scene.world.campaign_seller[contacts.campaign[rows]]),
    }
    kept = np.flatnonzero(at < scene.days.cut_off)
    picked = pa.array(kept)
    scene.sink.write(
        "sms_push/events", len(kept), {name: values.take(picked) for name, values in columns.items()}
    )


def _letters(scene: Scene, contacts: Contacts, instant: Ints, moved: Bools) -> None:  # noqa: ARG001
    # One letter a household and campaign: the first person's.
    household = scene.people.household[contacts.person]
    _, first = np.unique(contacts.campaign * scene.people.count + household, return_index=True)
    letter = contacts.take(np.sort(first))
    sent = scene.days.midnight[letter.day]
    scene.sink.write(
        "direct_mail/sends",
        len(letter),
        {
            "campaign_id": pick(scene.campaign_id, letter.campaign),
            "household_id": pick(scene.identity.household_id, letter.person),
            "sent_at": sent,
            "seller_id": pick(scene.seller_id, scene.world.campaign_seller[letter.campaign]),
            "received_at": scene.arrival("direct_mail", sent, 0),
        },
    )


def _stacked(parts: list[tuple[Bools, str, Ints]]) -> tuple[Ints, Ints, Ints]:
    """Rows, event numbers and instants of all parts, one after the other."""
    rows = [np.flatnonzero(mask) for mask, _, _ in parts]
    event = [np.full(len(each), number) for number, each in enumerate(rows)]
    at = [instant[each] for each, (_, _, instant) in zip(rows, parts, strict=True)]
    return np.concatenate(rows), np.concatenate(event), np.concatenate(at)
