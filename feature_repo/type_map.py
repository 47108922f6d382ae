"""From the types of a dbt contract to Feast's, strictly: what is not listed is refused.

Feast's own import of dbt models turns what it does not know into String or Int64 without a word. Every type
here is carried through the offline join, the online store and the direct reader by tests/feature_repo/.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genome.errors import GenomeError
from genome.features.definitions import ValueKind

if TYPE_CHECKING:
    import pyarrow as pa
    from feast.types import FeastType


@dataclass(frozen=True, slots=True)
class FeatureType:
    """One type, as dbt, Feast and Arrow know it.

    Attributes:
        kind: by Feast's name for values.
        item: Feast's primitive type (of the items, for a list).
        arrow: the Arrow type of the published Parquet (of the items, for a list).
        is_list: whether the column holds lists.
    """

    kind: ValueKind
    item: str
    arrow: str
    is_list: bool = False

    def feast(self) -> "FeastType":
        """Feast's type object."""
        from feast import types

        item = getattr(types, self.item)
        return types.Array(item) if self.is_list else item

    def holds(self, arrow: "pa.DataType") -> bool:
        """Whether a Parquet column of this Arrow type is of this type."""
        import pyarrow as pa

        if self.is_list:
            if not (pa.types.is_list(arrow) or pa.types.is_large_list(arrow)):
                return False
            arrow = arrow.value_type
        if self.arrow == "timestamp":
            return pa.types.is_timestamp(arrow) and arrow.tz is not None
        return str(arrow) in {self.arrow, f"large_{self.arrow}"}


_VARCHAR = FeatureType("STRING", "String", "string")
_INTEGER = FeatureType("INT32", "Int32", "int32")
_BIGINT = FeatureType("INT64", "Int64", "int64")
_FLOAT = FeatureType("FLOAT", "Float32", "float")
_DOUBLE = FeatureType("DOUBLE", "Float64", "double")
_BOOLEAN = FeatureType("BOOL", "Bool", "bool")
_TIMESTAMPTZ = FeatureType("UNIX_TIMESTAMP", "UnixTimestamp", "timestamp")

_SCALARS: dict[str, FeatureType] = {
    "varchar": _VARCHAR,
    "text": _VARCHAR,
    "string": _VARCHAR,
    "integer": _INTEGER,
    "int": _INTEGER,
    "int4": _INTEGER,
    "bigint": _BIGINT,
    "int8": _BIGINT,
    "float": _FLOAT,
    "real": _FLOAT,
    "float4": _FLOAT,
    "double": _DOUBLE,
    "double precision": _DOUBLE,
    "float8": _DOUBLE,
    "boolean": _BOOLEAN,
    "bool": _BOOLEAN,
    "timestamptz": _TIMESTAMPTZ,
    "timestamp with time zone": _TIMESTAMPTZ,
}
_LISTS: dict[ValueKind, FeatureType] = {
    "STRING": FeatureType("STRING_LIST", "String", "string", True),
    "INT32": FeatureType("INT32_LIST", "Int32", "int32", True),
    "INT64": FeatureType("INT64_LIST", "Int64", "int64", True),
    "FLOAT": FeatureType("FLOAT_LIST", "Float32", "float", True),
    "DOUBLE": FeatureType("DOUBLE_LIST", "Float64", "double", True),
}

_REMEDIES = {
    "date": "Publish whole days as an integer (days since 1970-01-01) or an instant as timestamptz.",
    "timestamp": "It names no time zone: publish timestamptz.",
    "decimal": "Cast it to double.",
    "numeric": "Cast it to double.",
    "hugeint": "Cast it to bigint, or to varchar where it is an identifier.",
    "ubigint": "Cast it to bigint, or to varchar where it is an identifier.",
    "json": "Publish the fields that are features as columns of their own.",
    "struct": "Publish the fields that are features as columns of their own.",
    "map": "Publish two lists of equal length: keys and values.",
}
_OTHERWISE = f"Use one of {', '.join(sorted(_SCALARS))}, or a list such as bigint[]."


def feature_type(table: str, column: str, data_type: str | None) -> FeatureType:
    """The type of one column of a contract.

    Args:
        table: the dbt model.
        column: the column.
        data_type: as the contract writes it.

    Raises:
        GenomeError: a type without a map; it names column, type and remedy.
    """
    written = " ".join((data_type or "").lower().split())
    item, is_list = (written[:-2].strip(), True) if written.endswith("[]") else (written, False)
    found = _SCALARS.get(item)
    if found is not None and is_list:
        found = _LISTS.get(found.kind)
    if found is None:
        remedy = _REMEDIES.get(item.split("(")[0].strip(), _OTHERWISE)
        raise GenomeError(
            f"Column {table}.{column} has type '{data_type}', which Feast cannot serve unchanged.", remedy
        )
    return found
