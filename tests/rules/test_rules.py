"""Files of rules: the shipped ones are right, and a wrong one is refused in words."""

from pathlib import Path

import pytest

from genome.collector.contracts import CONTRACTS
from genome.errors import UsageError
from genome.rules.rules import Absence, Count, InOrder, Once, moments, segments

PLACES = {"Mall Entered", "Mall Exited", "Store Entered", "Store Exited"}


def test_the_shipped_moments_name_events_that_there_are() -> None:
    rules = moments()
    named = {name for rule in rules for step in rule.pattern.steps for name in step.names}
    assert named <= set(CONTRACTS) | PLACES
    assert {
        "mall_entered",
        "dwelled",
        "left",
        "cart_abandoned",
        "product_out_of_stock",
        "order_completed",
        "complaint_opened",
        "complaint_closed",
    } <= {rule.moment for rule in rules}
    assert {type(rule.pattern) for rule in rules} == {Once, Absence, Count, InOrder}
    cart = next(rule for rule in rules if rule.id == "cart_abandoned")
    assert isinstance(cart.pattern, Absence)
    assert cart.pattern.within == 30 * 60 * 1_000_000


def test_the_shipped_segments_are_conditions_on_traits_and_genes() -> None:
    assert {rule.id for rule in segments()} >= {"own_brand_buyer", "regular"}


RULE = '[[rule]]\nid = "x"\nabout = "y"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rule = 3", ["holds no list of rules", "[[rule]]"]),
        (RULE, ["rule 'x'.on", "None"]),
        (RULE + 'on = { event = "A" }\nwhen = 1', ["'when'", "not known"]),
        (
            RULE + 'on = { event = "A", where = { trait = "n", value = 1 } }',
            ["trait n", "event and property"],
        ),
        (
            RULE + 'on = { after = { event = "A" }, absent = { event = "B" }, within = "a while" }',
            ["'a while'", "30 minutes"],
        ),
        (RULE + 'on = { sequence = [{ event = "A" }], within = "1 hour" }', ["sequence", "two steps"]),
        (
            RULE + 'on = { count = 1, of = { event = "A" }, within = "1 hour" }',
            ["count is 1", "whole number"],
        ),
        (RULE + 'on = { event = "A" }\n' + RULE + 'on = { event = "A" }', ["two rules 'x'"]),
        ("[[rule", ["no TOML"]),
    ],
)
def test_a_wrong_file_is_refused_in_words(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        moments(path)
    assert [word for word in words if word not in str(error.value)] == []


def test_json_says_the_same_as_toml(tmp_path: Path) -> None:
    toml, json = tmp_path / "rules.toml", tmp_path / "rules.json"
    toml.write_text(RULE + 'on = { event = ["A", "B"], where = { property = "n", is = ">", value = 1 } }')
    json.write_text(
        '{"rule": [{"id": "x", "about": "y", "on": {"event": ["A", "B"],'
        ' "where": {"property": "n", "is": ">", "value": 1}}}]}'
    )
    assert moments(toml) == moments(json)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.toml"):
        moments(tmp_path / "nothing.toml")
