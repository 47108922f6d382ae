import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import redis

from genome.errors import GenomeError
from genome.features import layout
from genome.features.definitions import (
    CATALOGUE,
    GENERATION,
    Catalogue,
    FeatureDefinition,
    LoadedView,
    ServiceDefinition,
    ViewDefinition,
    feature_hash,
    metadata_key,
)
from genome.features.online import PROJECT, OnlineReader
from genome.settings import Settings
from genome.stores import valkey

CUT_OFF = datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)


def view(name: str = "feat_traits", days: float = 7, **features: Any) -> ViewDefinition:
    return ViewDefinition(
        name=name,
        entity="customer",
        join_key="customer_id",
        ttl=timedelta(days=days),
        features=tuple(FeatureDefinition(name=each, kind=kind) for each, kind in features.items()),
    )


TRAITS = view(order_count="INT64", age_band="STRING")
GENES = view("feat_genes", shares="DOUBLE_LIST")


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with valkey.connect(settings, "online") as made:
        yield made
    valkey.stop(settings)


def say(client: redis.Redis, generation: str, *views: ViewDefinition) -> ServiceDefinition:
    service = ServiceDefinition(name="s_v1", views=views)
    loaded = tuple(
        LoadedView(
            view=each.name,
            epoch=f"e{generation}",
            published_at=CUT_OFF,
            as_of=CUT_OFF,
            loaded_at=CUT_OFF,
            rows=1,
        )
        for each in views
    )
    catalogue = Catalogue(project=PROJECT, services=(service,), loaded=loaded)
    metadata = {GENERATION: generation, CATALOGUE: catalogue.model_dump_json()}
    client.hset(metadata_key(PROJECT), mapping=metadata)
    return service


def put(
    client: redis.Redis, customer: str, of: ViewDefinition, values: Sequence[pa.Array], at: datetime
) -> None:
    (key,) = layout.entity_keys(PROJECT, "customer_id", [customer])
    mapping: dict[bytes, bytes] = {layout.timestamp_field(of.name): layout.encode_timestamps([at])[0]}
    for feature, value in zip(of.features, values, strict=True):
        (mapping[layout.feature_field(of.name, feature.name)],) = layout.encode_column(
            feature.kind, value, "t.c"
        )
    client.hset(key, mapping=mapping)  # type: ignore[arg-type]


def traits(count: int | None, band: str | None) -> list[pa.Array]:
    return [pa.array([count], pa.int64()), pa.array([band], pa.string())]


def test_unknown_null_and_stale_are_told_apart(client: redis.Redis, settings: Settings) -> None:
    say(client, "1", TRAITS, GENES)
    put(client, "fresh", TRAITS, traits(3, None), CUT_OFF - timedelta(days=7))
    put(client, "stale", TRAITS, traits(4, "35-44"), CUT_OFF - timedelta(days=7, seconds=1))
    with OnlineReader(settings) as reader:
        fresh, stale, unknown = reader.read("s_v1", "customer", ["fresh", "stale", "unknown"]).rows
    assert fresh.values == {"order_count": 3, "age_band": None, "shares": None}
    assert (fresh.stale, fresh.missing, fresh.is_known) == ((), ("feat_genes",), True)
    assert stale.values["order_count"] == 4
    assert (stale.stale, stale.missing, stale.is_known) == (("feat_traits",), ("feat_genes",), True)
    assert stale.event_at["feat_traits"] == CUT_OFF - timedelta(days=7, seconds=1)
    assert (unknown.stale, unknown.missing, unknown.is_known) == ((), ("feat_traits", "feat_genes"), False)
    assert unknown.values == {"order_count": None, "age_band": None, "shares": None}


def test_the_answer_names_its_service_hash_and_epochs(client: redis.Redis, settings: Settings) -> None:
    service = say(client, "1", TRAITS)
    with OnlineReader(settings) as reader:
        rows = reader.read("s_v1", "customer", [])
        assert (rows.service, rows.feature_hash, rows.rows) == ("s_v1", feature_hash(service), ())
        assert rows.epochs == {"feat_traits": "e1"}
        assert [each.epoch for each in reader.loaded()] == ["e1"]


def test_a_load_changes_what_the_next_read_says_without_a_restart(
    client: redis.Redis, settings: Settings
) -> None:
    say(client, "1", TRAITS)
    put(client, "a", TRAITS, traits(3, "x"), CUT_OFF)
    with OnlineReader(settings) as reader:
        assert reader.read("s_v1", "customer", ["a"]).rows[0].values == {"order_count": 3, "age_band": "x"}
        changed = view(order_count="DOUBLE")
        put(client, "a", changed, [pa.array([2.5])], CUT_OFF)
        say(client, "2", changed)
        rows = reader.read("s_v1", "customer", ["a"])
    assert rows.rows[0].values == {"order_count": 2.5}
    assert rows.epochs == {"feat_traits": "e2"}


def test_an_empty_store_is_an_error_that_says_what_to_do(client: redis.Redis, settings: Settings) -> None:
    with OnlineReader(settings) as reader:
        assert reader.loaded() == ()
        with pytest.raises(GenomeError, match="holds no features") as caught:
            reader.read("s_v1", "customer", ["a"])
        assert "genome serve-features" in caught.value.remedy
        say(client, "1", TRAITS)
        assert reader.read("s_v1", "customer", ["a"]).rows[0].is_known is False
        client.flushdb()
        with pytest.raises(GenomeError, match="holds no features"):
            reader.read("s_v1", "customer", ["a"])


def test_an_unknown_service_or_entity_is_named_with_those_that_there_are(
    client: redis.Redis, settings: Settings
) -> None:
    say(client, "1", TRAITS)
    with OnlineReader(settings) as reader:
        with pytest.raises(GenomeError, match=r"no feature service 's_v2' \(there is: s_v1\)"):
            reader.read("s_v2", "customer", ["a"])
        with pytest.raises(GenomeError, match="'s_v1' holds nothing about 'offer'"):
            reader.read("s_v1", "offer", ["a"])


def test_a_read_is_one_round_trip_with_one_hmget_for_each_entity(
    client: redis.Redis, settings: Settings
) -> None:
    say(client, "1", TRAITS, GENES)
    with OnlineReader(settings) as reader:
        reader.read("s_v1", "customer", ["a"])
        client.config_resetstat()
        reader.read("s_v1", "customer", [f"c{number}" for number in range(50)])
        stats = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
    assert {name: count for name, count in calls.items() if name != "config|resetstat"} == {
        "hget": 1,
        "hmget": 50,
    }


def test_values_can_be_said_as_json(client: redis.Redis, settings: Settings) -> None:
    seen = view(
        "feat_seen", seen_at="UNIX_TIMESTAMP", genes="INT64_LIST", names="STRING_LIST", shares="FLOAT_LIST"
    )
    say(client, "1", seen)
    values = [
        pa.array([CUT_OFF], pa.timestamp("us", "UTC")),
        pa.array([[-1, 2**62]], pa.list_(pa.int64())),
        pa.array([["a", "é"]], pa.list_(pa.string())),
        pa.array([[0.5, None]], pa.list_(pa.float32())),
    ]
    put(client, "a", seen, values, CUT_OFF)
    with OnlineReader(settings) as reader:
        (row,) = reader.read("s_v1", "customer", ["a"]).rows
    assert json.loads(json.dumps(row.jsonable())) == {
        "seen_at": "2018-01-01T04:59:59+00:00",
        "genes": [-1, 2**62],
        "names": ["a", "é"],
        "shares": [0.5, None],
    }


def test_many_threads_read_while_loads_change_the_types(client: redis.Redis, settings: Settings) -> None:
    """Definitions and values are of one generation in every answer, or the answer says the types differ."""
    from concurrent.futures import ThreadPoolExecutor

    say(client, "1", TRAITS)
    put(client, "a", TRAITS, traits(3, "x"), CUT_OFF)
    with OnlineReader(settings) as reader:

        def reading(_: int) -> set[tuple[str, ...]]:
            return {tuple(reader.read("s_v1", "customer", ["a"]).rows[0].values) for _ in range(50)}

        with ThreadPoolExecutor(4) as pool:
            futures = pool.map(reading, range(8))
            for generation in range(2, 60):
                say(client, str(generation), TRAITS if generation % 2 else view(age_band="STRING"))
            shapes = set().union(*futures)
    assert shapes <= {("order_count", "age_band"), ("age_band",)}
    assert shapes


def test_reading_imports_no_feast() -> None:
    code = "import sys, genome.features.online, genome.features.layout; print('feast' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
