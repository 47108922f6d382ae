"""One customer: who, what the genome says, what was decided; a page for the service agent."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import AwareDatetime, BaseModel, Field

from genome.api.routes import CustomerId, Service
from genome.api.service import NotFoundError
from genome.customers.history import PastGenome, Why
from genome.customers.page import SECURITY, not_found_page
from genome.customers.view import GenomeView
from genome.decisions.records import Decision
from genome.identity.decisions import Decision as AboutIdentity
from genome.identity.decisions import merge as merge_keys
from genome.identity.decisions import unmerge as unmerge_keys

router = APIRouter(tags=["customers"])

AsOf = Annotated[
    AwareDatetime | None, Query(description="valid time, with an offset: what had happened before it")
]
KnownAt = Annotated[
    AwareDatetime | None, Query(description="known time, with an offset: what was known before it")
]


class Found(BaseModel):
    """Customers that an identifier stands for."""

    identifier: str
    customer_ids: Sequence[str]


class Segment(BaseModel):
    """One segment."""

    id: str
    about: str


class Segments(BaseModel):
    """The segments that describe a customer."""

    customer_id: str
    segments: Sequence[Segment]


class Decisions(BaseModel):
    """A customer's decisions."""

    customer_id: str
    decisions: Sequence[Decision]


class Other(BaseModel):
    """Whom a customer is one with, or no longer."""

    other: str = Field(
        min_length=1, max_length=200, description="another customer, or a source key", examples=["user:u1"]
    )
    by: str = Field(default="", max_length=100, description="who decides; the API key is noted besides")
    reason: str = Field(default="", max_length=1_000, description="why, in their words")


class Decided(BaseModel):
    """A decision about who is who; it counts from the next build on."""

    decision_id: str
    is_merge: bool
    one: str
    other: str
    by: str
    reason: str
    decided_at: AwareDatetime


@router.get(
    "/v1/customers",
    summary="Which customer an identifier stands for",
    response_model=Found,
    responses={200: {"content": {"text/html": {}}}, 303: {"description": "a browser is taken to the page"}},
)
def find(
    request: Request, service: Service, identifier: Annotated[str, Query(min_length=1, max_length=200)]
) -> Response:
    """A source key such as household:1, the part after its colon, an e-mail address or a telephone number with +.

    A browser is taken to the page.
    """
    found = service.find(identifier.strip())
    if "text/html" in request.headers.get("accept", ""):
        if len(found) == 1:
            return RedirectResponse(f"/v1/customers/{quote(found[0], safe=':')}", status_code=303)
        return HTMLResponse(not_found_page(found), status_code=200 if found else 404, headers=SECURITY)
    return JSONResponse(Found(identifier=identifier, customer_ids=found).model_dump())


@router.get(
    "/v1/customers/{customer_id}", response_class=HTMLResponse, summary="One page for the service agent"
)
def page(customer_id: CustomerId, service: Service) -> HTMLResponse:
    """The genome in bars and words, and the next best offers with the reason. It records no decision."""
    try:
        return HTMLResponse(service.page(customer_id), headers=SECURITY)
    except NotFoundError:
        return HTMLResponse(not_found_page([]), status_code=404, headers=SECURITY)


@router.get("/v1/customers/{customer_id}/genome", summary="The genome, strongest genes first")
def genome(
    customer_id: CustomerId, service: Service, as_of: AsOf = None, known_at: KnownAt = None
) -> GenomeView | PastGenome:
    """By locus, with labels; what is singular about this customer; traits as values and in words.

    With `as_of` or `known_at`: the genes at that time, as they were known then, computed from the history.
    """
    if as_of is None and known_at is None:
        return service.genome(customer_id)
    return service.past_genome(customer_id, as_of=as_of, known_at=known_at)


@router.get("/v1/customers/{customer_id}/why", summary="The interactions behind an affinity")
def why(
    customer_id: CustomerId,
    service: Service,
    gene_id: Annotated[
        str, Query(min_length=3, max_length=200, description="<locus>:<allele>", examples=["category:YOGURT"])
    ],
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Why:
    """What is left of each piece of evidence; the pieces add up to the affinity."""
    return service.why(customer_id, gene_id, as_of=as_of, known_at=known_at)


@router.get("/v1/customers/{customer_id}/segments", summary="The segments that describe a customer now")
def segments(customer_id: CustomerId, service: Service) -> Segments:
    """By the rules in force, over traits and genes; the genes include what has just happened."""
    known, found = service.segments(customer_id)
    return Segments(customer_id=known, segments=[Segment(id=each.id, about=each.about) for each in found])


@router.get("/v1/customers/{customer_id}/decisions", summary="The newest decisions about a customer")
def decisions(
    customer_id: CustomerId, service: Service, count: Annotated[int, Query(ge=1, le=200)] = 20
) -> Decisions:
    """Newest first."""
    return Decisions(customer_id=customer_id, decisions=service.decisions_of(customer_id, count))


@router.post(
    "/v1/customers/{customer_id}/merge",
    status_code=201,
    summary="Two customers are one person, says a person",
)
def merge(customer_id: CustomerId, said: Other, request: Request) -> Decided:
    """Kept as an event with who and why; the next build follows it. It can be taken back."""
    return _decided(request, merge_keys, customer_id, said)


@router.post(
    "/v1/customers/{customer_id}/unmerge",
    status_code=201,
    summary="Two keys are not one person, says a person",
)
def unmerge(customer_id: CustomerId, said: Other, request: Request) -> Decided:
    """Takes a merge back; where rules made them one, takes the other key out of the customer."""
    return _decided(request, unmerge_keys, customer_id, said)


def _decided(request: Request, act: Callable[..., AboutIdentity], customer_id: str, said: Other) -> Decided:
    by = f"{said.by} ({request.state.key_id})" if said.by else request.state.key_id
    done = act(request.app.state.settings, customer_id, said.other, by=by, reason=said.reason)
    return Decided(**asdict(done))
