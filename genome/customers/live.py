"""What a customer is doing now, for people and callers: the session, and how much has come since the build."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from genome.features.live import Live


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ViewedProduct(_Frozen):
    """A product that was looked at."""

    product_id: str
    viewed_at: AwareDatetime


class CartProduct(_Frozen):
    """A product in the cart."""

    product_id: str
    quantity: float
    added_at: AwareDatetime


class PlaceNow(_Frozen):
    """Where the customer is."""

    place_id: str = Field(description="the store or place; empty: the mall as a whole")
    kind: str = Field(description="store or mall")
    entered_at: AwareDatetime


class LiveView(_Frozen):
    """What is live about a customer."""

    epoch: str | None = Field(description="the build that the live evidence comes on top of")
    gene_count: int = Field(description="genes that have moved since that build")
    last_evidence_at: AwareDatetime | None = Field(description="the newest piece of evidence since then")
    last_seen_at: AwareDatetime | None = Field(description="the newest thing done")
    viewed: tuple[ViewedProduct, ...] = Field(description="products looked at last, newest first")
    cart: tuple[CartProduct, ...] = Field(description="what lies in the cart, newest first")
    place: PlaceNow | None = Field(description="where the customer is now, as far as we see")

    @staticmethod
    def of(live: Live | None) -> "LiveView | None":
        """The view of what a reader found; None where nothing is live."""
        if live is None:
            return None
        place = live.session.place
        return LiveView(
            epoch=live.epoch,
            gene_count=len(live.deltas),
            last_evidence_at=live.last_at,
            last_seen_at=live.session.last_at,
            viewed=tuple(
                ViewedProduct(product_id=each.product_id, viewed_at=each.at) for each in live.session.viewed
            ),
            cart=tuple(
                CartProduct(product_id=each.product_id, quantity=each.quantity, added_at=each.at)
                for each in live.session.cart
            ),
            place=None
            if place is None
            else PlaceNow(place_id=place.place_id, kind=place.kind, entered_at=place.since),
        )
