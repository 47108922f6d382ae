"""Replay after a fix: everything lands once; a second replay adds nothing (9)."""

import pytest
from support.collecting import Running, in_this_process, track

from genome.collector import contracts, ledger, quarantine
from genome.collector.record import Record
from genome.settings import Settings


def test_a_replay_lands_what_is_fixed_once_and_a_second_one_adds_nothing(
    own_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_this_process(own_settings) as collector:
        source = collector.source()
        sent = "2026-01-02T03:05:05Z"
        broken = [
            track("Order Completed", messageId=f"o{n}", properties={"order_id": n}, userId=f"u{n}")
            for n in range(20)
        ]
        collector.batch(source, [*broken, {"type": "dance", "userId": "u"}], sentAt=sent)
        collector.batch(source, broken[:1], sentAt=sent)  # the same bad event came twice
        assert collector.ledger(source).quarantined == 22

        nothing = quarantine.replay(own_settings)
        assert (nothing.landed, nothing.remaining) == (0, {"contract": 21, "unknown_type": 1})

        monkeypatch.setitem(contracts.CONTRACTS, "Order Completed", contracts.Order)  # the fix
        first = quarantine.replay(own_settings, source=source)
        assert (first.landed, first.known, first.remaining) == (20, 1, {"unknown_type": 1})
        records = collector.records(source)
        assert sorted(each.message_id for each in records) == sorted(f"o{n}" for n in range(20))
        second = quarantine.replay(own_settings)
        assert (second.landed, second.known, second.remaining) == (0, 0, {"unknown_type": 1})
        assert collector.ledger(source) == ledger.Row(source, "web", received=22, quarantined=22, replayed=20)
        assert collector.ledger(source).is_balanced

        # The times are those of its first coming.
        record: Record = records[0]
        assert record.sent == 1_767_323_105_000_000
        assert record.received - record.occurred == record.sent - (record.original or 0)


def test_a_closed_source_and_a_damaged_entry_stay_in_quarantine(collector: Running) -> None:
    from genome.collector import sources, stream
    from genome.stores import valkey

    source, closed = collector.source(), collector.source()
    for each in (source, closed):
        collector.batch(each, [{"type": "?"}])
    sources.remove(collector.settings, closed)
    (entry,) = collector.quarantined(source)
    partition, _, name = entry.quarantine_id.removeprefix("collector-").partition("-")
    with valkey.connect(collector.settings, "events") as client:
        key = stream.quarantine_key(int(partition))
        fields = dict(client.xrange(key, name, name)[0][1])  # type: ignore[index]
        client.xdel(key, name)
        fields[b"x"] = b"\0" + fields[b"x"][1:]
        client.xadd(key, fields)
    assert [each.is_damaged for each in collector.quarantined(source)] == [True]
    assert quarantine.replay(collector.settings).remaining == {"no_source": 1, "damaged": 1}


def test_the_verb_lists_shows_and_replays_what_waits_at_the_door(
    collector: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from typer.testing import CliRunner

    from genome.lake.commands import quarantine as verb

    for name, value in collector.settings.environment().items():
        monkeypatch.setenv(name, value)
    source = collector.source("loyalty")
    bad = track("Points Earned", properties={})
    collector.batch(source, [bad])
    (entry,) = collector.quarantined(source)

    def run(*words: str) -> tuple[int, dict[str, object]]:
        done = CliRunner().invoke(verb, [*words, "--json"])
        return done.exit_code, json.loads(done.stdout)

    _, listed = run("list", "--channel", "loyalty")
    assert listed["count"] == 1
    assert listed["items"][0]["id"] == entry.quarantine_id  # type: ignore[index]
    _, shown = run("show", entry.quarantine_id)
    assert json.loads(str(shown["raw"])) == bad
    status, again = run("replay", entry.quarantine_id)
    assert (status, list(again["still_quarantined"])) == (1, [entry.quarantine_id])  # type: ignore[call-overload]
    monkeypatch.setitem(contracts.CONTRACTS, "Points Earned", contracts.Free)
    status, again = run("replay", entry.quarantine_id)
    assert (status, again["items"], again["accepted"]) == (0, 1, 1)
    assert [each.name for each in collector.records(source)] == ["Points Earned"]
