from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support import campaigns
from support.campaigns import World, midnight

from genome.errors import GenomeError
from genome.settings import Settings
from models import data
from models.data import Campaign

# The demo's campaigns: id, first and last date, redeemed offers (docs/model-quality.md).
DEMO = [
    ("24", "2016-11-14", "2017-01-16", 0),
    ("25", "2016-12-06", "2017-02-05", 1),
    ("26", "2016-12-28", "2017-02-19", 21),
    ("27", "2017-02-08", "2017-03-26", 64),
    ("1", "2017-03-03", "2017-04-09", 1),
    ("2", "2017-03-08", "2017-04-09", 5),
    ("3", "2017-03-13", "2017-05-08", 2),
    ("4", "2017-03-29", "2017-04-30", 11),
    ("5", "2017-04-03", "2017-05-07", 10),
    ("6", "2017-04-19", "2017-05-21", 1),
    ("7", "2017-04-24", "2017-05-28", 7),
    ("8", "2017-05-08", "2017-06-25", 368),
    ("9", "2017-05-31", "2017-07-02", 43),
    ("10", "2017-06-28", "2017-07-30", 14),
    ("11", "2017-07-12", "2017-08-27", 8),
    ("12", "2017-07-12", "2017-08-13", 26),
    ("13", "2017-08-08", "2017-09-24", 620),
    ("14", "2017-09-04", "2017-11-08", 34),
    ("16", "2017-10-04", "2017-11-05", 43),
    ("17", "2017-10-18", "2017-11-19", 45),
    ("18", "2017-10-30", "2017-12-24", 646),
    ("19", "2017-11-15", "2017-12-17", 27),
]
NOW = pd.Timestamp("2018-01-01T04:59:59Z")
HISTORY = pd.Timestamp("2017-01-01T12:00:00Z")
WINDOWS = data.Windows(history_days=35, validation_days=60, test_days=90, min_redemptions=50)


def campaign(name: str, first: str, last: str, positives: int) -> Campaign:
    redeemed = np.zeros((700, 1), dtype=bool)
    redeemed[:positives] = True
    return Campaign(
        name, midnight(first), midnight(last, 1), np.arange(700), np.arange(1), redeemed, redeemed, {}
    )


def demo() -> list[Campaign]:
    return [campaign(*row) for row in DEMO]


def test_the_demos_campaigns_fall_apart_as_the_published_protocol_says() -> None:
    found = data.split(demo(), HISTORY, NOW, WINDOWS).document()
    assert found["test"] == ["16", "17", "18", "19"]
    assert found["train"] == ["27", *(str(number) for number in range(1, 14))]
    assert found["folds"][0] == {
        "train": ["27", *(str(number) for number in range(1, 11))],
        "held_out": ["13"],
    }
    # Campaigns 10 to 12 hold too few redemptions to judge anything by.
    assert found["folds"][1:] == [{"train": ["27", "1", "2"], "held_out": ["6", "7", "8", "9"]}]


def test_whatever_teaches_was_over_before_what_it_is_judged_by_began() -> None:
    split = data.split(demo(), HISTORY, NOW, WINDOWS)
    assert len(split.folds) == 2
    for train, judged in [*((fold.train, fold.held_out) for fold in split.folds), (split.train, split.test)]:
        assert max(each.ends_at for each in train) <= min(each.label_at for each in judged)


def test_a_campaign_that_has_not_ended_or_came_before_history_is_left_out() -> None:
    early = data.split(demo(), HISTORY, pd.Timestamp("2017-12-20T05:00:00Z"), WINDOWS)
    assert "18" not in early.document()["test"]
    used = {each.campaign_id for each in (*early.train, *early.test)}
    assert not used & {"24", "25", "26"}


def test_without_campaigns_in_the_last_months_there_is_no_test_and_training_goes_on() -> None:
    split = data.split(demo()[:17], HISTORY, pd.Timestamp("2018-06-01T04:00:00Z"), WINDOWS)
    assert split.test == ()
    assert split.train[-1].campaign_id == "13"
    assert split.folds[0].held_out[-1].campaign_id == "13"


def test_too_few_campaigns_are_an_error_that_says_what_there_is() -> None:
    with pytest.raises(
        GenomeError, match=r"Too few campaigns .*: 5 have ended, 2 of them .* with 65 redeemed offers"
    ):
        data.split(demo()[:5], HISTORY, NOW, WINDOWS)


def test_the_settings_default_to_the_windows_of_the_published_protocol(settings: Settings) -> None:
    assert data.Windows.of(settings) == WINDOWS


def test_a_season_of_campaigns_is_divided_by_shorter_windows() -> None:
    season = [
        campaign("1", "2024-10-05", "2024-11-01", 30),
        campaign("2", "2024-10-15", "2024-11-11", 30),
        campaign("3", "2024-11-04", "2024-12-01", 20),
        campaign("4", "2024-12-08", "2024-12-30", 5),
    ]
    first, now = pd.Timestamp("2024-09-28T15:00:00Z"), pd.Timestamp("2025-01-01T05:00:00Z")
    with pytest.raises(GenomeError, match="Too few campaigns"):
        data.split(season, first, now, WINDOWS)
    short = data.split(season, first, now, data.Windows(5, 40, 28, 20)).document()
    assert short == {"folds": [{"train": ["1"], "held_out": ["3"]}], "train": ["1", "2", "3"], "test": ["4"]}


def published(settings: Settings, changed: dict[str, pa.Table] | None = None) -> data.Publication:
    made = campaigns.world()
    return World({**made.tables, **(changed or {})}).publish(settings)


def test_campaigns_are_grids_of_customers_and_offers(settings: Settings) -> None:
    source = campaigns.world().tables["fct_offer_outcomes"].to_pandas()
    simple = campaigns.world().tables["fct_offer_baselines"].to_pandas()
    found = data.campaigns(published(settings))
    assert [each.campaign_id for each in found] == ["1", "2", "3", "4"]
    third = found[2]
    for row in source[source["campaign_id"] == "3"].sample(200, random_state=1).itertuples():
        cell = list(third.customers).index(row.customer_id), list(third.offers).index(row.offer_id)
        assert third.redeemed[cell] == row.is_redeemed
        assert third.bought[cell] == row.is_bought
    for row in simple[simple["campaign_id"] == "3"].sample(200, random_state=1).itertuples():
        cell = list(third.customers).index(row.customer_id), list(third.offers).index(row.offer_id)
        assert third.baselines["own_days_h90_sum"][cell] == row.own_days_h90_sum


@pytest.mark.parametrize("table", ["fct_offer_outcomes", "fct_offer_baselines"])
def test_a_pair_that_comes_twice_is_refused_before_it_counts_twice(settings: Settings, table: str) -> None:
    whole = campaigns.world().tables[table]
    doubled = pa.concat_tables([whole, whole.slice(5, 1)])
    with pytest.raises(GenomeError, match=rf"{table}, campaign 1: 901 rows, 900 of them distinct"):
        data.campaigns(published(settings, {table: doubled}))


def test_a_pair_that_is_missing_is_refused(settings: Settings) -> None:
    whole = campaigns.world().tables["fct_offer_outcomes"]
    with pytest.raises(GenomeError, match="campaign 1: 899 rows"):
        data.campaigns(published(settings, {"fct_offer_outcomes": whole.slice(1)}))


def test_history_begins_with_the_first_order(settings: Settings) -> None:
    found = data.first_order_at(published(settings))
    traits = campaigns.world().tables["feat_customer_traits"].to_pandas()
    assert found == traits["first_order_at"].min()


def test_campaigns_are_joined_to_features_some_at_once_and_come_out_alike(
    trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = data.publication(trained.settings)
    found = data.campaigns(now)
    whole = list(data.labelled(trained.settings, now, found))
    monkeypatch.setattr("models.data._SPINE_ROWS", 100)
    parts = list(data.labelled(trained.settings, now, found))
    assert [each.campaign.campaign_id for each in parts] == ["1", "2", "3", "4"]
    for one, other in zip(whole, parts, strict=True):
        assert one.rectangle.customers.equals(other.rectangle.customers)
        assert one.rectangle.offers.equals(other.rectangle.offers)


def test_a_customer_without_a_row_at_the_label_time_stops_training(trained) -> None:
    now = data.publication(trained.settings)
    one = data.campaigns(now)[0]
    stranger = replace(one, customers=np.append(one.customers[:-1], "household:unborn"))
    with pytest.raises(GenomeError, match="1 of 90 customer_id have no features at their instant"):
        list(data.labelled(trained.settings, now, [stranger]))
