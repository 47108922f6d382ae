"""Great Expectations, set up once for a run of the gate. It sees schemas and profiles, never a row of a customer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from expectations.answers import Answer
from expectations.rules import Asked, Bounds, Held, Mean

if TYPE_CHECKING:
    import pandas as pd


class Judge:
    """Says which expectations hold of a small frame."""

    def __init__(self) -> None:
        import logging
        import os
        import warnings

        # Set before the import: it would send usage statistics, and with a root logger configured (as under
        # Airflow) it prints a line for each function that it registers.
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        logging.getLogger("great_expectations").setLevel(logging.WARNING)
        with warnings.catch_warnings():
            # The library's own use of deprecated calls is none of our readers' business.
            warnings.simplefilter("ignore", DeprecationWarning)
            import great_expectations as gx
            from great_expectations.data_context.types.base import ProgressBarsConfig
        self._gx = gx
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_pandas("staged")

    def answers(self, name: str, asked: Sequence[tuple[Asked, Answer | None]]) -> list[bool]:
        """Which rules hold, by their answers. The profile has one row, and a column for each rule.

        Args:
            name: of the table.
            asked: rules with their answers; one without an answer does not hold.
        """
        import pandas as pd

        answered = {number: answer for number, (_, answer) in enumerate(asked) if answer}
        frame = pd.DataFrame(
            {f"rule_{number}": [answer.number] for number, answer in answered.items()}, dtype="float64"
        )
        expectations = [_judged(asked[number][0], f"rule_{number}") for number in answered]
        held = dict(zip(answered, self.frame(name, frame, expectations), strict=True))
        return [held.get(number, False) for number in range(len(asked))]

    def frame(
        self, name: str, frame: "pd.DataFrame", expectations: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> list[bool]:
        """Which expectations hold of a frame.

        Args:
            name: of what the frame is about, another for each call.
            frame: what is judged.
            expectations: type and arguments.
        """
        asset = self._source.add_dataframe_asset(name)
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        suite = self._gx.ExpectationSuite(name=name)
        for number, (expectation, arguments) in enumerate(expectations):
            kind = getattr(
                self._gx.expectations, "".join(part.capitalize() for part in expectation.split("_"))
            )
            suite.add_expectation(kind(**arguments, meta={"number": number}))
        # Without the values that it found (BOOLEAN_ONLY).
        result = batch.validate(suite, result_format="BOOLEAN_ONLY")
        passed = {
            each.expectation_config.meta["number"]: bool(each.success)
            for each in result.results
            if each.expectation_config and each.expectation_config.meta
        }
        # An expectation that could not be computed is missing or failed: either way it did not hold.
        return [passed.get(number, False) for number in range(len(expectations))]


def _judged(rule: Asked, column: str) -> tuple[str, dict[str, Any]]:
    """What to ask about the column of a profile that holds a rule's answer."""
    if isinstance(rule, Held):
        return "expect_column_values_to_be_between", {"column": column, "min_value": rule.mostly}
    if isinstance(rule, Mean):
        # The mean of one row is that row; and no mean, of no values, lies in no bounds.
        return "expect_column_mean_to_be_between", {"column": column, **rule.bounds()}
    if isinstance(rule, Bounds):
        return "expect_column_values_to_be_between", {"column": column, **rule.bounds()}
    raise AssertionError(f"{type(rule).__name__} has no number to judge")
