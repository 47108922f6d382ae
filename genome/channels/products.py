"""The products feed: one row for each version of a product."""

from genome.channels.contract import Column, Connector, Feed, Field, Kind

CONNECTOR = Connector(
    name="products",
    title="Products",
    description="The catalogue: the attributes that product DNA is made of, each version from its day on.",
    source_id="products_feed",
    columns=(
        Field("product_id", Kind.ID, "The product."),
        Field("department", Kind.TEXT, "The widest group.", required=False),
        Field("category", Kind.TEXT, "The group that shoppers compare within.", required=False),
        Field("product_type", Kind.TEXT, "The narrowest group.", required=False),
        Field("brand_id", Kind.ID, "The maker or the brand.", required=False),
        Field("brand_type", Kind.TEXT, "National or Private.", required=False, pattern="National|Private"),
        Field("package_size", Kind.TEXT, "As printed: `16 OZ`, `6 CT` …", required=False),
        Field("seller_id", Kind.ID, "Who sells it.", required=False),
        Field("price", Kind.MONEY, "The list price when these attributes began.", required=False, minimum=0),
        Field("label", Kind.TEXT, "What people call it.", required=False),
        Field("retired_at", Kind.TIMESTAMP, "From when on it is no longer sold.", required=False),
        Field("valid_from", Kind.TIMESTAMP, "From when on these attributes hold."),
    ),
    key=("product_id", "valid_from"),
    becomes=Feed(assumed_known_at=Column("valid_from")),
)
