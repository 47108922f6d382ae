"""Online features, as an ML model reads them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from genome.api.routes import Service
from genome.customers.live import LiveView
from genome.features.online import OnlineRow, OnlineRows

router = APIRouter(tags=["features"])

ServiceName = Annotated[
    str, Path(min_length=1, max_length=100, description="a feature service", examples=["customer_genome_v1"])
]


class Customers(BaseModel):
    """Whose features are wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer_ids: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        min_length=1, max_length=1000
    )


class CustomerFeatures(BaseModel):
    """The features of one customer. A null value is missing where its view is, and else known to be null."""

    requested_id: str = Field(description="as it was asked for: a customer id, or any of the source keys")
    customer_id: str = Field(description="whom it stands for")
    is_known: bool = Field(description="whether any view has a row of this customer")
    features: Mapping[str, Any]
    valid_at: Mapping[str, datetime | None] = Field(description="by view: the instant its row is valid from")
    stale: Sequence[str] = Field(description="views whose row is older than they allow")
    missing: Sequence[str] = Field(description="views without a row of this customer")
    live: LiveView | None = Field(
        None, description="what has happened since the build; its evidence is in the features already"
    )


class Answer(BaseModel):
    """Features, with the versions they come from."""

    service: str
    feature_hash: str = Field(description="of the service's feature list, as training logged it")
    epochs: Mapping[str, str] = Field(description="by view: the publication that was loaded")
    customers: Sequence[CustomerFeatures]


@router.get("/v1/features/{service}", summary="The features of one customer")
def one(
    service: ServiceName, genome: Service, customer_id: Annotated[str, Query(min_length=1, max_length=200)]
) -> Answer:
    """Nulls, missing rows and stale rows are told apart."""
    return _answer(genome.features(service, [customer_id]))


@router.post("/v1/features/{service}", summary="The features of many customers")
def many(service: ServiceName, genome: Service, wanted: Customers) -> Answer:
    """In the order asked."""
    return _answer(genome.features(service, wanted.customer_ids))


def _answer(rows: OnlineRows) -> Answer:
    return Answer(
        service=rows.service,
        feature_hash=rows.feature_hash,
        epochs=rows.epochs,
        customers=[_customer(row) for row in rows.rows],
    )


def _customer(row: OnlineRow) -> CustomerFeatures:
    return CustomerFeatures(
        requested_id=row.id,
        customer_id=row.customer_id,
        is_known=row.is_known,
        features=row.jsonable(),
        valid_at=row.event_at,
        stale=row.stale,
        missing=row.missing,
        live=LiveView.of(row.live),
    )
