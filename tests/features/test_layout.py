from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast.infra.online_stores.helpers import _mmh3, _redis_key, _redis_key_prefix
from feast.protos.feast.types import Value_pb2 as feast_values
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from genome.errors import GenomeError
from genome.features import layout
from genome.features.definitions import ValueKind

INSTANT = pa.timestamp("us", "UTC")
LONG = st.integers(-(2**63), 2**63 - 1)
INT = st.integers(-(2**31), 2**31 - 1)
REAL = st.floats(allow_nan=False)
SINGLE = st.floats(allow_nan=False, width=32)
# Surrogates are no text that UTF-8 can hold.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))

CASES: list[tuple[ValueKind, pa.DataType, str, st.SearchStrategy[Any]]] = [
    ("STRING", pa.string(), "string_val", TEXT),
    ("INT32", pa.int32(), "int32_val", INT),
    ("INT64", pa.int64(), "int64_val", LONG),
    ("DOUBLE", pa.float64(), "double_val", REAL),
    ("FLOAT", pa.float32(), "float_val", SINGLE),
    ("BOOL", pa.bool_(), "bool_val", st.booleans()),
    ("STRING_LIST", pa.list_(pa.string()), "string_list_val", st.lists(TEXT)),
    ("INT32_LIST", pa.list_(pa.int32()), "int32_list_val", st.lists(INT)),
    ("INT64_LIST", pa.list_(pa.int64()), "int64_list_val", st.lists(LONG)),
    ("DOUBLE_LIST", pa.list_(pa.float64()), "double_list_val", st.lists(REAL)),
    ("FLOAT_LIST", pa.list_(pa.float32()), "float_list_val", st.lists(SINGLE)),
]
MESSAGES = {
    "string_list_val": feast_values.StringList,
    "int32_list_val": feast_values.Int32List,
    "int64_list_val": feast_values.Int64List,
    "double_list_val": feast_values.DoubleList,
    "float_list_val": feast_values.FloatList,
}


def by_feast(field: str, value: Any) -> bytes:
    """The oracle: Feast's own protobuf."""
    if value is None:
        return b""
    message = MESSAGES[field](val=value) if field in MESSAGES else value
    return Value(**{field: message}).SerializeToString()


@pytest.mark.parametrize(("kind", "arrow", "field", "strategy"), CASES, ids=[case[0] for case in CASES])
def test_columns_are_written_byte_for_byte_as_feast_writes_them_and_read_back(
    kind: ValueKind, arrow: pa.DataType, field: str, strategy: st.SearchStrategy[Any]
) -> None:
    @given(st.lists(st.one_of(st.none(), strategy), max_size=12))
    def check(values: list[Any]) -> None:
        encoded = layout.encode_column(kind, pa.array(values, arrow), "t.c")
        assert encoded == [by_feast(field, value) for value in values]
        decode = layout.decoder(kind)
        read = [decode(data) if data else None for data in encoded]
        plain = [list(each) if isinstance(each, np.ndarray | tuple) else each for each in read]
        assert plain == values

    check()


@given(st.lists(st.one_of(st.none(), st.integers(-(10**10), 10**10))))
def test_instants_are_whole_seconds_as_in_feast(seconds: list[int | None]) -> None:
    zero = datetime(1970, 1, 1, tzinfo=UTC)
    instants = [None if each is None else zero + timedelta(seconds=each) for each in seconds]
    encoded = layout.encode_column("UNIX_TIMESTAMP", pa.array(instants, INSTANT), "t.c")
    assert encoded == [by_feast("unix_timestamp_val", each) for each in seconds]
    decode = layout.decoder("UNIX_TIMESTAMP")
    assert [decode(data) if data else None for data in encoded] == instants


@given(st.lists(st.datetimes(timezones=st.just(UTC))))
def test_event_times_are_written_as_feast_writes_them(instants: list[datetime]) -> None:
    expected = []
    for instant in instants:
        stamp = Timestamp()
        stamp.FromDatetime(instant)
        expected.append(stamp.SerializeToString())
    encoded = layout.encode_timestamps(instants)
    assert encoded == expected
    assert [layout.decode_timestamp(data) for data in encoded] == instants


@given(st.lists(TEXT))
def test_keys_are_feasts_keys(ids: list[str]) -> None:
    expected = [
        _redis_key(
            "customer_genome", EntityKey(join_keys=["customer_id"], entity_values=[Value(string_val=each)])
        )
        for each in ids
    ]
    keys = layout.entity_keys("customer_genome", "customer_id", ids)
    assert keys == expected
    prefix = layout.entity_key_prefix("customer_id")
    assert prefix.startswith(_redis_key_prefix(["customer_id"]))
    assert all(key.startswith(prefix) for key in keys)


def test_hash_fields_are_feasts_hash_fields() -> None:
    assert layout.feature_field("feat_customer_traits", "order_count") == _mmh3(
        "feat_customer_traits:order_count"
    )
    assert layout.timestamp_field("feat_customer_traits") == b"_ts:feat_customer_traits"


def test_a_slice_of_a_column_is_written_as_itself() -> None:
    """Parquet batches and `take` give arrays with offsets, and null lists may hide items."""
    whole = pa.array([[9, 9], None, [], [-1, 300], [2**62]], pa.list_(pa.int64()))
    encoded = layout.encode_column("INT64_LIST", whole[1:], "t.c")
    assert encoded == [by_feast("int64_list_val", each) for each in (None, [], [-1, 300], [2**62])]
    hidden = pa.ListArray.from_arrays([0, 2, 3], [7, 8, 9], mask=pa.array([True, False]))
    assert layout.encode_column("INT64_LIST", hidden, "t.c") == [b"", by_feast("int64_list_val", [9])]


def test_not_a_number_is_null_as_a_scalar_and_stays_in_a_list() -> None:
    assert layout.encode_column("DOUBLE", pa.array([float("nan"), 1.0]), "t.c") == [
        b"",
        by_feast("double_val", 1.0),
    ]
    (encoded,) = layout.encode_column("FLOAT_LIST", pa.array([[None, 0.5]], pa.list_(pa.float32())), "t.c")
    decoded = layout.decoder("FLOAT_LIST")(encoded)
    assert np.isnan(decoded[0])
    assert decoded[1] == 0.5


def test_a_null_in_a_list_of_whole_numbers_is_refused_by_name() -> None:
    with pytest.raises(GenomeError, match=r"feat_x\.hashes holds a list with a null in it"):
        layout.encode_column("INT64_LIST", pa.array([[1, None]]), "feat_x.hashes")


def test_fractions_of_a_second_are_refused_by_name() -> None:
    instants = pa.array([datetime(2018, 1, 1, 0, 0, 0, 5, UTC)], INSTANT)
    with pytest.raises(GenomeError, match=r"feat_x\.seen_at holds fractions of a second") as caught:
        layout.encode_column("UNIX_TIMESTAMP", instants, "feat_x.seen_at")
    assert "date_trunc('second', seen_at)" in caught.value.remedy


def test_a_value_of_another_type_is_not_read_as_this_one() -> None:
    (text,) = layout.encode_column("STRING", pa.array(["12"]), "t.c")
    with pytest.raises(GenomeError, match="no INT64 where the catalogue says so"):
        layout.decoder("INT64")(text)


def test_decoded_lists_cannot_be_written_to() -> None:
    for kind, arrow in (("INT64_LIST", pa.int64()), ("FLOAT_LIST", pa.float32())):
        (data,) = layout.encode_column(kind, pa.array([[1, 2]], pa.list_(arrow)), "t.c")  # type: ignore[arg-type]
        assert layout.decoder(kind)(data).flags.writeable is False  # type: ignore[arg-type]
