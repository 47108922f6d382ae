"""One customer: who, what the genome says, what was decided; a page for the service agent."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel

from genome import clock
from genome.api.log import StoreUnavailableError
from genome.api.routes import CustomerId, Service
from genome.api.service import NotFoundError
from genome.customers.page import SECURITY, customer_page, not_found_page
from genome.customers.view import GenomeView
from genome.decisions.records import Ask, Decision

router = APIRouter(tags=["customers"])


class Found(BaseModel):
    """Customers that an identifier stands for."""

    identifier: str
    customer_ids: Sequence[str]


class Decisions(BaseModel):
    """A customer's decisions."""

    customer_id: str
    decisions: Sequence[Decision]


@router.get(
    "/v1/customers",
    summary="Which customer an identifier stands for",
    response_model=Found,
    responses={200: {"content": {"text/html": {}}}, 303: {"description": "a browser is taken to the page"}},
)
def find(
    request: Request, service: Service, identifier: Annotated[str, Query(min_length=1, max_length=200)]
) -> Response:
    """A source key such as household:1, or the part after its colon. A browser is taken to the page."""
    found = service.find(identifier.strip())
    if "text/html" in request.headers.get("accept", ""):
        if len(found) == 1:
            return RedirectResponse(f"/v1/customers/{quote(found[0], safe=':')}", status_code=303)
        return HTMLResponse(not_found_page(found), status_code=200 if found else 404, headers=SECURITY)
    return JSONResponse(Found(identifier=identifier, customer_ids=found).model_dump())


@router.get(
    "/v1/customers/{customer_id}", response_class=HTMLResponse, summary="One page for the service agent"
)
def page(customer_id: CustomerId, request: Request, service: Service) -> HTMLResponse:
    """The genome in bars and words, and the next best offers with the reason. It records no decision."""
    try:
        genome = service.genome(customer_id)
    except NotFoundError:
        return HTMLResponse(not_found_page([]), status_code=404, headers=SECURITY)
    decision = service.preview(Ask(customer_id=customer_id, placement="service_desk"))
    try:
        history = service.decisions_of(customer_id, 5)
    except StoreUnavailableError:
        history = []  # the page is worth having without it
    now = clock.now(request.app.state.settings)
    return HTMLResponse(customer_page(genome, decision, history, now), headers=SECURITY)


@router.get("/v1/customers/{customer_id}/genome", summary="The genome, strongest genes first")
def genome(customer_id: CustomerId, service: Service) -> GenomeView:
    """By locus, with labels; what is singular about this customer; traits as values and in words."""
    return service.genome(customer_id)


@router.get("/v1/customers/{customer_id}/decisions", summary="The newest decisions about a customer")
def decisions(
    customer_id: CustomerId, service: Service, count: Annotated[int, Query(ge=1, le=200)] = 20
) -> Decisions:
    """Newest first."""
    return Decisions(customer_id=customer_id, decisions=service.decisions_of(customer_id, count))
