"""Moments: each match once, whatever is killed; waits end by events and not by the order in which they come."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.streaming import Stream, record, running, until

from genome.collector.record import Record
from genome.rules.rules import own_file
from genome.stores import valkey
from genome.stream import registry
from genome.stream.consumer import Entry, PositionMovedError
from genome.stream.moments import Moment, MomentsHandler, waiting

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def event(name: str, minute: float, **changes: Any) -> Record:
    at = micros(NOON + minute * MINUTE)
    key = changes.pop("key", "u1")
    properties = {"product_id": "p1"} | changes
    return record(
        f"{name}@{minute}@{key}", name=name, occurred=at, received=at, key=key, properties=properties
    )


@pytest.fixture
def store(stream: Stream) -> Stream:
    stream.clear()
    return stream


class Run:
    """A handler that reads the stream by itself, so that a test says what is killed when."""

    def __init__(self, store: Stream) -> None:
        self.store = store
        self.handler = MomentsHandler(store.settings)
        self.position = self.handler.position(0)

    def add(self, *records: Record) -> "Run":
        self.store.add(0, *records)
        return self

    def read(self, at_once: int = 100) -> "Run":
        while entries := self.entries(at_once):
            self.handler.handle(0, entries)
            self.position = entries[-1].id
        return self

    def entries(self, count: int) -> Sequence[Entry]:
        from genome.collector.record import decode

        found: Any = self.store.client.xrange("collector:{0}:events", b"(" + self.position, count=count)
        return [Entry(each, decode(fields), fields[b"r"]) for each, fields in found]  # type: ignore[arg-type]

    def tick(self, minute: float) -> "Run":
        self.handler.tick(NOON + minute * MINUTE)
        return self

    def moments(self, name: str | None = None) -> list[Moment]:
        found = waiting(self.store.settings, self.store.client)
        return [each for each in found if name in (None, each.moment)]


def test_the_shipped_rules_say_what_happens_in_a_mall(store: Stream) -> None:
    run = Run(store).add(
        event("Mall Entered", 0),
        event("Store Entered", 1, store_id="s1"),
        event("Store Exited", 20, store_id="s1"),
        event("Mall Exited", 21),
        event("Product Out of Stock", 22),
        event("Order Completed", 23, order_id="o1"),
        event("Complaint Opened", 24, case_id="c1"),
        event("Complaint Closed", 25, case_id="c1"),
    )
    assert run.read(2).tick(26).moments("dwelled") == []  # out before the ten minutes' timer could be asked
    assert sorted(each.moment for each in run.moments()) == [
        "complaint_closed",
        "complaint_opened",
        "left",
        "left",
        "mall_entered",
        "order_completed",
        "product_out_of_stock",
    ]
    (opened,) = run.moments("complaint_opened")
    assert (opened.source_key, opened.details["case_id"], opened.channel) == ("user:u1", "c1", "web")
    assert opened.at == micros(NOON + 24 * MINUTE)


def test_somebody_who_stays_in_a_store_has_dwelled(store: Stream) -> None:
    run = Run(store).add(event("Store Entered", 1, store_id="s1")).read()
    assert run.tick(10.9).moments("dwelled") == []
    (moment,) = run.tick(11).moments("dwelled")
    assert moment.details["store_id"] == "s1"
    assert len(run.tick(500).moments("dwelled")) == 1


def test_a_cart_is_abandoned_once_and_a_purchase_ends_the_wait(store: Stream) -> None:
    run = Run(store).add(
        event("Product Added", 0),
        event("Product Added", 10),
        event("Product Added", 0, key="buyer"),
        event("Order Completed", 5, key="buyer", order_id="o"),
    )
    assert run.read().tick(39).moments("cart_abandoned") == []
    (moment,) = run.tick(40).tick(41).tick(600).moments("cart_abandoned")
    assert (moment.source_key, moment.at) == ("user:u1", micros(NOON + 40 * MINUTE))


def test_after_a_standstill_the_purchase_that_waits_in_the_stream_ends_the_wait(store: Stream) -> None:
    run = Run(store).add(event("Product Added", 0), event("Order Completed", 5, order_id="o"))
    run.handler.handle(0, run.entries(1))
    run.position = run.entries(1)[0].id
    assert run.tick(60).moments("cart_abandoned") == []
    assert run.read().tick(61).moments("cart_abandoned") == []


def test_timers_and_waits_survive_the_process(store: Stream) -> None:
    Run(store).add(event("Product Added", 0)).read()
    again = Run(store)
    assert again.entries(10) == []
    assert len(again.read().tick(30).moments("cart_abandoned")) == 1
    assert len(Run(store).tick(31).moments("cart_abandoned")) == 1


def test_two_owners_make_one_moment_and_the_second_is_refused(store: Stream) -> None:
    first, second = Run(store).add(event("Order Completed", 0, order_id="o")), Run(store)
    first.read()
    with pytest.raises(PositionMovedError):
        second.handler.handle(0, second.entries(1))
    assert len(first.moments("order_completed")) == 1
    third = Run(store)
    third.add(event("Product Added", 1)).read()
    first.position = third.position
    fourth = Run(store)
    third.tick(60)
    fourth.tick(60)
    assert len(first.moments("cart_abandoned")) == 1


def test_a_message_that_comes_twice_makes_one_moment(store: Stream) -> None:
    order = event("Order Completed", 0, order_id="o")
    assert len(Run(store).add(order, order).read(1).moments("order_completed")) == 1


def test_history_makes_no_moment(store: Stream) -> None:
    old = event("Order Completed", 0, order_id="o")
    old.received = micros(NOON + 3 * 60 * MINUTE)
    assert Run(store).add(old).read().moments() == []


def test_the_installation_has_rules_of_its_own(store: Stream) -> None:
    path = store.settings.home / "rules" / "moments.toml"
    path.parent.mkdir()
    path.write_text(
        '[[rule]]\nid = "viewed"\nabout = "Somebody looked."\non = { event = "Product Viewed" }\n'
    )
    try:
        assert own_file(store.settings, "moments") == path
        run = Run(store).add(event("Product Viewed", 0), event("Order Completed", 1, order_id="o")).read()
        assert [each.rule for each in run.moments()] == ["viewed"]
    finally:
        path.unlink()


@settings(max_examples=25)
@given(st.data())
def test_killed_anywhere_each_match_is_made_exactly_once(stream: Stream, data: Any) -> None:
    """A kill before the script loses nothing, one after it doubles nothing: both are tried at each step."""
    stream.clear()
    names = ["Product Added", "Order Completed", "Mall Entered", "Store Entered", "Product Viewed"]
    drawn = data.draw(
        st.lists(
            st.tuples(st.sampled_from(names), st.integers(0, 90), st.sampled_from("ab")),
            unique=True,
            max_size=12,
        )
    )
    records = [event(name, minute, key=key, store_id="s", order_id="o") for name, minute, key in drawn]
    stream.add(0, *records)

    def play(*, kills: bool) -> list[tuple[str, int]]:
        for each in ("position", "states", "timers", "made", "queue"):
            stream.client.delete(f"moments:{{0}}:{each}")
        run = Run(stream)
        while entries := run.entries(data.draw(st.integers(1, 4)) if kills else 1):
            fate = data.draw(st.sampled_from(["lives", "before", "after"])) if kills else "lives"
            if fate != "before":
                run.handler.handle(0, entries)
                run.position = entries[-1].id
            if fate != "lives":
                run = Run(stream)
        for minute in (200, 201, 300):
            run = Run(stream) if kills else run
            run.tick(minute)
        return sorted((each.id, each.at) for each in run.moments())

    assert play(kills=True) == play(kills=False)


def test_the_states_of_a_store_that_is_stopped_in_good_order_are_there_again(store: Stream) -> None:
    run = Run(store).add(event("Product Added", 0)).read()
    valkey.stop(store.settings, "events")
    valkey.ensure(store.settings, "events")
    run = Run(store)
    assert len(run.tick(30).moments("cart_abandoned")) == 1


def test_the_consumer_puts_moments_on_the_queue(store: Stream) -> None:
    at = datetime.now(UTC)
    bought = event("Order Completed", 0, order_id="o")
    bought.occurred = bought.received = micros(at)
    with running(registry.make("moments", store.settings)):
        store.add(1, bought)
        until(lambda: waiting(store.settings, store.client))
    (moment,) = waiting(store.settings, store.client)
    assert (moment.moment, moment.at, moment.details["order_id"]) == ("order_completed", micros(at), "o")
    assert store.figure("moments", 1).lag == 0
