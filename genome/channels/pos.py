"""Point of sale: one row for each line of a till receipt, and one for each line that was brought back."""

from genome.channels.contract import Column, Connector, Field, Interaction, Key, Kind, Properties

_CURRENCY = Field(
    "currency",
    Kind.TEXT,
    "ISO 4217 code of the amounts.",
    required=False,
    default="USD",
    pattern="[A-Z]{3}",
)
_WHO = (
    Field("household_id", Kind.ID, "The household of the loyalty card that was shown.", required=False),
    Field("card_id", Kind.ID, "The loyalty card; `TILL-…` is the till's own.", required=False),
    Field("payment_token", Kind.ID, "The payment card, as the acquirer names it.", required=False),
    Field("seller_id", Kind.ID, "Whose till it was.", required=False),
)
_TILL_CARD = "TILL-.*"
"""Cashiers use the till's own card for people who have none: it is everybody's and nobody's."""

_FURTHER_KEYS = (
    # The card is a person's; its household is several persons', and all there is where a source names no card.
    Key("household", Column("household_id")),
    Key("payment_token", Column("payment_token")),
    Key("receipt", Column("transaction_id"), is_last_resort=True),
)

_RETURNS = Connector(
    name="pos",
    title="Returns",
    description="Lines of receipts that were brought back, as the till booked them.",
    source_id="pos_returns",
    stream="returns",
    columns=(
        Field("return_id", Kind.ID, "The return."),
        Field("transaction_id", Kind.ID, "The receipt of the line that came back."),
        Field("line_number", Kind.INTEGER, "The line within that receipt.", required=False, minimum=1),
        Field("store_id", Kind.ID, "Where it was brought back."),
        Field("sold_at", Kind.TIMESTAMP, "When the line was sold.", required=False),
        Field("returned_at", Kind.TIMESTAMP, "When it came back."),
        *_WHO,
        Field("product_id", Kind.ID, "What came back."),
        Field("quantity", Kind.NUMBER, "Units that came back.", minimum=0),
        Field("amount", Kind.MONEY, "What the customer got back.", minimum=0),
        _CURRENCY,
        Field("reason", Kind.TEXT, "Why: quality, size, changed_mind …", required=False),
    ),
    key=("return_id",),
    becomes=Interaction(
        interaction_type="Order Refunded",
        occurred_at=Column("returned_at"),
        original_at=Column("sold_at"),
        session_id=Column("transaction_id"),
        seller_id=Column("seller_id"),
        customer_key_type="loyalty_card",
        customer_key=Column("card_id"),
        customer_key_unless=_TILL_CARD,
        further_keys=_FURTHER_KEYS,
        product_id=Column("product_id"),
        store_id=Column("store_id"),
        quantity=Column("quantity"),
        amount=Column("amount"),
        currency=Column("currency"),
        properties=Properties(("line_number", "reason")),
    ),
)

CONNECTOR = Connector(
    name="pos",
    title="Point of sale",
    description=(
        "Lines of till receipts. Tills post as they sell, so a line is known when it happens. A receipt of "
        "nobody known stands for itself."
    ),
    source_id="pos_lines",
    stream="lines",
    columns=(
        Field("transaction_id", Kind.ID, "The receipt; lines of one receipt share it."),
        Field("line_number", Kind.INTEGER, "The line within the receipt, from 1.", minimum=1),
        Field("store_id", Kind.ID, "The store whose till it was."),
        Field("sold_at", Kind.TIMESTAMP, "When the till closed the receipt."),
        *_WHO,
        Field("product_id", Kind.ID, "What was sold."),
        Field(
            "quantity",
            Kind.NUMBER,
            "Units, or the measure of goods sold by it (fuel); 0 is a line without goods.",
            minimum=0,
        ),
        Field("amount", Kind.MONEY, "What the customer paid for the line.", minimum=0),
        Field("retail_discount", Kind.MONEY, "Taken off by the loyalty card.", required=False, default="0"),
        Field("coupon_discount", Kind.MONEY, "Taken off by the maker's coupon.", required=False, default="0"),
        Field(
            "coupon_match_discount",
            Kind.MONEY,
            "Added by the retailer to match a coupon.",
            required=False,
            default="0",
        ),
        _CURRENCY,
    ),
    key=("transaction_id", "line_number"),
    becomes=Interaction(
        interaction_type="Order Completed",
        occurred_at=Column("sold_at"),
        session_id=Column("transaction_id"),
        customer_key_type="loyalty_card",
        customer_key=Column("card_id"),
        customer_key_unless=_TILL_CARD,
        further_keys=_FURTHER_KEYS,
        seller_id=Column("seller_id"),
        product_id=Column("product_id"),
        store_id=Column("store_id"),
        quantity=Column("quantity"),
        amount=Column("amount"),
        currency=Column("currency"),
        properties=Properties(("line_number", "retail_discount", "coupon_discount", "coupon_match_discount")),
    ),
    others=(_RETURNS,),
)
