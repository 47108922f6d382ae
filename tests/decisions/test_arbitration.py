"""Eligibility and arbitration: which offers, or silence, and what became of the others."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genome.decisions.arbitration import choose
from genome.decisions.placements import Placement
from genome.decisions.records import Ask, Candidate, Choice, Inputs

NOW = datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)
DAY = timedelta(days=1)
HOMEPAGE = Placement(
    placement="homepage",
    description="tiles",
    channels=("web",),
    kinds=("cross_sell", "retention"),
    count=2,
    min_score=0.5,
    max_age_hours=48,
)


def candidate(offer_id: str, score: float, **other: object) -> Candidate:
    values = {"label": offer_id, "kind": "cross_sell", "starts_at": NOW - DAY, "ends_at": NOW + DAY}
    return Candidate(offer_id=offer_id, score=score, **(values | other))


def inputs(*candidates: Candidate, **other: object) -> Inputs:
    values = {
        "ask": Ask(customer_id="household:1", placement="homepage"),
        "placement": HOMEPAGE,
        "now": NOW,
        "is_known": True,
        "scored_at": NOW,
        "candidates": candidates,
    }
    return Inputs.model_validate(values | other)


def reasons(choice: Choice) -> dict[str, str]:
    return {each.offer_id: each.reason for each in choice.dropped}


def chosen(choice: Choice) -> list[str]:
    return [each.offer_id for each in choice.chosen]


def test_the_best_offers_win_in_order_and_the_others_are_told_why() -> None:
    choice = choose(
        inputs(candidate("c", 0.7), candidate("a", 0.9), candidate("b", 0.8), candidate("d", 0.1))
    )
    assert chosen(choice) == ["a", "b"]
    assert reasons(choice) == {"c": "outranked", "d": "below_silence"}
    assert choice.silence is None
    assert choice.probability == 1.0


def test_a_coupon_of_two_campaigns_is_offered_once_by_the_better_one() -> None:
    choice = choose(
        inputs(
            candidate("1-77", 0.8, coupon_upc="77"),
            candidate("2-77", 0.9, coupon_upc="77"),
            candidate("2-78", 0.7, coupon_upc="78"),
            candidate("no coupon", 0.6),
            candidate("none either", 0.55),
        )
    )
    assert chosen(choice) == ["2-77", "2-78"]
    assert reasons(choice) == {"1-77": "same_coupon", "no coupon": "outranked", "none either": "outranked"}


def test_equal_scores_are_ordered_by_offer_id() -> None:
    choice = choose(inputs(candidate("z", 0.9), candidate("a", 0.9), candidate("m", 0.9)))
    assert chosen(choice) == ["a", "m"]


def test_an_offer_that_equals_silence_is_said_and_one_below_is_not() -> None:
    assert chosen(choose(inputs(candidate("a", 0.5)))) == ["a"]
    quiet = choose(inputs(candidate("a", 0.4999)))
    assert quiet.silence is not None
    assert quiet.silence.reason == "below_threshold"
    assert "0.4999" in quiet.silence.message
    assert reasons(quiet) == {"a": "below_silence"}


def test_the_caller_may_ask_for_fewer_but_not_for_more_than_the_placement_shows() -> None:
    offers = [candidate(name, 0.9) for name in "abc"]
    fewer = Ask(customer_id="household:1", placement="homepage", count=1)
    more = Ask(customer_id="household:1", placement="homepage", count=20)
    assert chosen(choose(inputs(*offers, ask=fewer))) == ["a"]
    assert chosen(choose(inputs(*offers, ask=more))) == ["a", "b"]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"starts_at": NOW + timedelta(seconds=1)}, "not_started"),
        ({"ends_at": NOW}, "ended"),
        ({"kind": "up_sell"}, "kind_not_allowed"),
        ({"label": None}, "offer_unknown"),
        ({"ends_at": None}, "offer_unknown"),
    ],
)
def test_an_offer_that_may_not_appear_is_dropped_with_its_reason(
    other: dict[str, object], reason: str
) -> None:
    choice = choose(inputs(candidate("bad", 0.99, **other), candidate("good", 0.6)))
    assert chosen(choice) == ["good"]
    assert reasons(choice) == {"bad": reason}


def test_a_window_begins_with_its_first_instant() -> None:
    assert chosen(choose(inputs(candidate("a", 0.9, starts_at=NOW)))) == ["a"]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"is_known": False, "scored_at": None}, "unknown_customer"),
        ({"scored_at": None}, "no_scores"),
        ({"scored_at": NOW - timedelta(hours=48, seconds=1)}, "stale_scores"),
        ({"candidates": ()}, "no_candidates"),
        ({"candidates": (candidate("a", 0.9, ends_at=NOW),)}, "nothing_eligible"),
    ],
)
def test_silence_says_why(other: dict[str, object], reason: str) -> None:
    choice = choose(inputs(candidate("a", 0.9), **other))
    assert choice.silence is not None
    assert choice.silence.reason == reason
    assert choice.chosen == ()


def test_scores_of_exactly_the_allowed_age_are_used() -> None:
    assert chosen(choose(inputs(candidate("a", 0.9), scored_at=NOW - timedelta(hours=48)))) == ["a"]


@given(
    st.lists(
        st.builds(
            candidate,
            st.text("abcdef", min_size=1, max_size=3),
            st.floats(0, 1),
            kind=st.sampled_from(["cross_sell", "up_sell"]),
            ends_at=st.sampled_from([NOW, NOW + DAY]),
        ),
        max_size=12,
        unique_by=lambda each: each.offer_id,
    ),
    st.randoms(),
)
def test_every_candidate_is_accounted_for_once_whatever_their_order(candidates, random) -> None:
    first = choose(inputs(*candidates))
    names = [*chosen(first), *(each.offer_id for each in first.dropped)]
    if candidates:
        assert sorted(names) == sorted(each.offer_id for each in candidates)
    assert (first.silence is None) == bool(first.chosen)
    assert all(each.score >= HOMEPAGE.min_score for each in first.chosen)
    random.shuffle(candidates)
    again = choose(inputs(*candidates))
    assert chosen(again) == chosen(first)
    assert reasons(again) == reasons(first)


def test_inputs_read_back_from_their_json_give_the_same_choice() -> None:
    before = inputs(candidate("a", 0.1 + 0.2), candidate("b", 1e-17), candidate("c", 0.7, kind=None))
    after = Inputs.model_validate_json(before.model_dump_json())
    assert after == before
    assert choose(after) == choose(before)
