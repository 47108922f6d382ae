"""Loyalty: one row for each coupon that a household redeemed, and one for each entry of a card's points."""

from genome.channels.contract import Column, Connector, Field, Interaction, Key, Kind, Midnight, Properties

_POINTS = Connector(
    name="loyalty",
    title="Loyalty points",
    description="Entries of a card's account: points earned and spent, and changes of tier. Booked at night.",
    source_id="loyalty_points",
    stream="points",
    columns=(
        Field("entry_id", Kind.ID, "The entry."),
        Field(
            "event",
            Kind.TEXT,
            "What was booked.",
            one_of=("Points Earned", "Points Spent", "Tier Changed"),
        ),
        Field("booked_at", Kind.TIMESTAMP, "When it counts from."),
        Field("card_id", Kind.ID, "The card."),
        Field("household_id", Kind.ID, "The household of the card.", required=False),
        Field("transaction_id", Kind.ID, "The receipt that it comes from.", required=False),
        Field("points", Kind.INTEGER, "Points, negative where they were spent.", required=False),
        Field("balance", Kind.INTEGER, "What the card holds after it.", required=False),
        Field("tier", Kind.TEXT, "The card's tier after it.", required=False),
    ),
    key=("entry_id",),
    becomes=Interaction(
        interaction_type=Column("event"),
        occurred_at=Column("booked_at"),
        session_id=Column("transaction_id"),
        customer_key_type="loyalty_card",
        customer_key=Column("card_id"),
        further_keys=(Key("household", Column("household_id")),),
        properties=Properties(("points", "balance", "tier")),
    ),
)

CONNECTOR = Connector(
    name="loyalty",
    title="Loyalty programme",
    description=(
        "Coupon redemptions. The source gives the day and no time: the event lies at the day's start and is "
        "known from the next midnight on, so that nothing of a day is used within it."
    ),
    source_id="loyalty_redemptions",
    stream="redemptions",
    columns=(
        Field("redemption_id", Kind.ID, "The redemption; two of one coupon on one day are two."),
        Field("household_id", Kind.ID, "Who redeemed it.", required=False),
        Field("offer_id", Kind.ID, "The offer: a coupon within a campaign."),
        Field("campaign_id", Kind.ID, "The campaign that brought the coupon."),
        Field("coupon_upc", Kind.ID, "The code printed on the coupon."),
        Field("redeemed_at", Kind.DATE, "The day, by the store's clock."),
        Field("card_id", Kind.ID, "The card that was shown.", required=False),
        Field("seller_id", Kind.ID, "Whose offer it was.", required=False),
    ),
    key=("redemption_id",),
    becomes=Interaction(
        interaction_type="Coupon Applied",
        occurred_at=Midnight(Column("redeemed_at")),
        known_at=Midnight(Column("redeemed_at"), plus_days=1),
        seller_id=Column("seller_id"),
        customer_key_type="loyalty_card",
        customer_key=Column("card_id"),
        customer_key_unless="TILL-.*",
        further_keys=(Key("household", Column("household_id")),),
        offer_id=Column("offer_id"),
        properties=Properties(("campaign_id", "coupon_upc")),
    ),
    others=(_POINTS,),
)
