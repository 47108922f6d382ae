"""The stock feed: one row for each time a product ran out in a store, or came back."""

from genome.channels.contract import Column, Connector, Feed, Field, Kind

CONNECTOR = Connector(
    name="stock",
    title="Stock",
    description="Changes only: a product without a row is in stock.",
    source_id="stock_feed",
    columns=(
        Field("store_id", Kind.ID, "The store."),
        Field("product_id", Kind.ID, "The product."),
        Field("seller_id", Kind.ID, "Whose store it is.", required=False),
        Field("state", Kind.TEXT, "Out of stock, or in again.", one_of=("out", "in")),
        Field("changed_at", Kind.TIMESTAMP, "From when on."),
    ),
    key=("store_id", "product_id", "changed_at"),
    becomes=Feed(assumed_known_at=Column("changed_at")),
)
