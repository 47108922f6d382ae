"""Surveys: one row for each answer."""

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
    name="survey",
    title="Surveys",
    description=(
        "Answers to surveys: would you recommend us (nps), were you content (csat), do you like this "
        "(taste). People type their own address, so it may be wrong. Of a comment only the motives that it "
        "names come in."
    ),
    source_id="survey_answers",
    stream="answers",
    columns=(
        Field("answer_id", Kind.ID, "The answer."),
        Field("survey", Kind.TEXT, "Which survey.", one_of=("nps", "csat", "taste")),
        Field("answered_at", Kind.TIMESTAMP, "When."),
        Field("email", Kind.TEXT, "Who answered, as typed.", required=False, personal=Personal.EMAIL),
        Field("card_id", Kind.ID, "The loyalty card of who answered.", required=False),
        Field("seller_id", Kind.ID, "Whom the question was about.", required=False),
        Field("product_id", Kind.ID, "The product, of a question about taste.", required=False),
        Field("score", Kind.INTEGER, "nps: 0 to 10; csat and taste: 1 to 5.", required=False, minimum=0),
        Field("comment", Kind.TEXT, "In their words.", required=False, personal=Personal.WORDS),
        Field("invitation_id", Kind.ID, "The invitation that was answered.", required=False),
    ),
    key=("answer_id",),
    becomes=Interaction(
        interaction_type="Survey Answered",
        occurred_at=Column("answered_at"),
        session_id=Column("invitation_id"),
        seller_id=Column("seller_id"),
        customer_key_type="email",
        customer_key=Column("email"),
        further_keys=(
            Key("loyalty_card", Column("card_id")),
            Key("answer", Column("answer_id"), is_last_resort=True),
        ),
        product_id=Column("product_id"),
        properties=Properties(("survey", "score"), motives="comment"),
    ),
)
