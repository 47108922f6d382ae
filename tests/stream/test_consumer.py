"""Every reader's base: each partition's order, nothing lost or doubled, and what goes wrong stays small."""

import json
from collections.abc import Sequence

import pytest
from support.streaming import JointNotebook, Notebook, Stream, record, running, until

from genome.errors import UnavailableError, UsageError
from genome.stores import valkey
from genome.stream import keys, parked
from genome.stream.consumer import ALONE_TRIES, Consumer, Entry


@pytest.fixture(autouse=True)
def _empty(stream: Stream) -> None:
    stream.clear()


def test_every_entry_comes_once_and_in_its_partitions_order(stream: Stream) -> None:
    wanted = {p: [f"{p}-{n}" for n in range(500)] for p in range(4)}
    for partition, ids in wanted.items():
        stream.add_many(partition, [record(each) for each in ids])
    notebook = Notebook(stream.name())
    with running(Consumer(stream.settings, notebook, batch_count=64)):
        until(lambda: len(notebook.messages()) == 2000)
        stream.add(2, record("later"))
        until(lambda: len(notebook.messages()) == 2001)
    assert {p: notebook.messages(p) for p in range(4)} == wanted | {2: [*wanted[2], "later"]}
    assert max(notebook.batches) == 64


def test_it_goes_on_from_the_position_of_the_last_effect(stream: Stream) -> None:
    name = stream.name()
    ids = stream.add(0, *(record(str(n)) for n in range(10)))
    notebook = Notebook(name, positions={0: ids[3]})
    with running(Consumer(stream.settings, notebook, partitions=[0])):
        until(lambda: notebook.positions[0] == ids[-1])
        until(lambda: stream.figure(name, 0).lag == 0 and stream.figure(name, 0).ordinal == 10)
    assert notebook.messages() == ["4", "5", "6", "7", "8", "9"]


def test_an_entry_carries_its_record_and_the_bytes_of_it(stream: Stream) -> None:
    (stream_id,) = stream.add(1, record("whole", session="s1"))
    notebook = Notebook(stream.name())
    with running(Consumer(stream.settings, notebook, partitions=[1])):
        until(lambda: notebook.given)
    (entry,) = notebook.given[1]
    assert (entry.id, entry.record.session) == (stream_id, "s1")
    assert json.loads(entry.body)["message_id"] == "whole"


def test_ticks_come_without_entries(stream: Stream) -> None:
    notebook = Notebook(stream.name())
    with running(Consumer(stream.settings, notebook)):
        until(lambda: notebook.ticks >= 2)
    assert notebook.given == {}


def test_gathering_makes_one_large_batch_of_what_comes_in_small_ones(stream: Stream) -> None:
    notebook = Notebook(stream.name())
    with running(Consumer(stream.settings, notebook, partitions=[0], batch_count=100, batch_seconds=60.0)):
        for first in range(0, 100, 10):
            stream.add(0, *(record(str(n)) for n in range(first, first + 10)))
        until(lambda: notebook.batches)
        assert notebook.batches == [100]
        stream.add(0, record("rest"))
    assert notebook.messages()[-1] == "rest"  # a process that ends hands over what it has read
    assert notebook.batches == [100, 1]


def test_a_joint_handler_is_given_all_partitions_at_once(stream: Stream) -> None:
    for partition in range(4):
        stream.add(partition, *(record(f"{partition}-{n}") for n in range(5)))
    notebook = JointNotebook(stream.name())
    with running(Consumer(stream.settings, notebook, batch_seconds=0.5)):
        until(lambda: len(notebook.messages()) == 20)
    assert notebook.batches == [20]


# What goes wrong


@pytest.mark.parametrize("kind", [Notebook, JointNotebook])
def test_a_poison_message_is_parked_after_five_tries_and_the_others_go_on(
    stream: Stream, kind: type[Notebook]
) -> None:
    alone = []

    def fault(partition: int, entries: Sequence[Entry]) -> None:
        if any(each.record.message_id == "poison" for each in entries):
            if len(entries) == 1:
                alone.append(partition)
            raise ValueError("someone@example.com")

    messages = [record(str(n)) for n in range(300)]
    messages[137] = record("poison", source="shop", channel="app")
    stream.add_many(0, messages)
    stream.add_many(1, [record(f"other-{n}") for n in range(300)])
    notebook = kind(stream.name(), fault=fault)
    with running(Consumer(stream.settings, notebook, batch_count=300)):
        until(lambda: len(notebook.messages()) == 599, seconds=60)
        until(lambda: all(each.lag == 0 for each in stream.figures(notebook.name)))
        assert stream.figure(notebook.name, 0).parked == 1
        assert stream.figure(notebook.name, 0).failing == ""
    assert alone == [0] * ALONE_TRIES
    assert notebook.messages(0) == [str(n) for n in range(300) if n != 137]
    (found,) = parked.listed(stream.settings, notebook.name)
    assert (found.partition, found.why.reason, found.why.tries) == (0, "ValueError", ALONE_TRIES)
    assert (found.why.source, found.why.channel) == ("shop", "app")
    raw = parked.open_one(stream.settings, stream.client, found)
    assert parked.record_of(raw).message_id == "poison"


def test_a_parked_message_at_the_end_stays_parked_once_over_a_restart(stream: Stream) -> None:
    def fault(partition: int, entries: Sequence[Entry]) -> None:
        if entries[-1].record.message_id == "poison":
            raise ValueError

    stream.add(0, record("good"), record("poison"))
    notebook = Notebook(stream.name(), fault=fault)
    for _ in range(2):
        with running(Consumer(stream.settings, notebook, partitions=[0])):
            until(lambda: stream.figure(notebook.name, 0).parked == 1)
            until(lambda: stream.figure(notebook.name, 0).lag == 0)
    notebook.fault = None
    with running(Consumer(stream.settings, notebook, partitions=[0])):
        stream.add(0, record("next"))
        until(lambda: len(notebook.messages()) == 2)
        until(lambda: stream.figure(notebook.name, 0).ordinal == 3)
        assert stream.figure(notebook.name, 0).lag == 0
    assert notebook.messages() == ["good", "next"]
    assert len(list(parked.listed(stream.settings, notebook.name))) == 1


def test_damaged_entries_are_parked_with_their_bytes_and_the_others_go_on(stream: Stream) -> None:
    stream.add(0, record("one"))
    stream.add_raw(0, b'{"torn":', b"00000000")
    stream.client.xadd("collector:{0}:events", {"other": "layout"})
    stream.add_raw(0, b'{"v":1}')
    stream.add(0, record("two"))
    notebook = Notebook(stream.name())
    with running(Consumer(stream.settings, notebook, partitions=[0])):
        until(lambda: len(notebook.messages()) == 2)
        until(lambda: stream.figure(notebook.name, 0).lag == 0)
    found = list(parked.listed(stream.settings, notebook.name))
    assert [each.why.reason for each in found] == ["damaged: checksum", "damaged: layout", "damaged: layout"]
    assert parked.open_one(stream.settings, stream.client, found[0]) == b'{"torn":'
    assert parked.open_one(stream.settings, stream.client, found[1]) == b"other=layout"


def test_parked_bytes_are_encrypted(stream: Stream) -> None:
    stream.add_raw(0, b"canary someone@example.com", b"00000000")
    notebook = Notebook(stream.name())
    with running(Consumer(stream.settings, notebook, partitions=[0])):
        until(lambda: stream.figure(notebook.name, 0).parked == 1)
    kept = stream.client.hgetall(keys.of_partition(0, "parked", notebook.name))
    assert b"canary" not in b"".join(kept.values())


@pytest.mark.parametrize("error", [UnavailableError("It is away.", ""), OSError(28, "no space left")])
def test_what_is_away_is_waited_for_and_nothing_is_parked(
    stream: Stream, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genome.stream.consumer._LONGEST_PAUSE", 0.1)
    tries = []

    def fault(partition: int, entries: Sequence[Entry]) -> None:
        tries.append(len(entries))
        if len(tries) <= 2 * ALONE_TRIES:
            raise error

    stream.add(0, record("patient"))
    notebook = Notebook(stream.name(), fault=fault)
    with running(Consumer(stream.settings, notebook, partitions=[0])):
        until(lambda: notebook.messages() == ["patient"], seconds=40)
    assert list(parked.listed(stream.settings, notebook.name)) == []


def test_it_outlives_a_restart_of_the_store_and_doubles_nothing(stream: Stream) -> None:
    stream.add(0, record("before"))
    notebook = Notebook(stream.name())
    with running(Consumer(stream.settings, notebook, partitions=[0], lease_seconds=1.0)):
        until(lambda: notebook.messages() == ["before"])
        valkey.stop(stream.settings, "events")
        valkey.ensure(stream.settings, "events")
        stream.add(0, record("after"))
        until(lambda: len(notebook.messages()) == 2)
    assert notebook.messages() == ["before", "after"]


# Owners


def test_two_processes_share_the_partitions_and_a_dead_ones_move_on(stream: Stream) -> None:
    name = stream.name()
    one, two = Notebook(name), Notebook(name)
    first = Consumer(stream.settings, one, lease_seconds=1.0)
    second = Consumer(stream.settings, two, lease_seconds=1.0)
    with running(second):
        with running(first):
            until(lambda: len(first.leases.held()) == 2 and len(second.leases.held()) == 2)
            assert not set(first.leases.held()) & set(second.leases.held())
        until(lambda: len(second.leases.held()) == 4)
        # The other one dies without a word: its leases run out by themselves.
        third = Consumer(stream.settings, Notebook(name), lease_seconds=1.0)
        third.leases.settle(stream.client)
        until(lambda: len(second.leases.held()) == 2 or len(third.leases.held()) == 0)
        until(lambda: len(second.leases.held()) == 4)


def test_a_partition_is_never_owned_twice_and_the_fence_rises(stream: Stream) -> None:
    name = stream.name()
    leases = [Consumer(stream.settings, Notebook(name), partitions=[0]).leases for _ in range(3)]
    taken = [each.settle(stream.client)[0] for each in leases]
    assert taken == [[0], [], []]
    before = leases[0].lease(0)
    leases[0].release(stream.client, 0)
    assert leases[0].lease(0) is None
    assert leases[1].settle(stream.client)[0] == [0]
    after = leases[1].lease(0)
    assert before is not None
    assert after is not None
    assert after.fence == before.fence + 1


def test_a_lease_that_is_not_renewed_ends_by_its_owners_own_clock(stream: Stream) -> None:
    leases = Consumer(stream.settings, Notebook(stream.name()), partitions=[0], lease_seconds=0.5).leases
    leases.settle(stream.client)
    assert leases.held() == [0]
    until(lambda: leases.held() == [])
    assert stream.client.exists("collector:{0}:owner:none") == 0


def test_a_consumer_that_was_away_for_longer_than_the_stream_waits_goes_on_behind_the_gap(
    stream: Stream,
) -> None:
    ids = stream.add(0, *(record(str(n)) for n in range(6)))
    stream.client.xtrim("collector:{0}:events", minid=keys.after(ids[2]), approximate=False)
    stream.client.set(keys.of_partition(0, "trimmed"), ids[2])
    notebook = Notebook(stream.name())
    with running(Consumer(stream.settings, notebook, partitions=[0])):
        until(lambda: len(notebook.messages()) == 3)
        until(lambda: stream.figure(notebook.name, 0).ordinal == 6)
    assert notebook.messages() == ["3", "4", "5"]


def test_a_partition_that_does_not_exist_is_a_wrong_call(stream: Stream) -> None:
    with pytest.raises(UsageError, match=r"no partition 4.*0 to 3"):
        Consumer(stream.settings, Notebook("x"), partitions=[4])
