"""From the stream into the lake: each event once, as the rows that a file of its channel would make."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from support.streaming import Stream, record, running, stream_settings, until

from genome.channels import connector
from genome.collector.record import encode
from genome.lake import ingest, layout, live
from genome.lake.manifest import Manifest
from genome.settings import Settings
from genome.stores import valkey
from genome.stream import keys, land, parked
from genome.stream.consumer import Consumer, Entry, PositionMovedError
from genome.stream.land import Land
from genome.stream.trim import trim


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    settings = stream_settings(
        tmp_path_factory.mktemp("land") / "home", stream_land_seconds=0.2, stream_land_count=1000
    )
    valkey.ensure(settings, "events")
    yield Stream(settings)
    valkey.stop(settings)


@pytest.fixture
def stream(store: Stream, tmp_path: Path) -> Stream:
    """The module's store, empty, with a lake of the test's own."""
    store.clear()
    import shutil

    shutil.rmtree(store.settings.lake, ignore_errors=True)
    return store


def rows(settings: Settings, columns: str = "*", channel: str | None = None, *, further: bool = False) -> Any:
    manifest = Manifest.read(settings, layout.INTERACTIONS)
    paths = [str(path) for path in (manifest.identifiers(channel) if further else manifest.files(channel))]
    if not paths:
        return []
    return duckdb.sql(
        f"SELECT {columns} FROM read_parquet({paths}, hive_partitioning = false) ORDER BY ALL"
    ).fetchall()


def landed(stream: Stream, *records: Any, partition: int = 0) -> None:
    """Land records by themselves."""
    entries = [
        Entry(stream_id, each, encode(each))
        for stream_id, each in zip(stream.add(partition, *records), records, strict=True)
    ]
    lander = Land(stream.settings)
    lander.position(partition)
    lander.handle(partition, entries)


# What a record becomes


def test_a_record_becomes_an_interaction_with_all_columns_of_the_lake(stream: Stream) -> None:
    view = record(
        "m1",
        seller="s1",
        session="visit",
        original=1_767_323_000_000_000,
        sent=1_767_323_001_000_000,
        key_type="email",
        key="email_1_abc",
        key_version=1,
        known_assumed=True,
        properties={"product_id": 42.0, "price": "18.99", "offer_id": 7, "store_id": "st", "currency": "eur"},
    )
    landed(stream, view)
    ((*values,),) = rows(stream.settings)
    found = dict(zip(layout.INTERACTION_COLUMNS, values, strict=True))
    assert found["interaction_type"] == "Product Viewed"
    assert (found["source_id"], found["channel"], found["seller_id"]) == ("shop", "web", "s1")
    assert (found["product_id"], found["offer_id"], found["store_id"]) == ("42", "7", "st")
    assert (found["customer_key_type"], found["customer_key"], found["_key_version"]) == (
        "email",
        "email_1_abc",
        1,
    )
    assert (found["quantity"], found["amount"], found["currency"]) == (None, None, "EUR")
    assert found["occurred_at"].timestamp() == 1_767_323_045
    assert found["original_at"].timestamp() == 1_767_323_000
    assert found["sent_at"].timestamp() == 1_767_323_001
    assert found["received_at"].timestamp() == 1_767_323_046
    assert found["_known_assumed"] is True
    assert json.loads(found["properties"])["price"] == "18.99"
    manifest = Manifest.read(stream.settings, layout.INTERACTIONS)
    for path in manifest.files():
        assert pq.read_schema(path).names == list(layout.INTERACTION_COLUMNS)


def test_an_order_becomes_a_row_for_each_product_with_what_was_paid_for_it(stream: Stream) -> None:
    products = [
        {"product_id": "a", "price": 2.5, "quantity": 2, "name": "Soap"},
        {"sku": "b", "price": "1", "discount": 0.25},
        {"product_id": "c", "amount": 9},
    ]
    order = record(
        "o1",
        name="Order Completed",
        properties={"order_id": 77, "products": products, "currency": "usd", "total": 14.75},
    )
    landed(stream, order, record("v1", name="Cart Viewed", properties={"products": products}))
    columns = "product_id, quantity, amount, json_extract_string(properties, '$.order_id'), interaction_type"
    assert rows(stream.settings, columns) == [
        ("a", 2.0, Decimal("5.0000"), "77", "Order Completed"),
        ("b", 1.0, Decimal("0.7500"), "77", "Order Completed"),
        ("c", 1.0, Decimal("9.0000"), "77", "Order Completed"),
        (None, None, None, None, "Cart Viewed"),
    ]
    ids = {each for (each,) in rows(stream.settings, "interaction_id")}
    assert len(ids) == 4
    assert Manifest.read(stream.settings, layout.INTERACTIONS).landed() == {"shop|web": (2, 4)}


def test_an_order_without_its_lines_keeps_its_total(stream: Stream) -> None:
    refund = record("r1", name="Order Refunded", properties={"order_id": "7", "total": "12.50"})
    landed(stream, refund)
    assert rows(stream.settings, "product_id, amount") == [(None, Decimal("12.5000"))]


def test_traits_context_and_flags_are_kept_in_the_properties(stream: Stream) -> None:
    landed(
        stream,
        record(
            "m1",
            channel="crm",
            type="identify",
            name="Profile Updated",
            properties={},
            traits={"age_band": "25-34"},
            context={"timezone": "Europe/Riga", "page": {"referrer": "https://x.example"}},
            flags=["clock_ahead"],
        ),
    )
    ((text,),) = rows(stream.settings, "properties")
    found = json.loads(text)
    assert (found["age_band"], found["timezone"], found["referrer"]) == (
        "25-34",
        "Europe/Riga",
        "https://x.example",
    )
    assert found["_flags"] == ["clock_ahead"]


def test_further_identifiers_of_an_event_land_once_beside_it(stream: Stream) -> None:
    order = record(
        "o1",
        name="Order Completed",
        properties={"order_id": "1", "products": [{"product_id": "a"}, {"product_id": "b"}]},
        identifiers=[("anonymous", "cookie", None), ("email", "email_1_x", 3)],
    )
    landed(stream, order)
    found = rows(
        stream.settings, "identifier_type, identifier, _key_version, customer_key, channel", further=True
    )
    assert found == [("anonymous", "cookie", 0, "u1", "web"), ("email", "email_1_x", 3, "u1", "web")]


def test_channels_and_months_lie_apart_and_a_clock_from_elsewhere_is_kept(stream: Stream) -> None:
    landed(
        stream,
        record("m1", channel="app"),
        record("m2"),
        record("m3", occurred=2_083_000_000_000_000),
        record("m4", occurred=1_450_000_000_000_000),
    )
    manifest = Manifest.read(stream.settings, layout.INTERACTIONS)
    places = {str(path.relative_to(stream.settings.lake).parent) for path in manifest.files()}
    assert places == {
        "interactions/channel=app/month=2026-01",
        "interactions/channel=web/month=2026-01",
        "interactions/channel=web/month=2036-01",
        "interactions/channel=web/month=2015-12",
    }
    assert manifest.counts("web").accepted == 3
    assert [len(rows(stream.settings, channel=each)) for each in ("app", "web")] == [1, 3]


def test_the_same_event_by_file_and_live_has_one_id_and_is_not_taken_for_another(
    stream: Stream, tmp_path: Path
) -> None:
    landed(
        stream,
        record("e1", source=connector("web").source_id, properties={"product_id": "p1", "price": 3}),
        record("e2", source=connector("web").source_id, properties={"product_id": "p2"}),
    )
    export = tmp_path / "events-1.csv"
    export.write_text(
        "event_id,event,timestamp,user_id,product_id,price\n"
        "e1,Product Viewed,2026-01-02T03:04:05Z,u1,p1,3\n"
        "e2,Product Viewed,2026-01-02T03:04:05Z,u1,p9,3\n"
        "e3,Product Viewed,2026-01-02T03:04:05Z,u1,p1,3\n"
    )
    report = ingest.ingest(stream.settings, "web", [export])
    counts = report.counts
    assert (counts.received, counts.accepted, counts.duplicate, counts.quarantined) == (3, 1, 1, 1)
    assert report.files[0].reasons == {"the same key is in the lake with other content": 1}
    ids = [each for (each,) in rows(stream.settings, "interaction_id")]
    assert len(ids) == len(set(ids)) == 3


# Exactly once


def test_a_running_consumer_lands_everything_once_and_trims_behind_itself(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(land, "_TRIM_SECONDS", 0.0)
    settings = stream.settings
    for partition in range(4):
        stream.add_many(partition, [record(f"{partition}-{n}") for n in range(700)])
    with running(land.make(settings)):
        until(
            lambda: (
                sum(events for events, _ in Manifest.read(settings, "interactions").landed().values()) == 2800
            )
        )
        until(lambda: all(stream.client.xlen(f"collector:{{{p}}}:events") == 0 for p in range(4)))
        until(lambda: all(each.lag == 0 for each in stream.figures("land")))
    ids = [each for (each,) in rows(settings, "interaction_id")]
    assert len(ids) == len(set(ids)) == 2800
    batches = Manifest.read(settings, layout.INTERACTIONS).stream
    assert len(batches) < 20
    assert sum(each.count for batch in batches for each in batch.ranges.values()) == 2800
    # Another process goes on where this one ended.
    stream.add(2, record("later"))
    with running(land.make(settings)):
        until(lambda: len(rows(settings, "interaction_id")) == 2801)


def test_what_was_written_but_not_committed_counts_for_nothing_and_lands_again(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = record("m1")
    (stream_id,) = stream.add(0, one)
    entry = Entry(stream_id, one, encode(one))
    lander = Land(stream.settings)
    with monkeypatch.context() as patch:
        patch.setattr("genome.lake.manifest.files.write_json", _power_cut)
        with pytest.raises(KeyboardInterrupt):
            lander.handle(0, [entry])
    assert list(stream.settings.lake.rglob("*.parquet"))
    assert rows(stream.settings) == []
    again = Land(stream.settings)
    assert again.position(0) == keys.BEGINNING
    again.handle(0, [entry])
    assert len(rows(stream.settings)) == 1
    assert again.position(0) == stream_id


def _power_cut(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_process_that_lost_its_partition_while_it_stood_still_writes_nothing(stream: Stream) -> None:
    one, two = record("m1"), record("m2")
    ids = stream.add(0, one, two)
    entries = [Entry(stream_id, each, encode(each)) for stream_id, each in zip(ids, (one, two), strict=True)]
    asleep, awake = Land(stream.settings), Land(stream.settings)
    assert asleep.position(0) == awake.position(0) == keys.BEGINNING
    awake.handle(0, entries)
    with pytest.raises(PositionMovedError):
        asleep.handle(0, entries[:1])
    assert len(rows(stream.settings)) == 2
    assert asleep.position(0) == ids[-1]


def test_a_moved_position_makes_the_consumer_take_the_partition_anew(stream: Stream) -> None:
    settings = stream.settings
    consumer = land.make(settings)
    with running(consumer):
        until(lambda: stream.figures("land")[3].at)
        landed(stream, record("elsewhere"))
        stream.add(0, record("next"))
        until(lambda: len(rows(settings)) == 2)
    ids = [each for (each,) in rows(settings, "interaction_id")]
    assert len(set(ids)) == 2


def test_a_sweep_of_the_channels_own_runs_leaves_what_is_being_landed_alone(
    stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file run of the same channel removes its own leftovers at its start."""
    real = live.files.sha256

    def meanwhile(path: Path) -> str:
        ingest.ingest(stream.settings, "web", [])
        return real(path)

    monkeypatch.setattr("genome.lake.live.files.sha256", meanwhile)
    landed(stream, record("m1"))
    assert len(rows(stream.settings)) == 1


# Trimming


def test_the_stream_waits_for_every_consumer_that_is_alive_and_for_what_has_not_landed(
    stream: Stream,
) -> None:
    settings, client = stream.settings, stream.client
    ids = stream.add(0, *(record(str(n)) for n in range(10)))
    now = int(client.time()[0]) * 1000
    client.hset("stream:consumers", mapping={"land": now, "live": now, "gone": now - 90_000_000})
    client.hset(keys.of_partition(0, "figures", "live"), "position", ids[3])
    client.hset(keys.of_partition(0, "figures", "gone"), "position", ids[0])
    assert trim(settings, client, {0: ids[6].decode()}, land="land") == 4
    assert client.xrange("collector:{0}:events")[0][0] == ids[4]
    assert client.get("collector:{0}:trimmed") == ids[3]
    full = settings.model_copy(update={"collector_memory_mb": 1})
    assert trim(full, client, {0: ids[6].decode()}, land="land") == 3
    assert client.xrange("collector:{0}:events")[0][0] == ids[7]


def test_a_consumer_that_has_not_said_where_it_is_holds_the_stream(stream: Stream) -> None:
    ids = stream.add(0, record("1"))
    stream.client.hset("stream:consumers", "live", int(stream.client.time()[0]) * 1000)
    assert trim(stream.settings, stream.client, {0: ids[0].decode()}, land="land") == 0
    assert stream.client.xlen("collector:{0}:events") == 1


# Parked


def test_a_message_that_does_not_land_is_parked_and_lands_once_by_a_replay(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stream.settings
    real = live.land

    def fails(settings: Settings, bodies: list[bytes], *args: Any, **options: Any) -> live.Landed:
        if any(b'"poison"' in each for each in bodies):
            raise duckdb.InvalidInputException("nobody foresaw it")
        return real(settings, bodies, *args, **options)

    monkeypatch.setattr("genome.stream.land.live.land", fails)
    stream.add(1, record("a"), record("poison"), record("b"))
    with running(Consumer(settings, Land(settings), batch_count=100)):
        until(lambda: stream.figure("land", 1).parked == 1)
        until(lambda: len(rows(settings)) == 2)
    (name,) = [each.parked_id for each in parked.listed(settings, "land")]
    assert Land(settings).replay() == (0, {name: "InvalidInputException"})
    monkeypatch.setattr("genome.stream.land.live.land", real)
    assert Land(settings).replay([name]) == (1, {})
    assert Land(settings).replay() == (0, {})
    ids = [each for (each,) in rows(settings, "interaction_id")]
    assert len(ids) == len(set(ids)) == 3
    assert Manifest.read(settings, "interactions").positions() == {1: stream.figure("land", 1).position}


def test_a_full_disk_is_waited_for_and_parks_nothing(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake's folder is a device that is always full: DuckDB says so in its own way."""
    real = live.files.commit
    full = [True]

    def commit(part: Path, final: Path) -> None:
        if full[0]:
            with duckdb.connect() as con:
                con.execute("COPY (SELECT range FROM range(10000000)) TO '/dev/full' (FORMAT csv)")
        real(part, final)

    monkeypatch.setattr("genome.lake.live.files.commit", commit)
    monkeypatch.setattr("genome.stream.consumer._LONGEST_PAUSE", 0.05)
    stream.add(0, record("m1"), record("m2"))
    with running(Consumer(stream.settings, Land(stream.settings))):
        until(lambda: stream.figure("land", 0).failing == "UnavailableError")
        full[0] = False
        until(lambda: len(rows(stream.settings)) == 2)
    assert list(parked.listed(stream.settings, "land")) == []


def test_a_replay_that_died_before_it_tidied_up_lands_nothing_twice(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stream.settings
    one = record("m1")
    from genome.lake.vault import Vault

    parked.park(
        stream.client, Vault(settings), "land", 0, b"5-0", encode(one), reason="ValueError", record=one
    )
    with monkeypatch.context() as patch:
        patch.setattr("genome.stream.land.parked.remove", _power_cut)
        with pytest.raises(KeyboardInterrupt):
            Land(settings).replay()
    assert Land(settings).replay() == (1, {})
    assert len(rows(settings)) == 1
    assert list(parked.listed(settings, "land")) == []
