"""Direct mail: one row for each household that a campaign was sent to."""

from genome.channels.contract import Column, Connector, Field, Interaction, Kind, Properties

CONNECTOR = Connector(
    name="direct_mail",
    title="Direct mail",
    description="Campaign sends from the mailing house. They are planned ahead, so known when they go out.",
    source_id="direct_mail_sends",
    stream="sends",
    columns=(
        Field("campaign_id", Kind.ID, "The campaign."),
        Field("household_id", Kind.ID, "Who received it."),
        Field("sent_at", Kind.TIMESTAMP, "When the campaign starts for the household."),
        Field("seller_id", Kind.ID, "In whose name it was sent.", required=False),
    ),
    key=("campaign_id", "household_id"),
    becomes=Interaction(
        interaction_type="Campaign Sent",
        occurred_at=Column("sent_at"),
        seller_id=Column("seller_id"),
        customer_key_type="household",
        customer_key=Column("household_id"),
        properties=Properties(("campaign_id",)),
    ),
)
