"""How a request is turned away: a status, a code for programs, a sentence for people.

Tracking clients throw a batch away on a permanent 4xx. So 4xx is for what the sender must change, and
everything that is our own fault is 503 with Retry-After: the client keeps the batch and comes again.
"""

from genome.errors import GenomeError


class Refusal(GenomeError):  # noqa: N818 - an answer, more than an error
    """An answer other than 200.

    Attributes:
        status: of HTTP.
        code: stable name for programs.
        retry_after: seconds; only where trying again helps.
    """

    def __init__(
        self, status: int, code: str, what: str, remedy: str = "", *, retry_after: int | None = None
    ):
        super().__init__(what, remedy)
        self.status = status
        self.code = code
        self.retry_after = retry_after


def unavailable(code: str, what: str, *, retry_after: int = 1) -> Refusal:
    """Our own fault, or our own limit: nothing was lost, come again."""
    return Refusal(503, code, what, "Send the same request again.", retry_after=retry_after)
