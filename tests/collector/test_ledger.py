"""received = accepted + quarantined + suppressed + duplicate, exactly; one bad event costs nobody else (8,
10).
"""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support.collecting import Running, track

from genome.collector import event as events
from genome.collector import ledger, quarantine
from genome.collector.event import Accepted, Breach, Envelope, Suppressed
from genome.collector.sources import Source
from genome.identity.personal import Scrubber
from genome.identity.tokens import Tokeniser
from genome.settings import Settings

BAD = {
    "not an object": (b"5", "wrong_type"),
    "NaN": (b'{"type":"track","event":"E","userId":"u","properties":{"x":NaN}}', "not_json"),
    "broken text": (b'{"type":"track","event":"\\x"}', "not_json"),
    "no UTF-8": (b'{"type":"track","event":"\xff","userId":"u"}', "not_json"),
    "a number that is too large": (
        b'{"type":"track","event":"E","userId":"u","properties":{"x":1e999}}',
        "wrong_type",
    ),
    "properties that are a list": (
        b'{"type":"track","event":"E","userId":"u","properties":[1]}',
        "wrong_type",
    ),
    "no type": (b'{"event":"E","userId":"u"}', "unknown_type"),
    "an unknown type": (b'{"type":"dance","userId":"u"}', "unknown_type"),
    "no event name": (b'{"type":"track","userId":"u"}', "no_event_name"),
    "a blank event name": (b'{"type":"track","event":" ","userId":"u"}', "no_event_name"),
    "nobody": (b'{"type":"track","event":"E"}', "no_identifier"),
    "a blank user": (b'{"type":"track","event":"E","userId":"  "}', "no_identifier"),
    "an alias of nobody": (b'{"type":"alias","userId":"u"}', "no_identifier"),
    "a group without its id": (b'{"type":"group","userId":"u"}', "no_identifier"),
    "no time": (b'{"type":"track","event":"E","userId":"u","timestamp":"yesterday"}', "bad_time"),
    "a broken contract": (
        b'{"type":"track","event":"Order Completed","userId":"u","properties":{}}',
        "contract",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_event_is_quarantined_and_the_others_are_stored(collector: Running, name: str) -> None:
    raw, code = BAD[name]
    source = collector.source()
    good = [json.dumps(track(messageId=f"{n}")).encode() for n in range(4)]
    body = b'{"sentAt":"2026-01-02T03:04:06Z","batch":[' + b",".join([*good[:2], raw, *good[2:]]) + b"]}"
    answer = collector.post(source, "/v1/batch", body)
    assert (answer.status_code, answer.content) == (200, b'{"success":true}')
    row = collector.ledger(source)
    assert row == ledger.Row(source, "web", received=5, accepted=4, quarantined=1)
    assert row.is_balanced
    assert [each.message_id for each in collector.records(source)] == ["0", "1", "2", "3"]
    (entry,) = collector.quarantined(source)
    assert (entry.why.reason.partition(":")[0], entry.why.offset, entry.is_damaged) == (code, 2, False)
    assert quarantine.open_entry(collector.settings, entry.quarantine_id)[1] == raw


def test_quarantined_bytes_are_encrypted_and_the_reason_holds_no_value(collector: Running) -> None:
    source = collector.source()
    event = track(
        "Order Completed",
        properties={"order_id": "", "email": "canary@example.com", "products": "canary@example.com"},
    )
    collector.batch(source, [event])
    (entry,) = collector.quarantined(source)
    assert "canary" not in entry.why.reason
    kept = b"".join(
        path.read_bytes() for path in (collector.settings.valkey / "events").rglob("*") if path.is_file()
    )
    assert b"reason" in kept
    assert b"canary@" not in kept
    assert b"canary@example.com" in quarantine.open_entry(collector.settings, entry.quarantine_id)[1]


def test_every_outcome_is_counted_once(collector: Running) -> None:
    source = collector.source()
    denied = {"consent": {"categoryPreferences": {"analytics": False}}}
    same = track(messageId="same")
    batch = [
        track(),
        same,
        same,
        track(context=denied),
        track(context=denied),
        {"type": "?"},
        same | {"event": "Other"},
    ]
    assert collector.batch(source, batch).status_code == 200
    assert collector.batch(source, batch[1:2]).status_code == 200
    row = collector.ledger(source)
    assert row == ledger.Row(source, "web", received=8, accepted=2, quarantined=2, suppressed=2, duplicate=2)
    assert row.is_balanced
    assert len(collector.records(source)) == row.accepted
    assert len(collector.quarantined(source)) == row.quarantined


def test_the_ledger_adds_up_by_channel() -> None:
    one = ledger.Row("a", "web", received=3, accepted=2, duplicate=1)
    two = ledger.Row("b", "web", received=2, accepted=1, suppressed=1)
    three = ledger.Row("c", "app", received=1, quarantined=1)
    assert ledger.by_channel([one, two, three]) == {
        "web": ledger.Row("*", "web", received=5, accepted=3, suppressed=1, duplicate=1),
        "app": replace(three, source="*"),
    }
    assert not ledger.Row("a", "web", received=2, accepted=1).is_balanced


# De-duplication


def test_a_second_delivery_is_a_duplicate_also_when_it_was_sent_later(collector: Running) -> None:
    source = collector.source()
    event = track(messageId="twice")
    collector.batch(source, [event | {"sentAt": "2026-01-02T03:04:06Z"}], sentAt="2026-01-02T03:04:06Z")
    collector.batch(source, [event | {"sentAt": "2026-01-02T03:09:06Z"}], sentAt="2026-01-02T03:09:06Z")
    assert collector.ledger(source) == ledger.Row(source, "web", received=2, accepted=1, duplicate=1)


def test_the_same_id_with_another_body_is_flagged_and_kept(collector: Running) -> None:
    source = collector.source()
    collector.batch(source, [track(messageId="reused")])
    other = track(messageId="reused", properties={"product_id": "p2"})
    collector.batch(source, [other])
    assert collector.ledger(source) == ledger.Row(source, "web", received=2, accepted=1, quarantined=1)
    (entry,) = collector.quarantined(source)
    assert entry.why.reason.startswith("message_id_reused")
    assert json.loads(quarantine.open_entry(collector.settings, entry.quarantine_id)[1]) == other


def test_two_sources_may_use_the_same_message_id(collector: Running) -> None:
    one, two = collector.source(), collector.source("app")
    for source in (one, two):
        collector.batch(source, [track(messageId="shared")])
        assert collector.ledger(source).accepted == 1


def test_a_message_without_an_id_gets_one_that_a_second_try_repeats(collector: Running) -> None:
    source = collector.source()
    timed = track()
    del timed["messageId"]
    untimed = {"type": "page", "userId": "u"}
    for _ in range(2):
        collector.batch(source, [timed, untimed])
    row = collector.ledger(source)
    assert (row.accepted, row.duplicate) == (3, 1)  # equal pages without a time may well be two views
    assert all("no_message_id" in each.flags for each in collector.records(source))


def test_the_window_is_bounded_and_the_oldest_ids_are_let_go(tmp_path: Any) -> None:
    from support.collecting import in_this_process

    from genome.stores import valkey

    settings = _settings(tmp_path, collector_dedup_window=1_000, collector_partitions=1)
    with in_this_process(settings) as running:
        source = running.source()
        first = [track(messageId=f"m{n}") for n in range(500)]
        for start in (0, 1_000, 2_000):
            running.batch(source, [track(messageId=f"m{n}") for n in range(start, start + 500)])
        running.batch(source, [track(messageId=f"m{n}") for n in range(2_000, 2_500)])  # still known
        running.batch(source, first)  # long gone: the lake sorts it out
        row = running.ledger(source)
        assert (row.received, row.accepted, row.duplicate) == (2_500, 2_000, 500)
        assert row.is_balanced
        with valkey.connect(settings, "events") as client:
            kept = sum(int(client.hlen(f"collector:{{0}}:seen:{half}")) for half in (0, 1))  # type: ignore[arg-type]
        assert kept <= 1_000


def _settings(tmp_path: Any, **overrides: Any) -> Settings:
    from conftest import free_ports

    events_port, port = free_ports(2)
    return Settings(
        home=tmp_path / "home",
        events_port=events_port,
        collector_port=port,
        collector_disk_reserve_mb=1,
        **overrides,
    )


# Consent


@pytest.mark.parametrize(
    ("context", "is_stored"),
    [
        ({}, True),
        ({"consent": {"categoryPreferences": {"Analytics": True}}}, True),
        ({"consent": {"categoryPreferences": {"Analytics": False}}}, False),
        ({"consent": {"categoryPreferences": {"Advertising": False}}}, True),
        ({"consentManagement": {"deniedConsentIds": ["analytics"]}}, False),
        ({"consentManagement": {"allowedConsentIds": ["analytics"], "deniedConsentIds": ["ads"]}}, True),
        (
            {"consentManagement": {"allowedConsentIds": ["analytics"], "deniedConsentIds": ["Analytics"]}},
            False,
        ),
    ],
)
def test_a_consent_context_decides_whether_an_event_is_kept(
    collector: Running, context: dict[str, Any], is_stored: bool
) -> None:
    source = collector.source()
    collector.batch(source, [track(context=context)])
    row = collector.ledger(source)
    assert (row.accepted, row.suppressed) == (int(is_stored), int(not is_stored))
    assert len(collector.records(source)) == int(is_stored)


def test_a_source_may_require_consent_for_its_own_purpose(collector: Running) -> None:
    source = collector.source(is_consent_required=True, consent_category="personalisation")
    collector.batch(
        source, [track(), track(context={"consent": {"categoryPreferences": {"analytics": True}}})]
    )
    collector.batch(source, [], context={})
    collector.batch(
        source, [track()], context={"consent": {"categoryPreferences": {"personalisation": True}}}
    )
    row = collector.ledger(source)
    assert (row.accepted, row.suppressed) == (1, 2)


def test_a_change_of_consent_is_kept_whatever_consent_it_carries(collector: Running) -> None:
    source = collector.source()
    denied = {"consent": {"categoryPreferences": {"analytics": False}}}
    collector.batch(
        source,
        [track("Consent Updated", properties={"purpose": "analytics", "is_granted": False}, context=denied)],
    )
    assert [each.name for each in collector.records(source)] == ["Consent Updated"]


# Whatever comes, each event is one of three things

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_names = st.sampled_from(
    [
        "type",
        "event",
        "userId",
        "anonymousId",
        "messageId",
        "timestamp",
        "sentAt",
        "properties",
        "traits",
        "context",
    ]
)
_values = _json | st.sampled_from(
    ["track", "identify", "page", "alias", "Order Completed", "2026-01-01T00:00:00Z"]
)


@examples(max_examples=300)
@given(event=st.dictionaries(_names, _values) | _json, cut=st.integers(0, 30))
def test_no_event_whatever_it_is_raises(
    tmp_path_factory: pytest.TempPathFactory, event: Any, cut: int
) -> None:
    scrubber = _scrubber(tmp_path_factory)
    source = Source(source_id="s", channel="web")
    for path in ("batch", "import", "track"):
        envelope = Envelope(source, path, 1_767_323_045_000_000, b"k")
        raw = json.dumps(event).encode()
        for each in (raw, raw[: max(0, len(raw) - cut)]):
            outcome = events.read(each, envelope, scrubber)
            assert isinstance(outcome, Accepted | Breach | Suppressed)


_made: dict[str, Scrubber] = {}


def _scrubber(factory: pytest.TempPathFactory) -> Scrubber:
    if "one" not in _made:
        _made["one"] = Scrubber(Tokeniser(Settings(home=factory.mktemp("scrub") / "home")))
    return _made["one"]
