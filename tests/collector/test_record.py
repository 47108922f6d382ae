"""A stream entry: what was written, or damage; never something in between (3)."""

from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genome.collector.record import FLAGS, Damage, Record, checksum, decode, encode
from genome.lake.live import land
from genome.settings import Settings

RECORD = Record(
    source="web",
    channel="web",
    type="track",
    name="Product Viewed",
    message_id="m",
    received=2,
    occurred=1,
    key_type="user",
    key="u",
    identifiers=[("email", "email_1_00", 1), ("anonymous", "a", None)],
    properties={"product_id": "p", "ü": [1, 2.5, None]},
    flags=["clock_ahead"],
)


def test_a_record_comes_back_as_it_was_written() -> None:
    body = encode(RECORD)
    assert decode({b"r": body, b"c": checksum(body)}) == RECORD
    assert RECORD.source_key == "user:u"
    assert set(RECORD.flags) <= set(FLAGS)


@given(place=st.integers(0, len(encode(RECORD)) - 1), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_found(place: int, bit: int) -> None:
    body = bytearray(encode(RECORD))
    good = checksum(bytes(body))
    body[place] ^= 1 << bit
    found = decode({b"r": bytes(body), b"c": good})
    assert isinstance(found, Damage)
    assert (found.reason, found.raw) == ("checksum", bytes(body))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({b"r": b"{}", b"c": checksum(b"{}")}, "layout"),
        ({b"r": b"\xff", b"c": checksum(b"\xff")}, "layout"),
        ({b"s": b"{}", b"c": b""}, "layout"),
        ({b"r": b"{}"}, "layout"),
        ({b"r": b"{}", b"c": checksum(b"{}"), b"d": b""}, "layout"),
        ({}, "layout"),
    ],
)
def test_what_is_no_record_is_damage(fields: dict[bytes, bytes], reason: str) -> None:
    found = decode(fields)
    assert isinstance(found, Damage)
    assert found.reason == reason


def test_a_record_of_another_version_is_set_aside() -> None:
    import msgspec

    body = encode(msgspec.structs.replace(RECORD, v=2))
    assert decode({b"r": body, b"c": checksum(body)}) == Damage("version", body)


def test_a_record_names_its_interaction_as_the_lake_does(settings: Settings) -> None:
    order = Record(**{name: getattr(RECORD, name) for name in RECORD.__struct_fields__})
    order.name, order.message_id = "Order Completed", "ø"
    order.properties = {"products": [{"product_id": "a"}, {"product_id": "b"}]}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    land(settings, [encode(RECORD), encode(order)], "stream-1", work=settings.lake / "_work", now=now)
    found = {
        row
        for path in (settings.lake / "interactions").rglob("*.parquet")
        for row in pq.ParquetFile(path).read(["interaction_id"])["interaction_id"].to_pylist()
    }
    assert found == {RECORD.interaction_id(), order.interaction_id(1), order.interaction_id(2)}
