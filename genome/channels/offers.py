"""The offers feed: one row for each product that an offer covers."""

from genome.channels.contract import Column, Connector, Feed, Field, Kind

CONNECTOR = Connector(
    name="offers",
    title="Offers",
    description="What may be offered: a coupon within a campaign, the products it covers, and its window.",
    source_id="offers_feed",
    columns=(
        Field("offer_id", Kind.ID, "The offer."),
        Field("campaign_id", Kind.ID, "The campaign it belongs to."),
        Field("campaign_type", Kind.TEXT, "The kind of campaign.", required=False),
        Field("coupon_upc", Kind.ID, "The code printed on the coupon.", required=False),
        Field(
            "kind",
            Kind.TEXT,
            "What the offer does: cross_sell, up_sell, substitute …",
            required=False,
            default="cross_sell",
            pattern="[a-z_]+",
        ),
        Field("product_id", Kind.ID, "One product it covers."),
        Field("seller_id", Kind.ID, "Whose offer it is.", required=False),
        Field("discount", Kind.NUMBER, "The share taken off the price, 0 to 1.", required=False, minimum=0),
        Field("starts_at", Kind.TIMESTAMP, "From when on it can be redeemed."),
        Field("ends_at", Kind.TIMESTAMP, "The first instant at which it no longer can."),
        Field("announced_at", Kind.TIMESTAMP, "When the feed brought it.", required=False),
    ),
    # A changed offer is announced again: the announcement tells its versions apart.
    key=("offer_id", "product_id", "announced_at"),
    becomes=Feed(known_at=Column("announced_at"), assumed_known_at=Column("starts_at")),
)
