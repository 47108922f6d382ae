"""A sender's clock may be years off: what happened when is worked out, and both raw times are kept (12)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genome.collector import event as events
from genome.collector.event import Accepted, Breach, Envelope
from genome.collector.record import Record
from genome.collector.sources import Source
from genome.identity.personal import Scrubber
from genome.identity.tokens import Tokeniser
from genome.settings import Settings

ARRIVED = datetime(2026, 3, 29, 12, 0, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micro(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@pytest.fixture(scope="module")
def scrubber(tmp_path_factory: pytest.TempPathFactory) -> Scrubber:
    home: Path = tmp_path_factory.mktemp("clock") / "home"
    return Scrubber(Tokeniser(Settings(home=home)))


def read(scrubber: Scrubber, path: str = "batch", sent: Any = None, **fields: Any) -> Record | Breach:
    import msgspec

    envelope = Envelope(Source(source_id="s", channel="web"), path, micro(ARRIVED), b"k", sent)
    raw = msgspec.json.encode({"type": "page", "userId": "u", "messageId": "m", **fields})
    outcome = events.read(raw, envelope, scrubber)
    assert isinstance(outcome, Accepted | Breach)
    return outcome.record if isinstance(outcome, Accepted) else outcome


@pytest.mark.parametrize("years", [-10, -1, 0, 1, 10])
@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp"])
def test_a_clock_that_is_years_off_is_set_right(scrubber: Scrubber, years: int, field: str) -> None:
    skew = timedelta(days=365 * years, seconds=17)
    happened = ARRIVED - timedelta(minutes=5)
    record = read(
        scrubber,
        sent=(ARRIVED + skew).isoformat(),
        **{field: (happened + skew).isoformat().replace("+00:00", "Z")},
    )
    assert isinstance(record, Record)
    assert record.occurred == micro(happened)
    assert (record.original, record.sent) == (micro(happened + skew), micro(ARRIVED + skew))
    assert record.received == micro(ARRIVED)
    assert record.flags == []


@given(
    skew=st.timedeltas(min_value=timedelta(days=-3650), max_value=timedelta(days=3650)),
    age=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30)),
)
def test_any_skew_cancels_to_the_microsecond(scrubber: Scrubber, skew: timedelta, age: timedelta) -> None:
    record = read(scrubber, sentAt=(ARRIVED + skew).isoformat(), timestamp=(ARRIVED - age + skew).isoformat())
    assert isinstance(record, Record)
    assert record.occurred == micro(ARRIVED - age)


def test_without_sent_at_the_senders_time_stands_and_is_flagged(scrubber: Scrubber) -> None:
    record = read(scrubber, timestamp="2026-03-29T11:00:00Z")
    assert isinstance(record, Record)
    assert (record.occurred, record.sent, record.flags) == (
        micro(ARRIVED - timedelta(hours=1)),
        None,
        ["no_sent_at"],
    )


def test_without_any_time_the_arrival_is_taken(scrubber: Scrubber) -> None:
    record = read(scrubber)
    assert isinstance(record, Record)
    assert (record.occurred, record.original) == (micro(ARRIVED), None)
    assert record.flags == ["no_time"]


@pytest.mark.parametrize(("ahead", "flags"), [(0, ["no_sent_at"]), (1, ["no_sent_at", "clock_ahead"])])
def test_more_than_a_day_ahead_is_flagged(scrubber: Scrubber, ahead: int, flags: list[str]) -> None:
    said = ARRIVED + timedelta(days=1, microseconds=ahead)
    record = read(scrubber, timestamp=said.isoformat())
    assert isinstance(record, Record)
    assert (record.occurred, record.flags) == (micro(said), flags)


def test_the_hour_that_daylight_saving_skips_or_repeats_is_told_by_its_offset(scrubber: Scrubber) -> None:
    # Berlin, 29 March 2026: 01:59:59 +01:00 is followed by 03:00:00 +02:00.
    before = read(scrubber, timestamp="2026-03-29T01:59:59+01:00")
    after = read(scrubber, timestamp="2026-03-29T03:00:00+02:00")
    assert isinstance(before, Record)
    assert isinstance(after, Record)
    assert after.occurred - before.occurred == 1_000_000
    # 25 October 2026: 02:30 comes twice, an hour apart.
    first = read(scrubber, timestamp="2025-10-26T02:30:00+02:00")
    second = read(scrubber, timestamp="2025-10-26T02:30:00+01:00")
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert second.occurred - first.occurred == 3_600_000_000


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2026-03-29T11:00:00.123456789Z", datetime(2026, 3, 29, 11, 0, 0, 123456, tzinfo=UTC)),
        ("2026-03-29 11:00:00+00:00", datetime(2026, 3, 29, 11, tzinfo=UTC)),
        (1774782000, datetime(2026, 3, 29, 11, tzinfo=UTC)),
        (1774782000123, datetime(2026, 3, 29, 11, 0, 0, 123000, tzinfo=UTC)),
    ],
)
def test_times_come_in_several_spellings(scrubber: Scrubber, said: Any, moment: datetime) -> None:
    record = read(scrubber, timestamp=said)
    assert isinstance(record, Record)
    assert record.occurred == micro(moment)


def test_a_time_without_an_offset_is_utc_and_flagged(scrubber: Scrubber) -> None:
    record = read(scrubber, timestamp="2026-03-29T11:00:00", sentAt="2026-03-29T11:00:00Z")
    assert isinstance(record, Record)
    assert record.original == micro(ARRIVED - timedelta(hours=1))
    assert record.flags == ["no_offset"]


@pytest.mark.parametrize("said", ["soon", "2026-13-01", True, 1e300, "0001-01-01T00:00:00+00:00"])
def test_what_is_no_time_is_a_breach(scrubber: Scrubber, said: Any) -> None:
    outcome = read(scrubber, timestamp=said)
    assert isinstance(outcome, Breach)
    assert outcome.code in ("bad_time", "wrong_type")


def test_history_keeps_its_times_and_says_when_it_was_known(scrubber: Scrubber) -> None:
    said = "2019-05-01T10:00:00Z"
    assumed = read(scrubber, "import", sent="2026-03-29T11:00:00Z", timestamp=said)
    told = read(scrubber, "import", timestamp=said, receivedAt="2019-05-02T10:00:00Z")
    assert isinstance(assumed, Record)
    assert isinstance(told, Record)
    happened = micro(datetime(2019, 5, 1, 10, tzinfo=UTC))
    assert (assumed.occurred, assumed.received, assumed.known_assumed) == (happened, happened, True)
    assert (told.occurred, told.received - happened, told.known_assumed) == (happened, 86_400_000_000, False)
    assert assumed.arrived == told.arrived == micro(ARRIVED)
    future = read(scrubber, "import", timestamp=said, receivedAt="2099-01-01T00:00:00Z")
    assert isinstance(future, Record)
    assert future.received == micro(ARRIVED)  # nobody knew before it came
    without = read(scrubber, "import")
    assert isinstance(without, Breach)
    assert without.code == "bad_time"
