"""CRM: versions of households' profiles, versions of persons' contact cards, and what they consent to."""

from datetime import timedelta

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

_ATTRIBUTES = (
    Field("age_band", Kind.TEXT, "Age of the head of the household, in bands.", required=False),
    Field("income_band", Kind.TEXT, "Yearly income, in bands.", required=False),
    Field("home_ownership", Kind.TEXT, "Owner, renter …", required=False),
    Field("marital_status", Kind.TEXT, "Married or not.", required=False),
    Field("household_size", Kind.TEXT, "Persons, the last band open (5+).", required=False),
    Field("household_composition", Kind.TEXT, "Adults and children, in words.", required=False),
    Field("kids_count", Kind.TEXT, "Children, the last band open (3+).", required=False),
)

_EMAIL = Field("email", Kind.TEXT, "The person's address.", required=False, personal=Personal.EMAIL)
_PHONE = Field("phone", Kind.TEXT, "The person's number.", required=False, personal=Personal.PHONE)

_CONTACTS = Connector(
    name="crm",
    title="CRM contacts",
    description=(
        "A person's contact card as the CRM knew it at one time: it says which account, card, household, "
        "address and number are one person's. Names and streets reach the identity vault only; the lake "
        "holds tokens."
    ),
    source_id="crm_contacts",
    stream="contacts",
    columns=(
        Field("contact_id", Kind.ID, "The CRM's number of the person."),
        Field("user_id", Kind.ID, "The account in the shops.", required=False),
        Field("card_id", Kind.ID, "The loyalty card.", required=False),
        Field("household_id", Kind.ID, "The household of the card.", required=False),
        _EMAIL,
        _PHONE,
        Field("handle", Kind.TEXT, "The name on a network.", required=False, personal=Personal.ACCOUNT),
        Field("first_name", Kind.TEXT, "First name.", required=False, personal=Personal.NAME),
        Field("last_name", Kind.TEXT, "Last name.", required=False, personal=Personal.NAME),
        Field("birth_date", Kind.INTEGER, "Date of birth.", required=False, personal=Personal.BIRTH),
        Field("street", Kind.TEXT, "Street and number.", required=False, personal=Personal.ADDRESS),
        Field("postcode", Kind.ID, "Postal code: the home area.", required=False),
        Field("preferred_locale", Kind.TEXT, "Language and country.", required=False),
        Field("registered_at", Kind.TIMESTAMP, "When the person registered.", required=False),
        Field("updated_at", Kind.TIMESTAMP, "From when on the CRM held these values."),
    ),
    key=("contact_id", "updated_at"),
    becomes=Interaction(
        interaction_type="Profile Updated",
        occurred_at=Column("updated_at"),
        delay=timedelta(days=1),
        customer_key_type="contact",
        customer_key=Column("contact_id"),
        further_keys=(
            Key("user", Column("user_id")),
            Key("loyalty_card", Column("card_id")),
            Key("household", Column("household_id")),
            Key("email", Column("email")),
            Key("phone", Column("phone")),
            Key("social", Column("handle")),
        ),
        properties=Properties(
            (
                "first_name",
                "last_name",
                "birth_date",
                "street",
                "postcode",
                "preferred_locale",
                "registered_at",
            )
        ),
    ),
)

_CONSENTS = Connector(
    name="crm",
    title="CRM consents",
    description=(
        "Each time a person gave or withdrew a consent. `mall` as the seller is the rule; a row of one "
        "seller overrides it for that seller."
    ),
    source_id="crm_consents",
    stream="consents",
    columns=(
        Field("consent_id", Kind.ID, "The change."),
        Field("contact_id", Kind.ID, "The CRM's number of the person.", required=False),
        _EMAIL,
        _PHONE,
        Field("purpose", Kind.TEXT, "To what.", one_of=("marketing", "profiling", "sharing")),
        Field(
            "channel",
            Kind.TEXT,
            "For which channel.",
            one_of=("email", "sms_push", "direct_mail", "location", "all"),
        ),
        Field("seller_id", Kind.ID, "For which seller; `mall` for all of them.", required=False),
        Field("is_granted", Kind.BOOLEAN, "Given, or withdrawn."),
        Field("changed_at", Kind.TIMESTAMP, "When."),
        Field("source", Kind.TEXT, "Where the person said so.", required=False),
    ),
    key=("consent_id",),
    becomes=Interaction(
        interaction_type="Consent Changed",
        occurred_at=Column("changed_at"),
        seller_id=Column("seller_id"),
        customer_key_type="contact",
        customer_key=Column("contact_id"),
        further_keys=(Key("email", Column("email")), Key("phone", Column("phone"))),
        properties=Properties(("purpose", "channel", "is_granted", "source")),
    ),
)

CONNECTOR = Connector(
    name="crm",
    title="CRM profiles",
    description="Demographics of a household as the CRM knew them at one time; exported once a day.",
    source_id="crm_profiles",
    stream="profiles",
    columns=(
        Field("household_id", Kind.ID, "Whose profile it is."),
        *_ATTRIBUTES,
        Field("updated_at", Kind.TIMESTAMP, "From when on the CRM held these values."),
    ),
    key=("household_id", "updated_at"),
    becomes=Interaction(
        interaction_type="Profile Updated",
        occurred_at=Column("updated_at"),
        customer_key_type="household",
        customer_key=Column("household_id"),
        delay=timedelta(days=1),
        properties=Properties(tuple(each.name for each in _ATTRIBUTES)),
    ),
    others=(_CONTACTS, _CONSENTS),
)
