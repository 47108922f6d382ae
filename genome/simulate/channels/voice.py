"""What people say: surveys, social networks, service; each text with the motive it was written for."""

import numpy as np
import pyarrow as pa

from genome.simulate.calendar import DAY, HOUR
from genome.simulate.channels.online import liking
from genome.simulate.channels.scene import Scene, choose, pick
from genome.simulate.randomness import Ints
from genome.simulate.text import ANSWERS, MOTIVE_NAMES, letters, sentences
from genome.simulate.world import GROCER

SOCIAL_EVENTS = ("Post Liked", "Post Shared", "Post Commented", "Brand Mentioned")


def emit(scene: Scene) -> None:
    """Write survey, social and service."""
    _survey(scene)
    _social(scene)
    _service(scene)


def _survey(scene: Scene) -> None:
    """Asked after some purchases: would you recommend us, were you content, did you like this product."""
    random = scene.random("survey")
    people, lines = scene.people, scene.purchases.lines
    known = np.asarray(scene.identity.typed_email.is_valid()) | people.has_card
    rows = np.flatnonzero(known[lines.person] & (random.random(len(lines)) < 0.004))
    count = len(rows)
    person, product = lines.person[rows], lines.product[rows]
    kind = random.integers(0, 3, count)
    likes = liking(scene, person, product) + random.normal(0.3, 0.6, count)
    score = np.where(
        kind == 0,
        np.clip(np.round(7.2 + 2.0 * likes), 0, 10),
        np.clip(np.round(3.5 + 0.9 * likes), 1, 5),
    ).astype(np.int64)
    by_mail = np.asarray(scene.identity.typed_email.is_valid())[person] & (random.random(count) < 0.8)
    by_mail |= ~people.has_card[person]
    at = lines.instant[rows] + (random.random(count) * 3 * DAY).astype(np.int64) + HOUR
    good = likes > 0
    motive = np.where(good, MOTIVE_NAMES.index("praise"), MOTIVE_NAMES.index("average"))
    motive[likes < -0.8] = MOTIVE_NAMES.index("quality")
    comment = sentences(motive, pick(scene.category_name, scene.world.product_category[product]), random)
    says = random.random(count) < 0.4
    kept = np.flatnonzero(at < scene.days.cut_off)
    answer = scene.ids("answer", count)
    columns = {
        "answer_id": answer,
        "survey": pick(pa.array(["nps", "csat", "taste"]), kind),
        "answered_at": pa.array(at),
        "received_at": pa.array(scene.arrival("survey", at, 5_000)),
        "email": pick(scene.identity.typed_email, person, by_mail),
        "card_id": pick(scene.identity.card_id, person, ~by_mail),
        "seller_id": pick(scene.seller_id, lines.seller[rows]),
        "product_id": pick(scene.product_id, product, kind == 2),
        "score": pa.array(score),
        "comment": choose(says, comment, None),
        "invitation_id": scene.ids("invitation", count),
    }
    picked = pa.array(kept)
    scene.sink.write(
        "survey/answers", len(kept), {name: values.take(picked) for name, values in columns.items()}
    )
    _motives(scene, "survey", answer, motive, person, kept[says[kept]])


def _social(scene: Scene) -> None:
    random = scene.random("social")
    people, sessions, views = scene.people, scene.purchases.sessions, scene.purchases.views
    able = people.has_handle[sessions.person[views.session]]
    rows = np.flatnonzero(able & (random.random(len(views)) < 0.04))
    count = len(rows)
    session = views.session[rows]
    person, product = sessions.person[session], views.product[rows]
    event = random.choice(4, count, p=[0.7, 0.1, 0.14, 0.06])
    at = sessions.instant[session] + random.integers(60_000, 5 * HOUR, count)
    likes = liking(scene, person, product) + random.normal(0.3, 0.6, count)
    motive = np.where(likes > 0, MOTIVE_NAMES.index("praise"), MOTIVE_NAMES.index("price"))
    words = sentences(motive, pick(scene.category_name, scene.world.product_category[product]), random)
    spoken = event >= 2
    kept = np.flatnonzero(at < scene.days.cut_off)
    ids = scene.ids("social", count)
    posts = scene.ids("post", count)
    columns = {
        "event_id": ids,
        "event": pick(pa.array(SOCIAL_EVENTS), event),
        "occurred_at": pa.array(at),
        "received_at": pa.array(scene.arrival("social", at, random.integers(HOUR, 6 * HOUR, count))),
        "handle": pick(scene.identity.handle, person),
        "network": pick(pa.array(["picshare", "shortclip", "chirp"]), random.integers(0, 3, count)),
        "post_id": posts,
        "seller_id": pick(scene.seller_id, sessions.seller[session]),
        "product_id": pick(scene.product_id, product, event < 3),
        "text": choose(spoken, words, None),
    }
    picked = pa.array(kept)
    scene.sink.write(
        "social/events", len(kept), {name: values.take(picked) for name, values in columns.items()}
    )
    _motives(scene, "social", ids, motive, person, kept[spoken[kept]])


def _service(scene: Scene) -> None:
    """Tickets: complaints of over-contact and up-selling, empty shelves, and everyday questions."""
    random = scene.random("service")
    people, days, world = scene.people, scene.days, scene.world
    complainer, complaint_day = scene.history.complaints
    gaps = scene.purchases.stockouts
    asks = np.flatnonzero(random.random(len(gaps)) < scene.parameters.response.stockout_asks)
    lines = scene.purchases.lines
    rate = np.where(lines.seller == GROCER, 0.0003, 0.01)
    troubled = np.flatnonzero(random.random(len(lines)) < rate)

    # Whoever complains of the mall says what bothers: the messages, or the dearer products that were pushed.
    pushed = scene.history.up_sells[complainer].sum(axis=1) > 2
    bother = np.where(
        pushed & (random.random(len(complainer)) < 0.5),
        MOTIVE_NAMES.index("pushed_to_dearer"),
        MOTIVE_NAMES.index("too_many_messages"),
    )
    favourite = np.argmax(people.trip_rate[complainer][:, 1:], axis=1) + 1
    some = np.array([world.categories_of(seller)[0] for seller in range(world.sellers)])
    person = np.concatenate([complainer, gaps.person[asks], lines.person[troubled]])
    opened = np.concatenate(
        [
            days.instant(complaint_day, random.integers(9 * HOUR, 20 * HOUR, len(complainer))),
            gaps.instant[asks] + random.integers(HOUR // 2, 20 * HOUR, len(asks)),
            lines.instant[troubled] + random.integers(HOUR, 6 * DAY, len(troubled)),
        ]
    )
    seller = np.concatenate([favourite, gaps.store[asks] % world.sellers, lines.seller[troubled]])
    product = np.concatenate([np.full(len(complainer), -1), gaps.product[asks], lines.product[troubled]])
    category = np.where(product >= 0, world.product_category[np.maximum(product, 0)], some[seller])
    visit = np.concatenate([np.full(len(complainer) + len(asks), -1), lines.visit[troubled]])
    everyday = random.choice(
        [MOTIVE_NAMES.index(name) for name in ("quality", "price", "delivery")], len(troubled)
    )
    motive = np.concatenate([bother, np.full(len(asks), MOTIVE_NAMES.index("out_of_stock")), everyday])
    complaint = np.concatenate(
        [
            np.ones(len(complainer), dtype=bool),
            np.zeros(len(asks), dtype=bool),
            random.random(len(troubled)) < 0.3,
        ]
    )
    order = np.argsort(opened, kind="stable")
    _messages(
        scene,
        *(each[order] for each in (person, opened, seller, product, category, visit, motive, complaint)),
    )


def _messages(
    scene: Scene,
    person: Ints,
    opened: Ints,
    seller: Ints,
    product: Ints,
    category: Ints,
    visit: Ints,
    motive: Ints,
    complaint: Ints,
) -> None:
    """Each ticket: opened with a text, answered, closed."""
    random = scene.random("messages")
    tickets = len(person)
    answered = opened + (random.exponential(9 * HOUR, tickets)).astype(np.int64) + 600_000
    closed = answered + (random.exponential(30 * HOUR, tickets)).astype(np.int64) + 600_000
    medium = random.integers(0, 3, tickets)  # phone, email, chat
    phone_known = np.asarray(scene.identity.phone.is_valid())[person]
    medium = np.where((medium == 0) & ~phone_known, 1, medium)
    member = scene.identity.member[person] & (random.random(tickets) < 0.5)
    words = letters(motive, pick(scene.category_name, category), random)
    answer = pick(pa.array(ANSWERS), random.integers(0, len(ANSWERS), tickets))
    row = np.tile(np.arange(tickets), 3)
    step = np.repeat(np.arange(3), tickets)
    at = np.concatenate([opened, answered, closed])
    ids = scene.ids("service", 3 * tickets)
    columns = {
        "message_id": ids,
        "ticket_id": pick(scene.ids("ticket", tickets), row),
        "event": pick(pa.array(["Ticket Opened", "Message Sent", "Ticket Closed"]), step),
        "sent_at": pa.array(at),
        "received_at": pa.array(scene.arrival("service", at, 2_000)),
        "contact_id": pick(scene.identity.contact_id, person[row], member[row]),
        "email": pick(scene.identity.typed_email, person[row], medium[row] == 1),
        "phone": pick(scene.identity.phone, person[row], medium[row] == 0),
        "medium": pick(pa.array(["phone", "email", "chat"]), medium[row]),
        "author": choose(step == 0, "customer", "agent"),
        "is_complaint": pa.array(complaint[row]),
        "seller_id": pick(scene.seller_id, seller[row]),
        "product_id": pick(scene.product_id, product[row]),
        "transaction_id": choose((visit >= 0)[row], scene.transaction_id(visit[row]), None),
        "text": choose(
            step == 0, words.take(pa.array(row)), choose(step == 1, answer.take(pa.array(row)), None)
        ),
    }
    kept = np.flatnonzero(at < scene.days.cut_off)
    picked = pa.array(kept)
    scene.sink.write(
        "service/messages", len(kept), {name: values.take(picked) for name, values in columns.items()}
    )
    _motives(scene, "service", ids, motive[row], person[row], kept[step[kept] == 0])


def _motives(scene: Scene, channel: str, ids: pa.Array, motive: Ints, person: Ints, rows: Ints) -> None:
    scene.motives.append(
        pa.table(
            {
                "channel": pa.array([channel] * len(rows), pa.string()),
                "message_id": ids.take(pa.array(rows)),
                "motive": pick(pa.array(MOTIVE_NAMES), motive[rows]),
                "person_id": scene.people.person_id[person[rows]],
            }
        )
    )
