"""Arbitration: which of the offers that may appear, or none.

Silence is a candidate like the others. Its score is the placement's `min_score`; what it beats is not said.
"""

from datetime import timedelta

from genome.decisions.eligibility import eligible
from genome.decisions.records import Candidate, Choice, Dropped, Inputs, Silence, SilenceReason


def choose(inputs: Inputs) -> Choice:
    """Choose the best offers for a placement, or silence. The same inputs give the same choice.

    Equal scores are ordered by `offer_id`; an offer that equals silence's score is ahead of it.
    """
    early = _nothing_to_choose_from(inputs)
    if early is not None:
        return Choice(chosen=(), silence=early, dropped=(), probability=1.0)
    placement = inputs.placement
    kept, dropped = eligible(inputs.candidates, placement, inputs.now)
    ranking = sorted(kept, key=lambda candidate: (-candidate.score, candidate.offer_id))
    ranking, twins = _without_twins(ranking)
    dropped += twins
    ahead = [candidate for candidate in ranking if candidate.score >= placement.min_score]
    count = min(placement.count, inputs.ask.count or placement.count)
    chosen = tuple(ahead[:count])
    dropped += tuple(
        _dropped(candidate, "outranked", f"'{placement.placement}' shows {count}, and others score higher.")
        for candidate in ahead[count:]
    )
    dropped += tuple(
        _dropped(
            candidate,
            "below_silence",
            f"Its score {candidate.score:.4g} is below {placement.min_score:.4g}, the score of silence here.",
        )
        for candidate in ranking[len(ahead) :]
    )
    silence = None
    if not kept:
        silence = _silence("nothing_eligible", "None of the offers scored for this customer may appear here.")
    elif not chosen:
        silence = _silence(
            "below_threshold",
            f"The best offer scores {ranking[0].score:.4g}; '{placement.placement}' speaks from "
            f"{placement.min_score:.4g}.",
        )
    return Choice(chosen=chosen, silence=silence, dropped=dropped, probability=1.0)


def _without_twins(ranking: list[Candidate]) -> tuple[list[Candidate], tuple[Dropped, ...]]:
    """One offer for each coupon, the best: a coupon of two live campaigns is one thing to a person."""
    best: dict[str, Candidate] = {}
    kept, twins = [], []
    for candidate in ranking:
        twin = best.setdefault(candidate.coupon_upc, candidate) if candidate.coupon_upc else candidate
        if twin is candidate:
            kept.append(candidate)
        else:
            twins.append(
                _dropped(candidate, "same_coupon", f"'{twin.offer_id}' is the same coupon, and no worse.")
            )
    return kept, tuple(twins)


def _nothing_to_choose_from(inputs: Inputs) -> Silence | None:
    if not inputs.is_known:
        return _silence("unknown_customer", "Nobody of this id is known.")
    if inputs.scored_at is None:
        return _silence("no_scores", "No ML model has scored offers for this customer yet.")
    age = inputs.now - inputs.scored_at
    if age > timedelta(hours=inputs.placement.max_age_hours):
        return _silence(
            "stale_scores",
            f"The scores are {age / timedelta(hours=1):,.0f} hours old; '{inputs.placement.placement}' takes "
            f"{inputs.placement.max_age_hours:,.0f} at most.",
        )
    if not inputs.candidates:
        return _silence("no_candidates", "No offer is live for this customer.")
    return None


def _silence(reason: SilenceReason, message: str) -> Silence:
    return Silence(reason=reason, message=message)


def _dropped(candidate: Candidate, reason: str, message: str) -> Dropped:
    return Dropped.model_validate(
        {"offer_id": candidate.offer_id, "score": candidate.score, "reason": reason, "message": message}
    )
