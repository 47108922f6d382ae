import pyarrow as pa
import pytest
from feast import types
from support.features import ARROW

from feature_repo.type_map import feature_type
from genome.errors import GenomeError


@pytest.mark.parametrize(
    ("data_type", "remedy"),
    [
        ("decimal(18,2)", "Cast it to double."),
        ("numeric", "Cast it to double."),
        ("date", "days since 1970-01-01"),
        ("timestamp", "publish timestamptz"),
        ("ubigint", "Cast it to bigint"),
        ("hugeint", "Cast it to bigint"),
        ("json", "columns of their own"),
        ("struct(a int)", "columns of their own"),
        ("map(varchar, double)", "two lists of equal length"),
        ("timestamptz[]", "Use one of"),
        ("boolean[]", "Use one of"),
        ("bigint[][]", "Use one of"),
        ("blob", "Use one of"),
        ("", "Use one of"),
        (None, "Use one of"),
    ],
)
def test_a_type_without_a_map_is_refused_naming_column_type_and_remedy(
    data_type: str | None, remedy: str
) -> None:
    with pytest.raises(GenomeError) as caught:
        feature_type("feat_customer_traits", "spent", data_type)
    assert f"Column feat_customer_traits.spent has type '{data_type}'" in caught.value.what
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("data_type", "feast_type"),
    [
        ("VARCHAR", types.String),
        ("integer", types.Int32),
        ("bigint", types.Int64),
        ("float", types.Float32),
        ("double", types.Float64),
        ("Double  Precision", types.Float64),
        ("boolean", types.Bool),
        ("timestamp with time zone", types.UnixTimestamp),
        ("varchar[]", types.Array(types.String)),
        ("integer[]", types.Array(types.Int32)),
        ("bigint[]", types.Array(types.Int64)),
        ("float[]", types.Array(types.Float32)),
        ("double[]", types.Array(types.Float64)),
    ],
)
def test_a_type_with_a_map_keeps_its_width(data_type: str, feast_type: object) -> None:
    found = feature_type("t", "c", data_type)
    assert found.feast() == feast_type
    assert found.feast().to_value_type().name == found.kind


def test_each_type_knows_its_parquet_and_no_other() -> None:
    for data_type, arrow in ARROW.items():
        mapped = feature_type("t", "c", data_type)
        alike = {other for other, its in ARROW.items() if mapped.holds(its)}
        assert {ARROW[other] for other in alike} == {arrow}
    assert not feature_type("t", "c", "timestamptz").holds(pa.timestamp("us"))
