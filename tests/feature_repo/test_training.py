from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import features
from support.features import CUT_OFF

from feature_repo.services import feature_hash
from feature_repo.training import historical_features, historical_table, service_definition
from genome.errors import GenomeError, UsageError
from genome.features.online import OnlineReader
from genome.settings import Settings

SERVICE = "next_best_offer_v1"


def spine(*rows: tuple[str, Any], key: str = "customer_id") -> pd.DataFrame:
    ids, instants = zip(*rows, strict=True)
    return pd.DataFrame({key: ids, "label_at": pd.to_datetime(list(instants), utc=True)})


def published(settings: Settings, *rows: dict[str, Any]) -> Settings:
    tables = features.customers(3) | features.offers(3)
    traits = features.table("feat_customer_traits", list(rows))
    features.put(settings, "genome", tables | {"feat_customer_traits": traits})
    return settings


def test_each_instant_sees_the_newest_row_valid_and_known_by_then(home: Settings) -> None:
    """The cases of a point-in-time join, one row each."""
    day = timedelta(days=1)
    start = CUT_OFF - 100 * day
    one = {"customer_id": "a"}
    published(
        home,
        one | {"valid_at": start, "known_at": start, "order_count": 1},
        one | {"valid_at": start + 5 * day, "known_at": start + 5 * day, "order_count": 2},
        # A correction of the second, known two days later: it must not leak into the days before.
        one | {"valid_at": start + 5 * day, "known_at": start + 7 * day, "order_count": 3},
    )
    asked = {
        start - day: None,  # before the first row
        start: 1,  # at the very instant
        start + 4 * day: 1,
        start + 5 * day: 2,
        start + 6 * day: 2,  # the correction is not known yet
        start + 7 * day: 3,
        start + 12 * day: 3,  # seven days after valid_at: the last instant of its ttl
        start + 12 * day + timedelta(seconds=1): None,  # past it
    }
    got = historical_features(home, spine(*(("a", at) for at in asked)), SERVICE)
    assert [None if pd.isna(value) else int(value) for value in got["order_count"]] == list(asked.values())


def test_every_type_comes_back_unchanged(home: Settings) -> None:
    row = {
        "customer_id": "a",
        "valid_at": CUT_OFF,
        "known_at": CUT_OFF,
        "first_order_at": CUT_OFF - timedelta(days=3, seconds=7),
        "order_count": 2**62 + 1,
        "store_count": -3,
        "amount_h28_sum": 0.1,
        "price_tier_level": 0.5,
        "age_band": "Émilie",
        "is_member": False,
    }
    published(home, row)
    table = historical_table(home, spine(("a", CUT_OFF)), SERVICE)
    (got,) = table.select([name for name in row if name not in {"valid_at", "known_at"}]).to_pylist()
    assert got == {name: value for name, value in row.items() if name not in {"valid_at", "known_at"}}
    vectors = historical_table(home, spine(("household:2", CUT_OFF)), SERVICE).to_pylist()[0]
    source = features.customers(3)["feat_customer_genome"].to_pylist()[5]
    assert (source["customer_id"], source["valid_at"]) == ("household:2", CUT_OFF)
    assert len(source["gene_hashes"]) > 1
    for name in ("gene_hashes", "affinities_now", "shares_now", "last_at_days"):
        assert vectors[name] == source[name]


def test_rows_come_back_in_the_spines_order_with_its_other_columns(home: Settings) -> None:
    asked = spine(*((f"household:{number}", CUT_OFF) for number in (7, 3, 39, 0, 12)))
    asked["is_redeemed"] = [True, False, True, False, True]
    asked.index = [9, 8, 7, 6, 5]
    got = historical_features(home, asked, SERVICE)
    names = [
        feature.name for view in service_definition(home, SERVICE).of("customer") for feature in view.features
    ]
    assert list(got.columns) == ["customer_id", "label_at", "is_redeemed", *names]
    assert list(got["customer_id"]) == list(asked["customer_id"])
    assert list(got["is_redeemed"]) == [True, False, True, False, True]
    assert got["label_at"].tolist() == [pd.Timestamp(CUT_OFF)] * 5
    assert isinstance(got["gene_hashes"].iloc[0], np.ndarray)


def test_customers_without_a_row_stay_with_nulls(home: Settings) -> None:
    got = historical_table(home, spine(("nobody", CUT_OFF), ("household:1", CUT_OFF)), SERVICE).to_pylist()
    assert got[0]["customer_id"] == "nobody"
    assert {value for name, value in got[0].items() if name not in {"customer_id", "label_at"}} == {None}
    assert got[1]["gene_hashes"] is not None


def test_a_spine_of_offers_gets_the_offers_views(home: Settings) -> None:
    got = historical_table(home, spine(("26-1", CUT_OFF), key="offer_id"), SERVICE).to_pylist()
    assert got == [
        {
            "offer_id": "26-1",
            "label_at": CUT_OFF,
            "label": "Offer 1",
            "gene_hashes": [1, 2],
            "gene_weights": [0.25, 0.75],
        }
    ]


def test_training_and_serving_have_one_feature_hash(home: Settings) -> None:
    from feature_repo.serve import load_online

    load_online(home)
    with OnlineReader(home) as reader:
        served = reader.read(SERVICE, "customer", ["household:1"]).feature_hash
    assert served == feature_hash(service_definition(home, SERVICE))


def test_a_new_publication_is_seen_without_being_registered_by_hand(home: Settings) -> None:
    assert historical_table(home, spine(("household:1", CUT_OFF)), SERVICE).num_rows == 1
    published(home, {"customer_id": "new", "valid_at": CUT_OFF, "known_at": CUT_OFF, "order_count": 5})
    assert historical_table(home, spine(("new", CUT_OFF)), SERVICE).column("order_count").to_pylist() == [5]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (pd.DataFrame({"x": [1]}), "The spine's columns are x"),
        (pd.DataFrame({"customer_id": ["a"], "offer_id": ["b"]}), "customer_id, offer_id"),
        (pd.DataFrame({"customer_id": ["a"]}), "'label_at' is missing"),
        (pd.DataFrame({"customer_id": ["a"], "label_at": pd.to_datetime(["2018-01-01"])}), "is datetime64"),
        (spine(("a", CUT_OFF), ("a", CUT_OFF)), "the same customer_id and label_at more than once"),
        (spine(("a", CUT_OFF)).assign(order_count=1), "named like features: order_count"),
    ],
)
def test_a_spine_that_is_not_as_it_should_be_is_a_wrong_call(
    home: Settings, wrong: pd.DataFrame, what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        historical_features(home, wrong, SERVICE)


def test_an_unknown_service_is_named_with_those_that_there_are(home: Settings) -> None:
    with pytest.raises(GenomeError, match=r"no feature service 'x' .*customer_genome_v1, next_best_offer_v1"):
        historical_features(home, spine(("a", CUT_OFF)), "x")


def test_features_that_are_not_published_cannot_be_trained_on(home: Settings) -> None:
    import shutil

    shutil.rmtree(home.lake / "_published")
    with pytest.raises(GenomeError, match="Not published yet: feat_customer_traits, feat_customer_genome"):
        historical_features(home, spine(("a", CUT_OFF)), SERVICE)
