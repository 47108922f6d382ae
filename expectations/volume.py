"""How many rows a table may have, after how many it had: a build that lost half of them is caught here."""

from expectations.answers import Answer
from expectations.suite import Rule, Volume


def asked(volume: Volume, rows: int, rows_before: int | None) -> tuple[Rule, Answer]:
    """The rule about a table's volume, and its answer.

    Args:
        volume: what the table's suite allows.
        rows: of the whole table, as readers will see it.
        rows_before: of the version that they see now; None before the first one.
    """
    least = volume.at_least
    if rows_before is not None:
        least = max(least, int(rows_before * (1 - volume.shrink_at_most)))
    rule = Rule(
        type="expect_table_row_count_to_be_between",
        kwargs={"min_value": least},
        why=f"a table does not lose more than {volume.shrink_at_most:.0%} of its rows in one step",
    )
    return rule, Answer.of_number(rows, rows)
