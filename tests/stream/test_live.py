"""What happens reaches the online genome, survives whatever is restarted, and changes builds as a whole."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.live import CHEESE, CUT_OFF, MILK, ORGANIC, Road, event, publish_build

from genome.collector import stream as names
from genome.collector.record import Record
from genome.features import joins
from genome.features import live as layout
from genome.features.live import Act
from genome.lake import publish
from genome.settings import Settings
from genome.stores import valkey
from genome.stream import figures, keys
from genome.stream.consumer import PositionMovedError
from genome.stream.deltas import CONSUMER, wait_for_deltas
from genome.stream.evidence import LINE
from genome.stream.figures import Figure
from genome.stream.lease import store_clock


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    from conftest import free_ports

    events, online = free_ports(2)
    made = Settings(
        home=tmp_path_factory.mktemp("live") / "home",
        now=CUT_OFF + timedelta(days=1),
        events_port=events,
        online_port=online,
        collector_partitions=2,
    )
    for each in valkey.STORES:
        valkey.ensure(made, each)
    yield made
    valkey.stop(made)


@pytest.fixture
def road(stores: Settings, tmp_path: Path) -> Iterator[Road]:
    """Empty stores, and a lake of this test's own."""
    import shutil

    shutil.rmtree(stores.lake, ignore_errors=True)
    with valkey.connect(stores, "events") as events, valkey.connect(stores, "online") as online:
        events.flushall()
        online.flushall()
        made = Road(stores, events, online)
        yield made
        made.handler.close()


def test_what_happens_is_added_to_what_was_built(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    assert road.genes("c1") == {MILK: 0.375, CHEESE: 0.125, ORGANIC: 0.375}
    assert road.row("c1").live is None
    road.send(
        event("Product Viewed", 0, product_id="cheese"),
        event("Product Viewed", 1, key="email:e1", product_id="milk", session="x"),
    ).read()
    assert road.genes("c1") == pytest.approx({MILK: 0.625, CHEESE: 0.375, ORGANIC: 0.625}, rel=1e-3)
    assert road.genes("c1", "shares_now") == pytest.approx(
        {MILK: 0.625, CHEESE: 0.375, ORGANIC: 1.0}, rel=1e-3
    )
    live = road.row("c1").live
    assert live is not None
    assert live.source_keys == ("email:e1", "user:u1")
    assert [each.product_id for each in live.session.viewed] == ["milk", "cheese"]
    # The sums are decayed to the cut-off, so evidence from a half-life later counts twice there.
    road.send(event("Product Viewed", 28 * 1440, product_id="cheese")).read()
    assert road.genes("c1")[CHEESE] == pytest.approx(0.375 + 0.5, rel=1e-3)


def test_a_key_that_nobody_knows_is_a_customer_of_its_own(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    assert not road.row("anonymous:a").is_known
    road.send(event("Product Viewed", 0, key="anonymous:a", product_id="milk")).read()
    row = road.row("anonymous:a")
    assert row.is_known
    assert row.missing == ()
    assert row.event_at[layout.GENOME_VIEW] == CUT_OFF
    assert road.genes("anonymous:a", "shares_character") == {MILK: 1.0, ORGANIC: 1.0}


def test_a_refund_takes_back_a_line_of_the_build_and_a_line_of_today(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    road.send(
        event("Order Refunded", 0, order_id="built", products=[{"product_id": "milk", "quantity": 2}])
    ).read()
    # Of three milks one is left: 3/4 became 1/2, of which half is left after a half-life.
    assert road.genes("c1")[MILK] == pytest.approx(0.25)
    road.send(event("Order Refunded", 1, order_id="built", products=[{"product_id": "milk"}])).read()
    assert road.genes("c1") == pytest.approx({CHEESE: 0.125})
    road.send(
        event(
            "Order Completed",
            2,
            key="user:u2",
            order_id="o",
            products=[{"product_id": "cheese", "quantity": 3}],
        ),
    ).read()
    assert road.genes("user:u2") == pytest.approx({CHEESE: 0.75}, rel=1e-3)
    road.send(
        event(
            "Order Refunded",
            5,
            key="user:u2",
            order_id="o",
            products=[{"product_id": "cheese", "quantity": 2}],
        )
    ).read()
    assert road.genes("user:u2") == pytest.approx({CHEESE: 0.5}, rel=1e-3)
    road.restart().send(
        event(
            "Order Refunded",
            6,
            key="user:u2",
            order_id="o",
            products=[{"product_id": "cheese", "quantity": 9}],
        )
    ).read()
    assert road.genes("user:u2") == {}


def test_a_process_that_dies_loses_and_doubles_nothing(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    road.send(*(event("Product Viewed", number, product_id="milk") for number in range(5))).read(2)
    state = road.state()
    assert road.restart().positions
    road.read()
    assert road.state() == state
    # One that stood still is refused, and what it wanted to write is not there.
    slow, partition = road.handler, next(p for p in road.partitions if road.entries(p, b"0-0"))
    entries = road.send(event("Product Viewed", 9, product_id="milk")).entries(
        partition, road.positions[partition]
    )
    road.handler = type(slow)(road.settings)
    road.start().read()
    once = road.state()
    with pytest.raises(PositionMovedError):
        slow.handle(partition, entries)
    assert road.state() == once
    slow.close()


def everything(road: Road) -> None:
    """Events of every sort."""
    road.send(
        event("Product Viewed", 0, product_id="milk"),
        event("Product Added", 1, product_id="cheese", quantity=2),
        event("Store Entered", 2, store_id="s1"),
        event(
            "Order Completed",
            3,
            order_id="o",
            products=[{"product_id": "milk", "quantity": 3}, {"product_id": "cheese"}],
        ),
        event("Order Refunded", 4, order_id="o", products=[{"product_id": "milk", "quantity": 1}]),
        event("Order Refunded", 5, order_id="built", products=[{"product_id": "milk", "quantity": 1}]),
        event("Product Viewed", 6, key="anonymous:a", product_id="cheese"),
        event("Product Disliked", 7, key="email:e1", product_id="cheese"),
    )


def same(found: dict[bytes, Any], expected: dict[bytes, Any]) -> None:
    """The same state; sums may be added in another order."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if b":genes:" in key:
            for mine, theirs in zip(found[key], value, strict=True):
                assert mine == pytest.approx(theirs, abs=1e-9)
        else:
            assert found[key] == value


def test_an_online_store_that_comes_back_empty_is_filled_again(road: Road) -> None:
    publication = publish_build(road.settings)
    everything(road.load(publication).start())
    state = road.read(3).state()
    assert len(state) > 5
    milk = road.genes("c1")[MILK]
    road.online.flushall()
    # Whichever comes first: an entry that is refused, or the look once a second.
    road.load(publication).tick()
    same(road.state(), state)
    road.online.flushall()
    road.load(publication).send(event("Product Viewed", 8, product_id="milk"))
    with pytest.raises(PositionMovedError):
        road.read()
    road.restart().read()
    assert road.genes("c1")[MILK] == pytest.approx(milk + 0.25, rel=1e-2)


def test_what_the_stream_has_let_go_of_comes_from_the_lake(road: Road) -> None:
    publication = publish_build(road.settings)
    everything(road.load(publication).start())
    road.land().send(event("Product Viewed", 8, product_id="milk"))
    state = road.read().state()
    for partition in road.partitions:
        last = road.landed[partition]
        road.events.xtrim(names.events_key(partition), minid=keys.after(last))
        road.events.set(keys.of_partition(partition, "trimmed"), last)
    road.online.flushall()
    road.load(publication).restart().read()
    same(road.state(), state)


def test_a_new_build_changes_base_and_deltas_as_a_whole(road: Road) -> None:
    first = publish_build(road.settings)
    road.load(first).start().send(event("Product Viewed", 0, product_id="milk")).read().land()
    road.send(event("Product Viewed", 1, product_id="cheese")).read()
    before = road.genes("c1")
    assert before == pytest.approx({MILK: 0.625, CHEESE: 0.375, ORGANIC: 0.625}, rel=1e-3)

    # The next build has seen what had landed: the view of milk. (Its base is the first one's here.)
    second = publish_build(road.settings, as_of=CUT_OFF + timedelta(seconds=30), stream=road.landed)
    road.tick()
    assert road.genes("c1") == before
    # Half-way through the load: the row is of the second build, the catalogue still of the first.
    road.load(second).announce(first)
    between = road.genes("c1")
    assert between == pytest.approx({MILK: 0.375, CHEESE: 0.375, ORGANIC: 0.375}, rel=1e-3)
    road.announce(second).send(event("Product Viewed", 2, product_id="milk")).read()
    assert road.genes("c1") == pytest.approx({MILK: 0.625, CHEESE: 0.375, ORGANIC: 0.625}, rel=1e-3)
    # Nobody reads the first build's deltas any more.
    road.tick()
    joins.retire_customers(road.online, {second.epoch})
    assert not list(road.online.scan_iter(f"live:*{first.epoch}*"))
    assert set(road.online.hkeys(layout.epochs_key(0))) == {b"", second.epoch.encode()}


def test_events_from_the_future_of_a_build_stay_live(road: Road) -> None:
    """With a clock that stands still (the demo's) a build sees nothing of its own instant."""
    first = publish_build(road.settings)
    road.load(first).start().send(event("Product Viewed", 5, product_id="milk")).read().land()
    second = publish_build(road.settings, as_of=CUT_OFF, stream=road.landed)
    road.tick().load(second).tick()
    assert road.genes("c1")[MILK] == pytest.approx(0.625, rel=1e-3)


def test_without_a_build_sessions_are_live(road: Road) -> None:
    road.start().send(event("Product Viewed", 0, product_id="milk")).read()
    (key,) = list(road.online.scan_iter(b"live:*session*"))
    assert key.endswith(b":session:user:u1")
    road.load(publish_build(road.settings)).tick()
    assert road.genes("c1")[MILK] == pytest.approx(0.625, rel=1e-3)


def test_a_long_log_is_cut_down_to_what_it_comes_to(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    road.send(
        *(event("Product Viewed", number, at=CUT_OFF, product_id="milk") for number in range(400))
    ).read(1)
    (key,) = list(road.online.scan_iter(b"live:*:genes:user:u1"))
    assert int(road.online.strlen(key)) < 400 * 2 * layout.SUMS.itemsize / 2
    assert road.genes("c1")[MILK] == pytest.approx(0.375 + 400 * 0.25)
    session = road.row("c1").live.session  # type: ignore[union-attr]
    assert [each.product_id for each in session.viewed] == ["milk"]


def test_the_size_of_a_line_is_what_readers_of_the_log_take_it_for() -> None:
    assert (LINE.itemsize, layout.SUMS.itemsize) == (48, 72)


ACTS = st.lists(
    st.builds(
        Act,
        at=st.integers(0, 9),
        what=st.sampled_from("varoix"),
        id=st.sampled_from(["p", "q", ""]),
        quantity=st.sampled_from([None, 1.0, 2.0]),
        kind=st.sampled_from(["store", "mall"]),
    ),
    max_size=12,
    unique_by=lambda act: (act.at, act.what, act.id),
)


@settings(max_examples=200)
@given(ACTS, st.randoms(use_true_random=False))
def test_a_session_is_the_same_in_any_order_and_after_it_was_cut_down(
    acts: list[Act], random: object
) -> None:
    shuffled = list(acts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    told = layout.folded(acts)
    assert layout.folded(shuffled) == told
    assert layout.folded(told) == told
    assert layout.decode_acts(layout.encode_acts(acts)) == acts


def test_a_session_says_what_lies_in_the_cart_and_where_somebody_is() -> None:
    at = round(CUT_OFF.timestamp() * 1e6)
    acts = [
        Act(at, "a", "milk", 2.0),
        Act(at + 1, "a", "cheese"),
        Act(at + 2, "r", "milk", 1.0),
        Act(at + 3, "i", "", None, "mall"),
        Act(at + 4, "i", "s1", None, "store"),
    ]
    for order in itertools.islice(itertools.permutations(acts), 0, 120, 7):
        session = layout.session([layout.encode_acts(order[:2]), layout.encode_acts(order[2:])], CUT_OFF)
        assert {each.product_id: each.quantity for each in session.cart} == {"milk": 1.0, "cheese": 1.0}
        assert session.place is not None
        assert session.place.place_id == "s1"
    bought = layout.encode_acts([*acts, Act(at + 5, "o", "milk"), Act(at + 6, "x", "s1", None, "store")])
    session = layout.session([bought], CUT_OFF)
    assert [each.product_id for each in session.cart] == ["cheese"]
    assert session.place is not None
    assert session.place.kind == "mall"
    # A lost signal leaves an entry without an exit: it does not hold for ever.
    assert layout.session([bought], CUT_OFF + timedelta(days=1)).place is None


def test_a_build_comes_online_when_its_deltas_are_there(road: Road) -> None:
    first = publish_build(road.settings)
    assert wait_for_deltas(road.settings, first.epoch, seconds=0), (
        "nobody reads live: there is nothing to wait for"
    )
    road.load(first).start().send(event("Product Viewed", 0, product_id="milk")).read()
    told = [Figure(CONSUMER, each, at=store_clock(road.events)) for each in road.partitions]
    road.events.hset(keys.CONSUMERS, CONSUMER, str(store_clock(road.events)))
    figures.write(road.events, told)
    assert wait_for_deltas(road.settings, first.epoch, seconds=0)
    second = publish_build(road.settings)
    assert not wait_for_deltas(road.settings, second.epoch, seconds=0)
    road.tick()
    assert wait_for_deltas(road.settings, second.epoch, seconds=0)


def test_a_process_that_was_away_for_too_long_takes_from_the_lake(road: Road) -> None:
    road.load(publish_build(road.settings)).start().send(event("Product Viewed", 0, product_id="milk")).read()
    road.send(event("Product Viewed", 1, product_id="cheese")).land()
    for partition in road.partitions:
        road.events.xtrim(names.events_key(partition), minid=keys.after(road.landed[partition]))
        road.events.set(keys.of_partition(partition, "trimmed"), road.landed[partition])
    road.restart().send(event("Product Viewed", 2, product_id="milk")).read()
    assert road.genes("c1") == pytest.approx({MILK: 0.875, CHEESE: 0.375, ORGANIC: 0.875}, rel=1e-3)


def test_what_is_trimmed_while_it_is_read_is_taken_from_the_lake(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    road.load(publish_build(road.settings)).start()
    road.send(*(event("Product Viewed", number, product_id="milk") for number in range(4))).read().land()
    before = road.state()
    whole, turns = road.handler._pages, []

    def pages(partition: int, after: bytes, until: bytes) -> Any:
        if not turns and keys.parsed(until) > keys.parsed(after):
            turns.append(partition)
            last = road.landed[partition]
            road.events.xtrim(names.events_key(partition), minid=keys.after(last))
            road.events.set(keys.of_partition(partition, "trimmed"), last)
        return whole(partition, after, until)

    monkeypatch.setattr(road.handler, "_pages", pages)
    road.online.flushall()
    road.tick()
    assert len(turns) == 1
    same(road.state(), before)


def test_a_build_that_has_seen_more_than_live_has_is_not_counted_twice(road: Road) -> None:
    first = publish_build(road.settings)
    road.load(first).start()
    road.send(
        event("Product Viewed", 0, product_id="milk"), event("Product Viewed", 1, product_id="milk")
    ).land()
    second = publish_build(road.settings, as_of=CUT_OFF + timedelta(minutes=5), stream=road.landed)
    road.tick().read()
    assert road.genes("c1")[MILK] == pytest.approx(0.875, rel=1e-3)
    road.load(second)
    assert road.genes("c1")[MILK] == pytest.approx(0.375, rel=1e-3)
    road.send(event("Product Viewed", 6, product_id="milk")).read()
    assert road.genes("c1")[MILK] == pytest.approx(0.625, rel=1e-3)


def test_a_large_batch_is_written_in_parts_and_says_the_same(road: Road) -> None:
    publication = publish_build(road.settings)
    road.load(publication).start()
    for number in range(0, 1_200, 4):
        order = f"o{number % 60}"
        road.send(
            event("Product Viewed", number, product_id="milk", at=CUT_OFF),
            event(
                "Order Completed",
                number + 1,
                order_id=order,
                products=[{"product_id": "milk", "quantity": 2}],
                at=CUT_OFF,
            ),
            event(
                "Order Refunded",
                number + 2,
                order_id=order,
                products=[{"product_id": "milk", "quantity": 1}],
                at=CUT_OFF,
            ),
            event("Product Disliked", number + 3, key="user:u2", product_id="cheese", at=CUT_OFF),
        )
    together = road.read(5_000).state()
    road.online.flushall()
    road.load(publication).restart().read(211)
    same(road.state(), together)


def test_a_part_that_fails_leaves_the_parts_before_it_and_comes_again(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    road.load(publish_build(road.settings)).start()
    road.send(*(event("Product Viewed", number, product_id="milk", at=CUT_OFF) for number in range(1_200)))
    commit, calls = road.handler._commit, []

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise ConnectionError("gone for a moment")
        return commit(*arguments)

    monkeypatch.setattr(road.handler, "_commit", failing)
    with pytest.raises(ConnectionError):
        road.read(5_000)
    road.read(5_000)
    assert road.genes("c1")[MILK] == pytest.approx(0.375 + 1_200 * 0.25)


def identify(number: int, person: str, thing: str) -> Record:
    """A person identifies on a thing: an event that names both."""
    made = event("Profile Updated", number, key=person)
    kind, _, own = thing.partition(":")
    made.identifiers = [(kind, own, None)]
    return made


def test_who_identifies_on_a_device_is_its_customer_at_once(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    # Somebody looks around, then signs in: the build knows the account by another name, and not the browser.
    road.send(event("Product Viewed", 1, key="anonymous:new", product_id="cheese")).read()
    assert road.row("anonymous:new").customer_id == "anonymous:new"
    assert road.genes("c1")[CHEESE] == 0.125
    road.send(identify(2, "user:u1", "anonymous:new")).read()
    together = pytest.approx({MILK: 0.375, CHEESE: 0.125 + 0.25, ORGANIC: 0.375}, rel=1e-3)
    for name in ("c1", "user:u1", "email:e1", "anonymous:new"):
        row = road.row(name)
        assert (row.id, row.customer_id) == (name, "c1")
        assert road.genes(name) == together
        assert row.live is not None
        assert [each.product_id for each in row.live.session.viewed] == ["cheese"]
    # What is done on the browser afterwards counts for the person.
    road.send(event("Product Viewed", 3, key="anonymous:new", product_id="bread")).read()
    row = road.row("user:u1")
    assert row.live is not None
    assert [each.product_id for each in row.live.session.viewed] == ["bread", "cheese"]


def test_somebody_new_is_joined_to_a_new_browser(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    road.send(
        event("Product Viewed", 1, key="anonymous:new", product_id="milk"),
        identify(2, "user:new", "anonymous:new"),
        event("Product Viewed", 3, key="user:new", product_id="cheese"),
    ).read()
    assert road.genes("user:new") == pytest.approx({MILK: 0.25, CHEESE: 0.25, ORGANIC: 0.25}, rel=1e-3)
    assert road.row("anonymous:new").customer_id == "user:new"


def test_what_two_people_identify_on_is_nobodys(road: Road) -> None:
    """A family's tablet: in whatever order they come, nobody is given what the others did on it."""
    road.load(publish_build(road.settings)).start()
    road.send(
        event("Product Viewed", 1, key="anonymous:tablet", product_id="cheese"),
        identify(2, "user:u1", "anonymous:tablet"),
    ).read()
    assert road.row("anonymous:tablet").customer_id == "c1"
    road.send(identify(3, "user:u2", "anonymous:tablet")).read()
    assert road.row("anonymous:tablet").customer_id == "anonymous:tablet"
    assert road.genes("c1")[CHEESE] == 0.125
    assert road.genes("user:u2") == {}
    assert road.genes("anonymous:tablet") == pytest.approx({CHEESE: 0.25}, rel=1e-3)


def test_who_left_an_address_before_there_was_an_account_is_one(road: Road) -> None:
    """The address and the account are of different kinds: they are one person's until something else is said."""
    road.load(publish_build(road.settings)).start()
    road.send(
        event("Product Viewed", 1, key="anonymous:new", product_id="cheese"),
        identify(2, "anonymous:new", "email:e9"),
    ).read()
    assert road.row("anonymous:new").customer_id == "email:e9"
    assert road.genes("email:e9") == pytest.approx({CHEESE: 0.25}, rel=1e-3)
    road.send(identify(3, "user:u9", "anonymous:new")).read()
    assert road.row("anonymous:new").customer_id == "user:u9"
    road.send(identify(4, "anonymous:new", "email:e10")).read()
    assert road.row("anonymous:new").customer_id == "anonymous:new"


def test_a_key_that_only_came_beside_another_is_known_by_its_first_event(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    road.send(
        event("Product Viewed", 1, key="anonymous:beside", product_id="cheese"),
        event("Product Viewed", 2, key="anonymous:former", product_id="cheese"),
    ).read()
    assert road.row("anonymous:beside").customer_id == "c1"
    assert road.genes("c1")[CHEESE] == pytest.approx(0.375, rel=1e-3)
    assert road.row("anonymous:former").customer_id == "anonymous:former"


def test_what_the_build_has_refused_stays_refused(road: Road) -> None:
    """The build has seen two people on this browser: one of them on it today proves nothing."""
    road.load(publish_build(road.settings)).start()
    road.send(identify(1, "user:u1", "anonymous:shared")).read()
    assert road.row("anonymous:shared").customer_id == "anonymous:shared"
    assert not list(road.online.scan_iter("live:*:joined:*"))


def test_a_key_that_identifies_on_everything_is_no_person(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    browsers = [f"anonymous:b{number}" for number in range(joins.MOST["anonymous"])]
    road.send(
        event("Product Viewed", 1, key="anonymous:b0", product_id="cheese"),
        *(identify(2 + number, "user:kiosk", each) for number, each in enumerate(browsers)),
    ).read()
    assert road.genes("user:kiosk") == pytest.approx({CHEESE: 0.25}, rel=1e-3)
    road.send(identify(199, "user:kiosk", "anonymous:one-more")).read()
    assert road.genes("user:kiosk") == {}
    assert road.row("anonymous:b0").customer_id == "anonymous:b0"


def test_what_people_said_of_themselves_comes_back_from_stream_and_lake(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    road.send(
        event("Product Viewed", 1, key="anonymous:new", product_id="cheese"),
        identify(2, "user:u1", "anonymous:new"),
    ).read()
    before = road.genes("anonymous:new")
    # The store comes back empty: from the stream.
    road.online.flushall()
    current = publish.current(road.settings, "genome")
    assert current is not None
    road.load(current).restart().read()
    assert road.genes("anonymous:new") == before
    assert road.row("anonymous:new").customer_id == "c1"
    # And once the stream has let go, from the lake.
    road.land()
    for partition in road.partitions:
        last = road.landed[partition]
        road.events.xtrim(names.events_key(partition), minid=last.decode())
        road.events.set(keys.of_partition(partition, "trimmed"), last)
    road.online.flushall()
    road.load(current).restart().read()
    assert road.row("anonymous:new").customer_id == "c1"
    assert road.genes("anonymous:new") == before


def test_a_browser_that_the_build_knew_by_itself_brings_its_genes(road: Road) -> None:
    road.load(publish_build(road.settings)).start()
    # The build has a customer c1 and, alone, the browser of a visitor: its row is added to the person's.
    current = publish.current(road.settings, "genome")
    assert current is not None
    (path,) = current.files(layout.GENOME_VIEW)
    table = pq.read_table(path)
    alone = table.set_column(0, "customer_id", pa.array(["anonymous:old"]))
    pq.write_table(pa.concat_tables([table, alone]), path)
    road.load(current)
    road.send(identify(1, "user:u1", "anonymous:old")).read()
    assert road.genes("c1") == {MILK: 0.75, CHEESE: 0.25, ORGANIC: 0.75}
    assert road.genes("c1", "shares_now") == pytest.approx({MILK: 0.75, CHEESE: 0.25, ORGANIC: 1.0})
    assert road.genes("anonymous:old") == road.genes("c1")
