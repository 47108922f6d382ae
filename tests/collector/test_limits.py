"""Every limit, one below and one above (promise 7)."""

import gzip
import json
import os
import struct
import zlib
from typing import Any

import psutil
import pytest
from support.collecting import Running, track

from genome.collector import body as bodies
from genome.collector import event as events
from genome.collector import limits
from genome.collector.errors import Refusal


def sized(size: int) -> bytes:
    """A good event of exactly so many bytes."""
    empty = len(json.dumps(track(properties={"product_id": "p", "note": ""})).encode())
    event = json.dumps(track(properties={"product_id": "p", "note": "x" * (size - empty - 10)})).encode()
    return event[:-1] + b" " * (size - len(event)) + b"}"


@pytest.mark.parametrize(("extra", "outcome"), [(0, "accepted"), (1, "quarantined")])
@pytest.mark.parametrize("path", ["batch", "track"])
def test_an_event_may_have_32_kilobytes(collector: Running, extra: int, outcome: str, path: str) -> None:
    source = collector.source()
    raw = sized(limits.EVENT_BYTES + extra)
    assert len(raw) == 32_768 + extra
    body = b'{"batch":[' + raw + b"]}" if path == "batch" else raw
    assert collector.post(source, f"/v1/{path}", body).status_code == 200
    assert getattr(collector.ledger(source), outcome) == 1
    if extra:
        assert collector.quarantined(source)[0].why.reason == "too_large: 32769 bytes of at most 32768"


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_may_have_4_megabytes_after_decompression(
    collector: Running, extra: int, status: int, encoding: str
) -> None:
    source = collector.source()
    parts = []
    for _ in range(100):  # random text, so that the ratio is not what refuses it
        parts.append(json.dumps(track(properties={"product_id": "p", "note": os.urandom(10_000).hex()})))
    body = ('{"batch":[' + ",".join(parts) + "]}").encode()
    body += b" " * (4 * 1024 * 1024 + extra - len(body))
    if encoding == "gzip":
        body = gzip.compress(body, 1)
    answer = collector.post(source, "/v1/batch", body, **{"content-encoding": encoding})
    assert answer.status_code == status
    if extra:
        assert answer.json()["code"] == "body_too_large"
        assert collector.ledger(source).received == 0
    else:
        assert collector.ledger(source).accepted == 100


@pytest.mark.parametrize(("extra", "code"), [(0, None), (1, "ratio_too_high")])
def test_a_body_may_grow_100_times(extra: int, code: str | None) -> None:
    size = 2_000
    plain = b'{"batch":[' + b" " * (100 * size + extra - 12) + b"]}"
    assert len(plain) == 100 * size + extra
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(plain) + packer.flush()
    head = b"\x1f\x8b\x08\x08" + bytes(6)  # a file name in the head fills up to the size wanted
    tail = struct.pack("<II", zlib.crc32(plain), len(plain))
    whole = head + b"n" * (size - len(head) - 1 - len(packed) - len(tail)) + b"\0" + packed + tail
    assert len(whole) == size
    inflating = bodies.Inflating("gzip")
    inflating.feed(whole)
    if code is None:
        assert inflating.finish() == plain
    else:
        with pytest.raises(Refusal) as refused:
            inflating.finish()
        assert (refused.value.status, refused.value.code) == (413, code)


def test_a_bomb_is_refused_and_never_unfolds(collector: Running) -> None:
    source = collector.source()
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    million = b" " * 1_000_000
    bomb = b"".join(packer.compress(million) for _ in range(300)) + packer.flush()
    assert len(bomb) < 400_000
    collector.post(source, "/v1/batch", b'{"batch":[]}')
    before = psutil.Process().memory_info().rss
    for _ in range(10):
        answer = collector.post(source, "/v1/batch", bomb, **{"content-encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert psutil.Process().memory_info().rss - before < 50 * 1024 * 1024
    assert collector.ledger(source).received == 0


def test_a_body_that_declares_too_much_is_refused_before_it_is_read(collector: Running) -> None:
    source = collector.source()
    answer = collector.post(source, "/v1/batch", b" " * (limits.BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def nested(depth: int) -> dict[str, Any]:
    """An event with so many objects inside one another, itself counted."""
    inside: dict[str, Any] = {}
    for _ in range(depth - 3):
        inside = {"n": inside}
    return track(properties={"product_id": "p", "n": inside, "text": "{[" * 100})


@pytest.mark.parametrize(("depth", "outcome"), [(64, "accepted"), (65, "quarantined")])
def test_json_may_be_64_deep(collector: Running, depth: int, outcome: str) -> None:
    event = nested(depth)
    assert events.depth(json.dumps(event).encode()) == depth
    source = collector.source()
    assert collector.batch(source, [event]).status_code == 200
    assert getattr(collector.ledger(source), outcome) == 1


@pytest.mark.parametrize(("count", "status"), [(2_500, 200), (2_501, 413)])
@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_batch_may_have_2500_events(collector: Running, count: int, status: int, is_damaged: bool) -> None:
    source = collector.source()
    parts = [json.dumps({"type": "page", "userId": "u", "messageId": str(n)}).encode() for n in range(count)]
    if is_damaged:
        parts[7] = b'{"type": NaN}'
    answer = collector.post(source, "/v1/batch", b'{"batch":[' + b",".join(parts) + b"]}")
    assert answer.status_code == status
    row = collector.ledger(source)
    if status == 200:
        assert (row.received, row.quarantined) == (2_500, int(is_damaged))
    else:
        assert answer.json()["code"] == "too_many_events"
        assert row.received == 0


@pytest.mark.parametrize(("length", "outcome"), [(100, "accepted"), (101, "quarantined")])
def test_a_message_id_may_have_100_characters(collector: Running, length: int, outcome: str) -> None:
    source = collector.source()
    assert collector.batch(source, [track(messageId="é" * length)]).status_code == 200
    assert getattr(collector.ledger(source), outcome) == 1


@pytest.mark.parametrize("field", ["userId", "anonymousId"])
@pytest.mark.parametrize(("length", "outcome"), [(255, "accepted"), (256, "quarantined")])
def test_an_identifier_may_have_255_characters(
    collector: Running, field: str, length: int, outcome: str
) -> None:
    source = collector.source()
    assert collector.batch(source, [track(**{field: "x" * length})]).status_code == 200
    assert getattr(collector.ledger(source), outcome) == 1
