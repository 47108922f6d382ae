"""What to offer next, why, and what came of it."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response

from genome.api.routes import Service
from genome.api.service import Feedback, RecordedFeedback, Told
from genome.decisions.records import Ask, Decision

router = APIRouter(tags=["decisions"])

DecisionId = Annotated[str, Path(pattern=r"^d_[0-9a-f]{32}$", examples=["d_" + "0" * 32])]


@router.post("/v1/decisions", summary="What to offer this customer in this placement, or silence")
def decide(
    ask: Ask,
    request: Request,
    response: Response,
    service: Service,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="the same key and the same body give the same answer for 24 hours",
        ),
    ] = None,
) -> Decision:
    """Silence is an answer too: `offers` is then empty and `silence` says why.

    Where a store does not answer, the answer is silence with `is_fallback`, and nothing is recorded.
    """
    decision, is_replay = service.decide(ask, caller=request.state.key_id, idempotency_key=idempotency_key)
    if is_replay:
        response.headers["Idempotent-Replay"] = "true"
    outcome = decision.silence.reason if decision.silence else "offered"
    request.app.state.metrics.decisions.labels(decision.placement, outcome).inc()
    return decision


@router.get("/v1/decisions/{decision_id}", summary="A decision from the log, with its feedback")
def decision(decision_id: DecisionId, service: Service) -> Told:
    """`is_reproduced` says whether the logged inputs give the same choice again."""
    return service.decision(decision_id)


@router.post(
    "/v1/decisions/{decision_id}/feedback", status_code=201, summary="What happened to an offer of a decision"
)
def feedback(decision_id: DecisionId, event: Feedback, service: Service) -> RecordedFeedback:
    """Shown, clicked, dismissed or accepted; each call is one more event."""
    return service.give_feedback(decision_id, event)
