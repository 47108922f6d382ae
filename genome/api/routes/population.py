"""Population: how a gene is distributed over customers."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from genome.api.routes import Service
from genome.customers.page import SECURITY, population_page
from genome.customers.population import Distribution

router = APIRouter(tags=["population"])


@router.get(
    "/v1/population",
    summary="How a gene is distributed over customers",
    response_model=Distribution,
    responses={200: {"content": {"text/html": {}}}},
)
def population(
    request: Request,
    service: Service,
    gene_id: Annotated[
        str, Query(min_length=3, max_length=200, description="<locus>:<allele>", examples=["category:YOGURT"])
    ],
) -> Response:
    """Customers and confidence by band of the share, and its quantiles. A browser gets a page with a picture."""
    found = service.population(gene_id)
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(population_page(found), headers=SECURITY)
    return JSONResponse(found.model_dump(mode="json"))
