"""SMS and push notifications: one row for each thing that became of a message."""

from genome.channels.contract import (
    Column,
    Connector,
    Field,
    Interaction,
    Key,
    Kind,
    Personal,
    Properties,
)

CONNECTOR = Connector(
    name="sms_push",
    title="SMS and push",
    description="What became of each message: an SMS goes to a number, a push notification to a device.",
    source_id="sms_push_events",
    stream="events",
    columns=(
        Field("event_id", Kind.ID, "The event."),
        Field(
            "event",
            Kind.TEXT,
            "What became of the message.",
            one_of=(
                "SMS Delivered",
                "SMS Link Clicked",
                "Push Notification Received",
                "Push Notification Tapped",
                "Unsubscribed",
            ),
        ),
        Field("kind", Kind.TEXT, "What was sent.", one_of=("sms", "push")),
        Field("occurred_at", Kind.TIMESTAMP, "When."),
        Field("phone", Kind.TEXT, "The number, of an SMS.", required=False, personal=Personal.PHONE),
        Field("device_id", Kind.ID, "The installation of the app, of a push.", required=False),
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
        customer_key_type="phone",
        customer_key=Column("phone"),
        further_keys=(Key("device", Column("device_id")),),
        offer_id=Column("offer_id"),
        properties=Properties(("campaign_id", "kind")),
    ),
)
