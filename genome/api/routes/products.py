"""One product: what it is to others."""

from typing import Annotated

from fastapi import APIRouter, Path

from genome.api.routes import Service
from genome.products.relations import Relations

router = APIRouter(tags=["products"])


@router.get(
    "/v1/products/{product_id}/relations", summary="What goes with it, stands in for it, is a step up"
)
def relations(
    product_id: Annotated[str, Path(min_length=1, max_length=200, description="as in the products feed")],
    service: Service,
) -> Relations:
    """Complements, substitutes and premium versions with support and lift, the best of each kind first."""
    return service.relations(product_id)
