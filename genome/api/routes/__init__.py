"""The routes by subject; each file is one router, and can be served alone."""

from typing import Annotated

from fastapi import Depends, Path, Request

from genome.api.service import GenomeService


def _service(request: Request) -> GenomeService:
    service: GenomeService = request.app.state.service
    return service


Service = Annotated[GenomeService, Depends(_service)]

CustomerId = Annotated[
    str, Path(min_length=1, max_length=200, description="as in `dim_customers`", examples=["household:1"])
]
