"""E-mail: one row for each thing that became of a message, as the delivery provider reports it."""

from genome.channels.contract import (
    Column,
    Connector,
    Field,
    Interaction,
    Kind,
    Personal,
    Properties,
)

CONNECTOR = Connector(
    name="email",
    title="E-mail",
    description="What became of each message: delivered, bounced, opened, clicked, marked as spam …",
    source_id="email_events",
    stream="events",
    columns=(
        Field("event_id", Kind.ID, "The event."),
        Field(
            "event",
            Kind.TEXT,
            "What became of the message.",
            one_of=(
                "Email Delivered",
                "Email Bounced",
                "Email Opened",
                "Email Link Clicked",
                "Email Marked as Spam",
                "Unsubscribed",
            ),
        ),
        Field("occurred_at", Kind.TIMESTAMP, "When."),
        Field("email", Kind.TEXT, "To whom.", personal=Personal.EMAIL),
        Field("message_id", Kind.ID, "The message.", required=False),
        Field("campaign_id", Kind.ID, "The campaign.", required=False),
        Field("offer_id", Kind.ID, "The offer that the message made.", required=False),
        Field("seller_id", Kind.ID, "In whose name it was sent.", required=False),
    ),
    key=("event_id",),
    becomes=Interaction(
        interaction_type=Column("event"),
        occurred_at=Column("occurred_at"),
        session_id=Column("message_id"),
        seller_id=Column("seller_id"),
        customer_key_type="email",
        customer_key=Column("email"),
        offer_id=Column("offer_id"),
        properties=Properties(("campaign_id",)),
    ),
)
