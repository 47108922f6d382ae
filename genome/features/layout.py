"""Feast's published Redis layout, value by value (docs/specs/online_store_format.md in Feast).

    key    entity key, version 3: counts, join key and id, then the project
    hash   murmur3("<view>:<feature>") -> feast.types.Value;  "_ts:<view>" -> google.protobuf.Timestamp

Written and read here as whole columns with NumPy; the SDK makes one protobuf object for each value
(docs/adr/ has the figures). tests/features/ hold every type against Feast's own encoder, byte for byte.

A null is an empty value; a value that was never written is no value at all.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import mmh3
import numpy as np

from genome.errors import GenomeError
from genome.features.definitions import ValueKind

if TYPE_CHECKING:
    import pyarrow as pa

NULL = b""

_STRING_TYPE = 2  # feast.types.ValueType.STRING
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Protobuf: tag = field number << 3 | wire type (0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes).
_TAGS: dict[ValueKind, bytes] = {
    "STRING": b"\x12",
    "INT32": b"\x18",
    "INT64": b"\x20",
    "DOUBLE": b"\x29",
    "FLOAT": b"\x35",
    "BOOL": b"\x38",
    "UNIX_TIMESTAMP": b"\x40",
    "STRING_LIST": b"\x62",
    "INT32_LIST": b"\x6a",
    "INT64_LIST": b"\x72",
    "DOUBLE_LIST": b"\x7a",
    "FLOAT_LIST": b"\x82\x01",
}
_ITEMS = b"\x0a"  # field 1 of every list message
_SHIFTS = range(10)  # a varint has at most ten groups of seven bits


# Keys


def entity_key_prefix(join_key: str) -> bytes:
    """What every key of one entity begins with, up to the length of its id."""
    name = join_key.encode()
    return struct.pack(f"<III{len(name)}sI", 1, _STRING_TYPE, len(name), name, _STRING_TYPE)


def entity_keys(project: str, join_key: str, ids: Iterable[str]) -> list[bytes]:
    """The Redis keys of entities, in the order of `ids`."""
    prefix, suffix, length = entity_key_prefix(join_key), project.encode(), struct.Struct("<I").pack
    return [prefix + length(len(raw)) + raw + suffix for raw in (each.encode() for each in ids)]


def feature_field(view: str, feature: str) -> bytes:
    """The hash field of one feature."""
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def timestamp_field(view: str) -> bytes:
    """The hash field of a view's event time."""
    return f"_ts:{view}".encode()


def epoch_field(view: str) -> bytes:
    """The hash field of the publication that a view's values come from; ours, beside Feast's own."""
    return f"_epoch:{view}".encode()


# Writing


def encode_column(kind: ValueKind, column: "pa.Array", name: str) -> list[bytes]:
    """Every value of a column as the bytes of a `feast.types.Value`; nulls, and NaN scalars, as `NULL`.

    Args:
        kind: the feature's type.
        column: of the Arrow type that `kind` stands for.
        name: `<table>.<column>`, for errors.

    Raises:
        GenomeError: a list of whole numbers or text holds a null (in a list of reals it becomes NaN, as
            pandas shows it to training), or an instant has fractions of a second (Feast serves whole ones:
            training would see what serving cannot).
    """
    values = _LISTS[kind](column, name) if kind in _LISTS else _SCALARS[kind](column, name)
    if column.null_count:
        for row in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)):
            values[row] = NULL
    return values


def encode_timestamps(instants: Sequence[datetime]) -> list[bytes]:
    """Event times as the bytes of a `google.protobuf.Timestamp`."""
    known: dict[datetime, bytes] = {}
    for instant in instants:
        if instant not in known:
            since = instant - _EPOCH
            seconds, nanos = since.days * 86_400 + since.seconds, since.microseconds * 1_000
            text = b"\x08" + _varint(seconds) if seconds else b""
            known[instant] = text + (b"\x10" + _varint(nanos) if nanos else b"")
    return [known[instant] for instant in instants]


def _varint(number: int) -> bytes:
    number &= 0xFFFF_FFFF_FFFF_FFFF
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _varints(numbers: np.ndarray) -> tuple[bytes, np.ndarray]:
    """All numbers as varints, one after the other, and where each begins (and the last one ends)."""
    bits = numbers.astype(np.int64).view(np.uint64)
    sizes = np.ones(len(bits), np.int64)
    for shift in _SHIFTS[1:]:
        sizes += bits >= np.uint64(1 << 7 * shift)
    groups = np.empty((len(bits), len(_SHIFTS)), np.uint8)
    for shift in _SHIFTS:
        groups[:, shift] = (bits >> np.uint64(7 * shift)).astype(np.uint8) & 0x7F
        groups[:, shift] |= np.where(shift < sizes - 1, 0x80, 0).astype(np.uint8)
    used = np.arange(len(_SHIFTS)) < sizes[:, None]
    return groups[used].tobytes(), np.concatenate([[0], np.cumsum(sizes)])


def _integers(kind: ValueKind) -> Callable[["pa.Array", str], list[bytes]]:
    tag = _TAGS[kind]

    def encode(column: "pa.Array", name: str) -> list[bytes]:  # noqa: ARG001
        text, starts = _varints(column.fill_null(0).to_numpy(zero_copy_only=False))
        return [tag + text[a:b] for a, b in pairwise(starts.tolist())]

    return encode


def _reals(kind: ValueKind, dtype: str) -> Callable[["pa.Array", str], list[bytes]]:
    tag = _TAGS[kind]

    def encode(column: "pa.Array", name: str) -> list[bytes]:  # noqa: ARG001
        numbers = column.fill_null(np.nan).to_numpy(zero_copy_only=False).astype(dtype)
        text, size = numbers.tobytes(), numbers.itemsize
        # Feast's offline side shows NaN as missing: so does this.
        return [
            NULL if missing else tag + text[row * size : (row + 1) * size]
            for row, missing in enumerate(np.isnan(numbers).tolist())
        ]

    return encode


def _booleans(column: "pa.Array", name: str) -> list[bytes]:  # noqa: ARG001
    yes, no = _TAGS["BOOL"] + b"\x01", _TAGS["BOOL"] + b"\x00"
    return [yes if value else no for value in column.to_pylist()]


def _strings(column: "pa.Array", name: str) -> list[bytes]:  # noqa: ARG001
    known: dict[str | None, bytes] = {None: NULL}
    for value in column.unique().to_pylist():
        if value is not None:
            raw = value.encode()
            known[value] = _TAGS["STRING"] + _varint(len(raw)) + raw
    return [known[value] for value in column.to_pylist()]


def _instants(column: "pa.Array", name: str) -> list[bytes]:
    import pyarrow as pa
    import pyarrow.compute as pc

    seconds = column.cast(pa.timestamp("s", "UTC"), safe=False)
    if column.null_count < len(column) and not pc.all(pc.equal(seconds.cast(column.type), column)).as_py():
        raise GenomeError(
            f"{name} holds fractions of a second, which Feast's online store would drop.",
            f"Round it in the dbt model: date_trunc('second', {name.rpartition('.')[2]}).",
        )
    return _integers("UNIX_TIMESTAMP")(seconds.cast(pa.int64()), name)


def _items(column: "pa.Array", name: str, *, nulls: bool = False) -> tuple["pa.Array", np.ndarray]:
    """The lists' items in one array, and where each list begins in it (and the last one ends)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    items = column.flatten()  # leaves out what lies under null lists
    if items.null_count and not nulls:
        raise GenomeError(
            f"{name} holds a list with a null in it, which Feast's online store cannot hold.",
            "Leave the item out in the dbt model, or give it a value.",
        )
    lengths = pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return items, np.concatenate([[0], np.cumsum(lengths)])


def _message(tag: bytes, payload: bytes) -> bytes:
    inner = _ITEMS + _varint(len(payload)) + payload if payload else b""
    return tag + _varint(len(inner)) + inner


def _integer_lists(kind: ValueKind) -> Callable[["pa.Array", str], list[bytes]]:
    def encode(column: "pa.Array", name: str) -> list[bytes]:
        items, starts = _items(column, name)
        text, begins = _varints(items.to_numpy(zero_copy_only=False))
        cuts = begins[starts]
        return [_message(_TAGS[kind], text[a:b]) for a, b in pairwise(cuts.tolist())]

    return encode


def _real_lists(kind: ValueKind, dtype: str) -> Callable[["pa.Array", str], list[bytes]]:
    def encode(column: "pa.Array", name: str) -> list[bytes]:
        items, starts = _items(column, name, nulls=True)
        numbers = items.to_numpy(zero_copy_only=False).astype(dtype)  # nulls become NaN
        text, cuts = numbers.tobytes(), starts * numbers.itemsize
        return [_message(_TAGS[kind], text[a:b]) for a, b in pairwise(cuts.tolist())]

    return encode


def _string_lists(column: "pa.Array", name: str) -> list[bytes]:
    items, starts = _items(column, name)
    raw = [each.encode() for each in items.to_pylist()]
    texts = [_ITEMS + _varint(len(each)) + each for each in raw]
    inner = [b"".join(texts[a:b]) for a, b in pairwise(starts.tolist())]
    return [_TAGS["STRING_LIST"] + _varint(len(each)) + each for each in inner]


_SCALARS: dict[ValueKind, Callable[["pa.Array", str], list[bytes]]] = {
    "STRING": _strings,
    "INT32": _integers("INT32"),
    "INT64": _integers("INT64"),
    "DOUBLE": _reals("DOUBLE", "<f8"),
    "FLOAT": _reals("FLOAT", "<f4"),
    "BOOL": _booleans,
    "UNIX_TIMESTAMP": _instants,
}
_LISTS: dict[ValueKind, Callable[["pa.Array", str], list[bytes]]] = {
    "STRING_LIST": _string_lists,
    "INT32_LIST": _integer_lists("INT32_LIST"),
    "INT64_LIST": _integer_lists("INT64_LIST"),
    "DOUBLE_LIST": _real_lists("DOUBLE_LIST", "<f8"),
    "FLOAT_LIST": _real_lists("FLOAT_LIST", "<f4"),
}


# Reading


def decoder(kind: ValueKind) -> Callable[[bytes], Any]:
    """What turns the bytes of a non-null value of this type into Python.

    Numbers, text and instants become Python's own; lists of numbers become read-only NumPy arrays; lists of
    text become tuples.
    """
    return _DECODERS[kind]


def decode_timestamp(data: bytes) -> datetime:
    """The event time in the bytes of a `google.protobuf.Timestamp`."""
    seconds = nanos = at = 0
    while at < len(data):
        tag = data[at]
        number, at = _read_varint(data, at + 1)
        if tag == 0x08:
            seconds = _signed(number)
        else:
            nanos = number
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1_000)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        group = data[at]
        at += 1
        number |= (group & 0x7F) << shift
        if group < 0x80:
            return number, at
        shift += 7


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _checked(kind: ValueKind, data: bytes) -> int:
    """Where the value begins, after its tag."""
    tag = _TAGS[kind]
    if not data.startswith(tag):
        raise GenomeError(
            f"The online store holds a value that is no {kind} where the catalogue says so.",
            "Fill it anew: `genome serve-features`.",
        )
    return len(tag)


def _decode_integer(kind: ValueKind) -> Callable[[bytes], int]:
    return lambda data: _signed(_read_varint(data, _checked(kind, data))[0])


def _decode_real(kind: ValueKind, form: str) -> Callable[[bytes], float]:
    unpack = struct.Struct(form).unpack_from
    return lambda data: float(unpack(data, _checked(kind, data))[0])


def _decode_boolean(data: bytes) -> bool:
    return data[_checked("BOOL", data)] == 1


def _decode_string(data: bytes) -> str:
    _, at = _read_varint(data, _checked("STRING", data))
    return data[at:].decode()


def _decode_instant(data: bytes) -> datetime:
    seconds = _signed(_read_varint(data, _checked("UNIX_TIMESTAMP", data))[0])
    return _EPOCH + timedelta(seconds=seconds)


def _payload(kind: ValueKind, data: bytes) -> int:
    """Where a packed list's items begin (the end of `data` for an empty list)."""
    size, at = _read_varint(data, _checked(kind, data))
    return _read_varint(data, at + 1)[1] if size else len(data)


def _decode_reals(kind: ValueKind, dtype: str) -> Callable[[bytes], np.ndarray]:
    # An array over the reply itself: bytes cannot change, so nor can it.
    return lambda data: (
        np.frombuffer(data, dtype, offset=_payload(kind, data)) if data else np.empty(0, dtype)
    )


_EMPTY = {dtype: np.empty(0, dtype) for dtype in ("<i4", "<i8")}
for _each in _EMPTY.values():
    _each.flags.writeable = False


def _decode_integers(kind: ValueKind, dtype: str) -> Callable[[bytes], np.ndarray]:
    def decode(data: bytes) -> np.ndarray:
        at = _payload(kind, data)
        groups = np.frombuffer(data, np.uint8)[at:]
        (ends,) = np.nonzero(groups < 0x80)
        if not len(ends):
            return _EMPTY[dtype]
        starts = np.concatenate([[0], ends[:-1] + 1])
        # Each byte's place within its own number says how far its seven bits go to the left.
        places = np.arange(len(groups)) - np.repeat(starts, ends - starts + 1)
        bits = (groups & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
        decoded = np.add.reduceat(bits, starts).view(np.int64).astype(dtype)
        decoded.flags.writeable = False
        return decoded

    return decode


def _decode_strings(data: bytes) -> tuple[str, ...]:
    _, at = _read_varint(data, _checked("STRING_LIST", data))
    found = []
    while at < len(data):
        size, at = _read_varint(data, at + 1)
        found.append(data[at : at + size].decode())
        at += size
    return tuple(found)


_DECODERS: dict[ValueKind, Callable[[bytes], Any]] = {
    "STRING": _decode_string,
    "INT32": _decode_integer("INT32"),
    "INT64": _decode_integer("INT64"),
    "FLOAT": _decode_real("FLOAT", "<f"),
    "DOUBLE": _decode_real("DOUBLE", "<d"),
    "BOOL": _decode_boolean,
    "UNIX_TIMESTAMP": _decode_instant,
    "STRING_LIST": _decode_strings,
    "INT32_LIST": _decode_integers("INT32_LIST", "<i4"),
    "INT64_LIST": _decode_integers("INT64_LIST", "<i8"),
    "FLOAT_LIST": _decode_reals("FLOAT_LIST", "<f4"),
    "DOUBLE_LIST": _decode_reals("DOUBLE_LIST", "<f8"),
}
