"""Columns of pairs against sums worked out one by one."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.pairs import GENES, INDEX, random_rectangle, rectangle

from genome.errors import GenomeError
from genome.match import GeneVectors, match_all
from models.features import (
    PLAIN,
    WHICH,
    WHO,
    PairFeatures,
    Rectangle,
    columns,
    gene_hash,
)


def told(one: Rectangle) -> dict[str, np.ndarray]:
    return {name: np.broadcast_to(column, one.shape).astype(float) for name, column in columns(one)}


def purchases(one: Rectangle, customer: int, offer: int) -> list[tuple[int, float, float]]:
    """(product, age in days, amount) of what the customer bought of what the offer covers."""
    covered = {hash_ for hash_ in one.offers["gene_hashes"][offer].as_py() if dict(GENES)[hash_] == "product"}
    row = one.customers.slice(customer, 1).to_pylist()[0]
    return [
        (hash_, one.local_day - day, amount)
        for hash_, day, amount in zip(
            row["purchase_hashes"], row["purchase_days"], row["purchase_amounts"], strict=True
        )
        if hash_ in covered
    ]


def test_own_columns_are_sums_over_the_purchases_that_the_offer_covers() -> None:
    one = random_rectangle()
    found = told(one)
    seen = 0
    for customer in range(one.shape[0]):
        for offer in range(one.shape[1]):
            rows = purchases(one, customer, offer)
            days = sorted({age for _, age, _ in rows})
            units = {(product, age) for product, age, _ in rows}
            cell = customer, offer
            seen += len(rows) > len(units)
            assert found["own_day_count"][cell] == len(days)
            assert found["own_unit_count"][cell] == len(units)
            assert found["own_product_count"][cell] == len({product for product, _, _ in rows})
            for half_life in (28, 90, 180):
                assert found[f"own_days_h{half_life}"][cell] == pytest.approx(
                    sum(2 ** (-age / half_life) for age in days)
                )
                assert found[f"own_units_h{half_life}"][cell] == pytest.approx(
                    sum(2 ** (-age / half_life) for _, age in units)
                )
            assert found["own_amount"][cell] == pytest.approx(sum(amount for _, _, amount in rows), abs=1e-6)
            assert found["own_amount_h60"][cell] == pytest.approx(
                sum(amount * 2 ** (-age / 60) for _, age, amount in rows), abs=1e-6
            )
            assert found["own_since"][cell] == (days[0] if days else 999.0)
            if len(days) > 1:
                assert found["own_gap_days"][cell] == pytest.approx((days[-1] - days[0]) / (len(days) - 1))
            else:
                assert np.isnan(found["own_gap_days"][cell])
    assert seen > 3, "no day was known in parts: the test says less than it should"


def test_shares_are_of_everything_that_the_customer_bought() -> None:
    one = random_rectangle()
    found = told(one)
    for customer, row in enumerate(one.customers.to_pylist()):
        ages = [one.local_day - day for day in row["purchase_days"]]
        spent = sum(
            amount * 2 ** (-age / 180) for age, amount in zip(ages, row["purchase_amounts"], strict=True)
        )
        for offer in range(one.shape[1]):
            covered = sum(amount * 2 ** (-age / 180) for _, age, amount in purchases(one, customer, offer))
            assert found["own_amount_share"][customer, offer] == pytest.approx(
                covered / max(spent, 1.0), abs=1e-6
            )


def test_ages_count_from_the_instant_on_the_retailers_clock() -> None:
    # New York's midnight of the first of July is 04:00 UTC: a purchase of the thirtieth of June is one day old.
    day = (pd.Timestamp("2017-06-30") - pd.Timestamp("1970-01-01")).days
    row = {"purchase_hashes": [801], "purchase_days": [day], "purchase_amounts": [2.0]}
    midnight = rectangle([row], [{"gene_hashes": [801], "gene_weights": [1.0]}], at="2017-07-01T04:00:00Z")
    assert told(midnight)["own_since"].tolist() == [[1.0]]
    evening = rectangle([row], [{"gene_hashes": [801], "gene_weights": [1.0]}], at="2017-07-01T01:00:00Z")
    assert told(evening)["own_since"] == pytest.approx(21 / 24)


def test_match_columns_are_those_of_the_one_implementation() -> None:
    one = random_rectangle()
    found = told(one)
    for half_life in ("now", "character"):
        shares = GeneVectors.from_lists(
            INDEX,
            one.customers["gene_hashes"].to_pylist(),
            one.customers[f"shares_{half_life}"].to_pylist(),
        )
        for suffix, weights in (("", "gene_weights"), ("_sales", "gene_sales_weights")):
            dna = GeneVectors.from_lists(
                INDEX, one.offers["gene_hashes"].to_pylist(), one.offers[weights].to_pylist()
            )
            expected = match_all(shares, dna)
            for place, locus in enumerate(INDEX.locus_ids):
                np.testing.assert_allclose(
                    found[f"match_{half_life}{suffix}_{locus}"], expected[:, :, place], rtol=1e-6
                )
    assert np.nanmax(found["match_now_brand"]) > 0


def test_since_is_the_last_time_that_any_gene_of_the_offer_was_chosen() -> None:
    one = random_rectangle()
    found = told(one)
    loci = dict(GENES)
    for customer, row in enumerate(one.customers.to_pylist()):
        last = dict(zip(row["gene_hashes"], row["last_at_days"], strict=True))
        for offer, said in enumerate(one.offers["gene_hashes"].to_pylist()):
            for locus in ("brand", "category", "product_type"):
                days = [last[gene] for gene in said if loci[gene] == locus and gene in last]
                expected = min(one.utc_day - max(days), 999.0) if days else 999.0
                assert found[f"since_{locus}"][customer, offer] == pytest.approx(expected)


def test_places_in_the_group_are_over_the_maximum_and_by_rank() -> None:
    found = told(random_rectangle())
    for name in ("own_days_h90", "own_amount", "match_now_category"):
        column = np.nan_to_num(found[name], nan=-np.inf)
        ranks = found[f"rank_{name}"]
        for row, rank in zip(column, ranks, strict=True):
            assert rank.tolist() == [1 + (row > value).sum() for value in row]
        best = np.maximum(np.nan_to_num(found[name]).max(axis=1, keepdims=True), 0)
        np.testing.assert_allclose(found[f"top_{name}"], found[name] / np.where(best > 0, best, 1), rtol=1e-6)
    since, rank = found["own_since"], found["rank_own_since"]
    assert [1 + (since[0] < value).sum() for value in since[0]] == rank[0].tolist()


def test_what_is_unknown_of_a_customer_is_not_a_number() -> None:
    nobody: dict[str, Any] = {"age_band": None, "price_tier_level": None, "last_redemption_at": None}
    somebody = {"age_band": "35-44", "income_band": "Under 15K", "household_size": "5+"}
    found = told(rectangle([nobody, somebody], [{"gene_hashes": [801], "gene_weights": [1.0]}]))
    assert np.isnan(found["customer_age_band"][0, 0])
    assert np.isnan(found["customer_price_tier_level"][0, 0])
    assert np.isnan(found["match_now_brand"]).all()
    assert found["customer_since_last_redemption"].tolist() == [[999.0], [999.0]]
    assert [found[f"customer_{band}"][1, 0] for band in ("age_band", "income_band", "household_size")] == [
        35.0,
        0.0,
        5.0,
    ]


def test_what_a_learner_reads_is_all_made_and_in_its_order() -> None:
    one = random_rectangle()
    found = told(one)
    for names in (WHO, WHICH, PLAIN):
        assert len(set(names)) == len(names)
        matrix = PairFeatures(names).matrix(one)
        assert matrix.dtype == np.float32
        assert matrix.shape == (one.shape[0] * one.shape[1], len(names))
        for place, name in enumerate(names):
            np.testing.assert_array_equal(matrix[:, place], found[name].astype("f4").reshape(-1))


def test_which_offer_is_told_nothing_that_is_the_same_for_all_candidates() -> None:
    one = random_rectangle()
    found = told(one)
    for name in WHICH:
        if not name.startswith(("offer_", "campaign_")):
            assert not name.startswith("customer_")
            column = np.nan_to_num(found[name], nan=-1.0)
            assert (column.max(axis=1) > column.min(axis=1)).any(), name


def test_some_rows_are_the_same_rows_of_the_whole() -> None:
    one = random_rectangle()
    features = PairFeatures(WHO)
    rows = np.array([3, 0, 11, 11])
    np.testing.assert_array_equal(features.matrix(one, rows), features.matrix(one)[rows])


def test_customers_are_described_alike_alone_and_in_company() -> None:
    one = random_rectangle()
    whole = PairFeatures(WHO).matrix(one)
    alone = Rectangle(one.at, one.timezone, one.index, one.customers.slice(2, 3), one.offers)
    offers = one.shape[1]
    np.testing.assert_array_equal(PairFeatures(WHO).matrix(alone), whole[2 * offers : 5 * offers])


def test_a_column_that_nobody_makes_is_named() -> None:
    with pytest.raises(GenomeError, match="columns that are not made: own_luck"):
        PairFeatures(("own_since", "own_luck")).matrix(random_rectangle())


def test_the_hash_covers_names_order_and_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    one = PairFeatures(("own_since", "own_amount"))
    assert one.hash == PairFeatures(("own_since", "own_amount")).hash
    assert one.hash != PairFeatures(("own_amount", "own_since")).hash
    before = one.hash
    monkeypatch.setattr("models.features.VERSION", 999)
    assert one.hash != before


def test_a_gene_has_the_hash_that_dbt_gives_it() -> None:
    # The dbt macro `hash_bigint`, worked out by DuckDB.
    import duckdb

    row = duckdb.sql("select cast('0x' || substr(md5('brand_type:Private'), 1, 15) as bigint)").fetchone()
    assert row == (gene_hash("brand_type:Private"),)


def test_a_purchase_of_a_product_that_the_build_does_not_know_is_passed_over() -> None:
    row = {"purchase_hashes": [7, 801], "purchase_days": [17_000, 17_000], "purchase_amounts": [5.0, 1.0]}
    found = told(rectangle([row], [{"gene_hashes": [801, 8], "gene_weights": [1.0, 1.0]}]))
    assert found["own_amount"].tolist() == [[1.0]]
    assert found["own_unit_count"].tolist() == [[1.0]]


def test_columns_need_no_more_than_the_service_gives() -> None:
    one = random_rectangle()
    assert isinstance(one.customers, pa.Table)
    names = [name for name, _ in columns(one)]
    assert len(set(names)) == len(names)
    assert {*WHO, *WHICH, *PLAIN} <= set(names)
