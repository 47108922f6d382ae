"""Placements are data, and bad data is an error that names the place."""

import pytest

from genome.decisions.placements import packaged, parse

GOOD = """
[homepage]
description = "tiles"
channels = ["web"]
kinds = ["cross_sell"]
count = 3
min_score = 0.1
max_age_hours = 24
"""


def test_the_packaged_placements_are_valid_and_have_the_four_of_the_demo() -> None:
    assert {"homepage", "email_weekly", "service_desk", "exit_intent"} <= set(packaged().names)
    assert all(each.description.strip() for each in packaged().by_name.values())


def test_the_version_changes_with_the_text() -> None:
    assert parse(GOOD).version != parse(GOOD.replace("0.1", "0.2")).version
    assert parse(GOOD).version == parse(GOOD).version


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("count = 3", "count = 0", "count"),
        ("count = 3", "count = 3\nsurprise = 1", "surprise"),
        ('kinds = ["cross_sell"]', 'kinds = ["crosssell"]', "kinds.0"),
        ('channels = ["web"]', "channels = []", "channels"),
        ("min_score = 0.1", "min_score = -1", "min_score"),
        ("max_age_hours = 24\n", "", "max_age_hours"),
        ("[homepage]", "[Home-Page]", "placement"),
    ],
)
def test_a_fault_names_the_placement_and_the_field(old: str, new: str, field: str) -> None:
    with pytest.raises(ValueError, match=rf"\[(homepage|Home-Page)\] {field}"):
        parse(GOOD.replace(old, new))


def test_a_value_in_place_of_a_table_is_a_fault() -> None:
    with pytest.raises(ValueError, match="homepage"):
        parse("homepage = 3")


def test_no_placement_at_all_is_a_fault() -> None:
    with pytest.raises(ValueError, match="no placement"):
        parse("")
