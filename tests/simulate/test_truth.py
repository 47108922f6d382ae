"""The truth agrees with what the channels show, and the planted effects can be found in it."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow.compute as pc
import pytest

from genome.errors import GenomeError
from genome.simulate import parameters
from genome.simulate.recover import (
    additive_rates,
    logistic_regression,
    poisson_regression,
    recover,
)
from genome.simulate.run import simulate
from genome.simulate.truth import Truth

TABLES = {
    "cards",
    "churn",
    "contacts",
    "fatigue",
    "identifiers",
    "links",
    "memory_cross_brand",
    "memory_loyal",
    "motives",
    "origins",
    "owners",
    "people",
    "stockouts",
    "trips",
}


def test_all_tables_of_the_truth_are_there(mall_folder: Path) -> None:
    assert set(Truth(mall_folder).tables()) == TABLES


def test_a_table_that_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(GenomeError, match="no truth table 'people'"):
        Truth(tmp_path).read("people")


def test_outcomes_follow_from_the_strata(mall_folder: Path) -> None:
    contacts = Truth(mall_folder).read("contacts").to_pandas()
    assert set(contacts["stratum"]) == {"never", "moved", "put_off", "anyway"}
    expected = np.where(contacts["is_sent"], contacts["bought_with"], contacts["bought_without"])
    assert (contacts["is_bought"] == expected).all()
    held = contacts[contacts["is_held_out"] & (contacts["channel"] != "banner")]
    assert len(held) > 100
    assert not held["is_sent"].any()
    banner = contacts[contacts["channel"] == "banner"]
    assert (banner["bought_with"] == banner["bought_without"]).all()


def test_tastes_are_shares_and_drift_for_some(mall_folder: Path) -> None:
    people = Truth(mall_folder).read("people").to_pandas()
    start, end = (np.stack(people[f"category_share_{when}"]) for when in ("start", "end"))
    assert start.sum(axis=1) == pytest.approx(np.ones(len(people)), abs=1e-5)
    moved = np.abs(end - start).sum(axis=1) > 1e-6
    assert (moved == people["has_drift"]).all()
    assert 0.25 < moved.mean() < 0.45


def test_people_buy_what_they_like(mall_folder: Path, lake: duckdb.DuckDBPyConnection) -> None:
    truth = Truth(mall_folder)
    people = truth.read("people").to_pandas()
    counts = lake.sql(
        """select household_id, category, count(*) as lines
        from pos_lines join products_products using (product_id)
        where household_id is not null group by all"""
    ).df()
    categories = list(people["categories"][0])
    single = people.groupby("household_id").filter(lambda group: len(group) == 1).set_index("household_id")
    correlations = []
    for household, rows in counts.groupby("household_id"):
        if household in single.index and rows["lines"].sum() >= 40:
            seen = np.zeros(len(categories))
            seen[[categories.index(name) for name in rows["category"]]] = rows["lines"]
            share = np.asarray(single.loc[household, "category_share_start"])
            correlations.append(np.corrcoef(seen, share)[0, 1])
    assert len(correlations) >= 8
    assert np.mean(correlations) > 0.7


def test_an_identifier_on_a_channel_is_known_to_the_truth(
    mall_folder: Path, lake: duckdb.DuckDBPyConnection
) -> None:
    known = Truth(mall_folder).read("identifiers")
    assert pc.sum(pc.equal(known["relation"], "shared_tablet")).as_py() > 0
    lake.register("known", known)
    for kind, query in {
        "anonymous": "select anonymous_id from web_events",
        "device": "select device_id from app_events",
        "household": "select household_id from pos_lines",
        "loyalty_card": "select card_id from pos_lines",
        "payment_token": "select payment_token from pos_lines",
        "email": "select email from survey_answers",
        "phone": "select phone from sms_push_events",
        "social": "select handle from social_events",
        "wifi": "select wifi_hash from location_pings",
        "contact": "select contact_id from crm_contacts",
    }.items():
        seen, unknown = lake.sql(
            f"""select count(*), count(*) filter (where key not in (select identifier from known
            where identifier_type = '{kind}')) from (select distinct key from ({query}) as t(key)
            where key is not null)"""
        ).fetchone()  # type: ignore[misc]
        assert seen > 0, kind
        assert unknown == 0, kind


def test_one_card_one_person_but_for_the_traps(mall_folder: Path) -> None:
    table = Truth(mall_folder).read("identifiers").to_pandas()
    own = table[table["relation"] == "own"]
    assert not own.duplicated(["identifier_type", "identifier"]).any()
    # A mistyped address that hits somebody else's: the same text, two people.
    assert {"own", "household", "shared_tablet", "mistyped", "house_account"} <= set(table["relation"])


def test_the_planted_effects_are_recovered(tmp_path: Path) -> None:
    simulate(parameters.load("small", workers=1), 11, tmp_path / "mall")
    effects = {effect.name: effect for effect in recover(tmp_path / "mall")}
    assert len(effects) >= 35
    assert [name for name, effect in effects.items() if not effect.is_recovered] == []
    # And the estimates are sharp enough to mean something: the main ones differ from nothing.
    for name in ("move_match", "fatigue_trips", "churn_up_sell", "online_to_store", "lift_email"):
        assert effects[name].recovered > 4 * effects[name].error, name


def test_another_lift_and_another_rate_of_points_are_found_as_planted(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        "[run]\ncustomers = 800\ndays = 35\nblock = 400\n"
        "[world]\npromotion_lift = 4.0\n[behaviour]\npoints_per_unit = 3.0\n[channels]\noutage_days = 4\n"
    )
    simulate(parameters.load(mine), 3, tmp_path / "mall")
    effects = {effect.name: effect for effect in recover(tmp_path / "mall")}
    for name, other in (("promotion_lift", 2.2), ("points_per_unit", 1.0), ("outage_days", 2.0)):
        assert effects[name].is_recovered, effects[name]
        assert abs(effects[name].recovered - other) > 3 * effects[name].error, effects[name]


def test_a_wrong_planted_number_is_not_recovered(mall_folder: Path) -> None:
    effect = next(each for each in recover(mall_folder) if each.name == "online_to_store")
    assert effect.is_recovered
    assert not type(effect)(
        effect.name, "", 2 * effect.planted, effect.recovered, effect.error, 1
    ).is_recovered


def test_estimators_find_what_they_should() -> None:
    random = np.random.default_rng(5)
    x = random.normal(0, 1, (40_000, 1))
    design = np.concatenate([np.ones_like(x), x], axis=1)
    chance = 1 / (1 + np.exp(-(-1.0 + 0.7 * x[:, 0])))
    value, error = logistic_regression(design, (random.random(len(x)) < chance).astype(float))
    assert value == pytest.approx([-1.0, 0.7], abs=4 * error.max())
    value, error = poisson_regression(
        design, random.poisson(np.exp(0.2 - 0.3 * x[:, 0])).astype(float), np.zeros(len(x))
    )
    assert value == pytest.approx([0.2, -0.3], abs=4 * error.max())
    exposure = np.stack([np.full(200, 1e4), np.linspace(0, 2e3, 200)], axis=1)
    value, error = additive_rates(exposure, random.poisson(exposure @ np.array([0.001, 0.02])).astype(float))
    assert value == pytest.approx([0.001, 0.02], abs=4 * error.max())
