from datetime import timedelta
from typing import Any

import pytest
from support import features
from support.features import CUT_OFF

from feature_repo import parity
from feature_repo.serve import load_online
from genome.errors import GenomeError
from genome.features import layout
from genome.features.online import PROJECT
from genome.settings import Settings
from genome.stores import valkey


def test_online_equals_offline_for_a_thousand_customers(home: Settings) -> None:
    features.put(home, "genome", features.customers(1_200, genes=30) | features.offers(80))
    load_online(home)
    report = parity.compare(home, 1_000)
    assert report.examples == ()
    assert (report.differences, report.is_equal) == (0, True)
    assert report.entities == {"customer": 1_000, "offer": 80}
    assert report.values == 1_000 * 11 + 80 * 3
    assert report.feature_hash == report.registered_hash


@pytest.mark.parametrize("service", features.SERVICES)
def test_online_equals_offline_for_every_service(home: Settings, service: str) -> None:
    load_online(home)
    report = parity.compare(home, 1_000, service=service)
    assert report.examples == ()
    assert report.values > 0
    # 40 customers of the traits and one who is not yet known anywhere.
    assert report.unknown == (0 if service == "offers_v1" else 1)


def test_a_row_past_its_ttl_is_null_offline_and_told_apart_online(home: Settings) -> None:
    later = home.model_copy(update={"now": CUT_OFF + timedelta(days=8)})
    load_online(later)
    report = parity.compare(later, ["household:1", "household:2"])
    assert (report.entities["customer"], report.differences) == (2, 0)


@pytest.mark.parametrize(
    ("feature", "kind", "value"), [("order_count", "INT64", 7), ("affinities_now", "FLOAT_LIST", [0.125])]
)
def test_one_changed_value_is_found(home: Settings, feature: str, kind: Any, value: Any) -> None:
    import pyarrow as pa

    load_online(home)
    view = "feat_customer_traits" if feature == "order_count" else "feat_customer_genome"
    arrow = pa.int64() if kind == "INT64" else pa.list_(pa.float32())
    (key,) = layout.entity_keys(PROJECT, "customer_id", ["household:6"])
    (data,) = layout.encode_column(kind, pa.array([value], arrow), "t.c")
    with valkey.connect(home, "online") as client:
        client.hset(key, layout.feature_field(view, feature), data)
    report = parity.compare(home, 1_000)
    assert report.is_equal is False
    assert report.differences == 1
    assert report.examples == (parity.Difference("customer", "household:6", feature, "online ≠ offline"),)


def test_a_store_that_is_behind_is_not_compared(home: Settings) -> None:
    load_online(home)
    publication = features.put(home, "genome", features.customers(2) | features.offers(1))
    with pytest.raises(GenomeError, match=f"published is {publication.epoch}") as caught:
        parity.compare(home, 10)
    assert "genome serve-features" in caught.value.remedy
