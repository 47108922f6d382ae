"""The prices feed: one row for each price of a product and the time it holds."""

from genome.channels.contract import Column, Connector, Feed, Field, Kind

CONNECTOR = Connector(
    name="prices",
    title="Prices",
    description="List prices, and lower ones of a shelf or a day of promotion, each with its time.",
    source_id="prices_feed",
    columns=(
        Field("product_id", Kind.ID, "The product."),
        Field("seller_id", Kind.ID, "Who sells it.", required=False),
        Field("price", Kind.MONEY, "Of one unit.", minimum=0),
        Field("reason", Kind.TEXT, "Why it is this price.", one_of=("list", "shelf", "promotion_day")),
        Field("valid_from", Kind.TIMESTAMP, "From when on it holds."),
        Field("valid_to", Kind.TIMESTAMP, "The first instant at which it no longer does.", required=False),
    ),
    key=("product_id", "seller_id", "reason", "valid_from"),
    becomes=Feed(assumed_known_at=Column("valid_from")),
)
