"""Social networks: one row for each thing a person did with a post, or said about a seller."""

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
    name="social",
    title="Social networks",
    description=(
        "Likes, shares, comments and mentions, from the networks' exports. Of their texts only the motives that "
        "they name come in."
    ),
    source_id="social_events",
    stream="events",
    columns=(
        Field("event_id", Kind.ID, "The event."),
        Field(
            "event",
            Kind.TEXT,
            "What happened.",
            one_of=("Post Liked", "Post Shared", "Post Commented", "Brand Mentioned"),
        ),
        Field("occurred_at", Kind.TIMESTAMP, "When."),
        Field("handle", Kind.TEXT, "The person's name on the network.", personal=Personal.ACCOUNT),
        Field("network", Kind.TEXT, "Which network.", required=False),
        Field("post_id", Kind.ID, "The post.", required=False),
        Field("seller_id", Kind.ID, "Whose post it is, or who was mentioned.", required=False),
        Field("product_id", Kind.ID, "The product that the post shows.", required=False),
        Field("text", Kind.TEXT, "In their words.", required=False, personal=Personal.WORDS),
    ),
    key=("event_id",),
    becomes=Interaction(
        interaction_type=Column("event"),
        occurred_at=Column("occurred_at"),
        seller_id=Column("seller_id"),
        customer_key_type="social",
        customer_key=Column("handle"),
        product_id=Column("product_id"),
        properties=Properties(("network", "post_id"), motives="text"),
    ),
)
