"""Traits in words: literal traits in, literal sentences out."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from support.world import TRAITS

from genome.customers.view import ago, in_words

NOW = datetime(2018, 1, 1, 5, tzinfo=UTC)


def test_every_known_trait_becomes_a_sentence() -> None:
    assert in_words(TRAITS, NOW, NOW) == [
        "Customer since January 2017; last order 3 days ago, usually every 7 days.",
        # 400 · ln 2 / 28 · 7 and 2000 · ln 2 / 180 · 7
        "Spends about 69 a week lately, 54 over the months.",
        "Mostly shops on Saturdays (50%) and in the evening (60%).",
        "40% of the choices are the store's own brands; within a category the choices are mostly low-priced; "
        "15% saved by shelf discounts.",
        "Redeemed 2 coupons in 4 campaigns received.",
        "Has bought from 60 categories, as varied as 20 equal ones.",
        "By their own account: age 45-54.",
    ]


def test_nothing_known_is_said_as_such() -> None:
    assert in_words({}, NOW, NOW) == ["No order yet.", "Never received a campaign."]
    unknown = dict.fromkeys(TRAITS, math.nan) | {"first_order_at": None, "last_order_at": None}
    assert in_words(unknown, NOW, NOW) == in_words({}, NOW, NOW)


def test_money_fades_with_time_as_its_sum_does() -> None:
    # One half-life of 28 days later the recent sum is half, the one of 180 days 2^(-28/180) = 0.898.
    later = in_words(TRAITS, NOW, NOW + timedelta(days=28))
    assert later[1] == "Spends about 35 a week lately, 48 over the months."


def test_who_is_late_beyond_their_own_rhythm_is_overdue() -> None:
    def orders(days: float) -> str:
        return in_words(TRAITS | {"last_order_at": NOW - timedelta(days=days)}, NOW, NOW)[0]

    assert orders(11).endswith("usually every 7 days.")  # 7 + 2 · 2
    assert orders(12).endswith("usually every 7 days: overdue.")


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(hours=23), "today"),
        (timedelta(days=1), "yesterday"),
        (timedelta(days=59), "59 days ago"),
        (timedelta(days=60), "2 months ago"),
        (timedelta(days=365), "12 months ago"),
    ],
)
def test_ages_are_said_as_people_say_them(age: timedelta, words: str) -> None:
    assert ago(age) == words
