"""Errors that say what to do next."""


class GenomeError(Exception):
    """Something went wrong that a person can mend: what, with which value, and the remedy.

    Attributes:
        what: the field, file or component at fault, with the value that was found.
        remedy: what to do next, as one sentence.
    """

    exit_status = 1

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} {remedy}".strip())
        self.what = what
        self.remedy = remedy


class UsageError(GenomeError):
    """The call itself was wrong (exit status 2)."""

    exit_status = 2


class UnavailableError(GenomeError):
    """Something this needs did not answer; trying again later may help (tasks do so by themselves)."""
