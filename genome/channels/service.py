"""Customer service: one row for each message of a ticket."""

from genome.channels.contract import (
    Case,
    Column,
    Connector,
    Constant,
    Field,
    Interaction,
    Key,
    Kind,
    Personal,
    Properties,
)

_COMPLAINT = ("is_complaint", "true")

CONNECTOR = Connector(
    name="service",
    title="Customer service",
    description=(
        "Tickets by telephone, e-mail and chat. Of what the customer wrote only the motives that it names come in. "
        "While a complaint is open nothing is promoted to the person. A stranger's chat is known by its ticket."
    ),
    source_id="service_messages",
    stream="messages",
    columns=(
        Field("message_id", Kind.ID, "The message."),
        Field("ticket_id", Kind.ID, "The ticket that it belongs to."),
        Field(
            "event",
            Kind.TEXT,
            "What happened to the ticket.",
            one_of=("Ticket Opened", "Message Sent", "Ticket Closed"),
        ),
        Field("sent_at", Kind.TIMESTAMP, "When."),
        Field("contact_id", Kind.ID, "The CRM's number of the person.", required=False),
        Field("email", Kind.TEXT, "The person's address, as typed.", required=False, personal=Personal.EMAIL),
        Field("phone", Kind.TEXT, "The number that called.", required=False, personal=Personal.PHONE),
        Field("medium", Kind.TEXT, "How.", required=False, one_of=("phone", "email", "chat")),
        Field("author", Kind.TEXT, "Who wrote or spoke.", required=False, one_of=("customer", "agent")),
        Field("is_complaint", Kind.BOOLEAN, "Whether the ticket is one.", required=False, default="false"),
        Field("seller_id", Kind.ID, "Whom it is about.", required=False),
        Field("product_id", Kind.ID, "The product that it is about.", required=False),
        Field("transaction_id", Kind.ID, "The receipt that it is about.", required=False),
        Field("text", Kind.TEXT, "What was written or said.", required=False, personal=Personal.WORDS),
    ),
    key=("message_id",),
    becomes=Interaction(
        interaction_type=Case(
            (
                ((_COMPLAINT, ("event", "Ticket Opened")), Constant("Complaint Opened")),
                ((_COMPLAINT, ("event", "Ticket Closed")), Constant("Complaint Closed")),
            ),
            otherwise=Column("event"),
        ),
        occurred_at=Column("sent_at"),
        session_id=Column("ticket_id"),
        seller_id=Column("seller_id"),
        customer_key_type="contact",
        customer_key=Column("contact_id"),
        further_keys=(
            Key("email", Column("email")),
            Key("phone", Column("phone")),
            Key("ticket", Column("ticket_id"), is_last_resort=True),
        ),
        product_id=Column("product_id"),
        properties=Properties(("medium", "author", "is_complaint", "transaction_id"), motives="text"),
    ),
)
