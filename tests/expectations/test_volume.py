"""A table may shrink a little, and not below what its suite says."""

import pytest

from expectations import volume
from expectations.suite import Volume


@pytest.mark.parametrize(
    ("allowed", "rows_before", "least"),
    [
        (Volume(), None, 0),
        (Volume(at_least=7), None, 7),
        (Volume(), 1000, 800),
        (Volume(shrink_at_most=0.05), 1000, 950),
        (Volume(at_least=900), 1000, 900),
        (Volume(shrink_at_most=1), 1000, 0),
    ],
)
def test_the_least_number_of_rows_follows_the_version_before(
    allowed: Volume, rows_before: int | None, least: int
) -> None:
    rule, answer = volume.asked(allowed, 812, rows_before)
    assert rule.kwargs == {"min_value": least}
    assert (answer.counted, answer.broken, answer.number) == (812, None, 812)
