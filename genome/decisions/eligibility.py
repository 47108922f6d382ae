"""Eligibility: may this offer appear here and now? Later rules (consent, caps) join this list."""

from collections.abc import Callable, Iterable
from datetime import datetime

from genome.decisions.placements import Placement
from genome.decisions.records import Candidate, Dropped, DropReason

Refusal = tuple[DropReason, str]
Rule = Callable[[Candidate, Placement, datetime], Refusal | None]


def _is_described(candidate: Candidate, _: Placement, __: datetime) -> Refusal | None:
    if None in (candidate.label, candidate.kind, candidate.starts_at, candidate.ends_at):
        return "offer_unknown", "It was scored, but the online store no longer describes it."
    return None


def _is_live(candidate: Candidate, _: Placement, now: datetime) -> Refusal | None:
    if candidate.starts_at is not None and now < candidate.starts_at:
        return "not_started", f"It starts at {candidate.starts_at.isoformat()}."
    if candidate.ends_at is not None and now >= candidate.ends_at:
        return "ended", f"It ended at {candidate.ends_at.isoformat()}."
    return None


def _is_of_an_allowed_kind(candidate: Candidate, placement: Placement, _: datetime) -> Refusal | None:
    if candidate.kind not in placement.kinds:
        return (
            "kind_not_allowed",
            f"'{placement.placement}' takes {', '.join(placement.kinds)}, and this is {candidate.kind}.",
        )
    return None


RULES: tuple[Rule, ...] = (_is_described, _is_live, _is_of_an_allowed_kind)
"""In this order; the first refusal is the one that is reported."""


def eligible(
    candidates: Iterable[Candidate], placement: Placement, now: datetime
) -> tuple[tuple[Candidate, ...], tuple[Dropped, ...]]:
    """Split candidates into those that may appear and those that may not, with the reason."""
    kept, dropped = [], []
    for candidate in candidates:
        refusal = next((found for rule in RULES if (found := rule(candidate, placement, now))), None)
        if refusal is None:
            kept.append(candidate)
        else:
            reason, message = refusal
            dropped.append(
                Dropped(offer_id=candidate.offer_id, score=candidate.score, reason=reason, message=message)
            )
    return tuple(kept), tuple(dropped)
