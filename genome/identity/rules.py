"""Which identifiers link persons, as typed data: one table for the batch (`resolve.py`) and the live path.

Two identifiers that one event carries are a *link* if a rule names their kinds. Of the two, the *owner* is nearer
to a person (an account, a card), the *other* is a thing that persons use (a cookie, a phone, a payment card). A
thing that a second owner of the same kind turns up with is shared: it belongs to nobody, from the moment that was
known. So is a card that pays with more tokens than any person has. What the rules refuse is kept with its reason.

Nothing heavy is imported here: the live path reads these rules event by event.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Reason(StrEnum):
    """Why a link is refused."""

    SHARED = "shared"
    TOO_MANY = "too_many"
    TYPED_ONCE = "typed_once"
    TYPED_AGAINST_RECORD = "typed_against_record"
    CONFLICT = "conflict"
    SEVERAL_PERSONS = "several_persons"
    NO_LONGER_ALIKE = "no_longer_alike"
    BY_A_PERSON = "by_a_person"


MEANING: Final = MappingProxyType(
    {
        Reason.SHARED: "two owners of one kind were met with it: a family tablet, a household's payment card, "
        "a phone that was handed on",
        Reason.TOO_MANY: "its owner was met with more of them than a person has: a till's card, a test account",
        Reason.TYPED_ONCE: "a person typed it into a form, on one day only: it may be mistyped",
        Reason.TYPED_AGAINST_RECORD: "a person typed it into a form, and what is on record for one of the two "
        "says otherwise",
        Reason.CONFLICT: "it would join two contacts, two accounts or two cards, which are two persons",
        Reason.SEVERAL_PERSONS: "the household has several known persons: it is none of them",
        Reason.NO_LONGER_ALIKE: "the two contact cards changed, and are not alike enough any more",
        Reason.BY_A_PERSON: "a person took the two apart (`genome identity unmerge`)",
    }
)


@dataclass(frozen=True, slots=True)
class LinkRule:
    """Two kinds of identifiers that may be one person's.

    Attributes:
        owner: the kind that is nearer to a person.
        other: the kind of the thing.
        most: so many others of this kind one owner may have; with one more, the owner is no person and none of
            these links holds.
    """

    owner: str
    other: str
    most: int


UNIQUE: Final = ("contact", "user", "loyalty_card")
"""Kinds of which one person has one: two of a kind are two persons, unless a rule or a person says they are one."""

HOUSEHOLD: Final = "household"
"""The kind that stands for all who live together. It joins nobody, and belongs to a person only while one alone is
known of it."""

TYPED_CHANNELS: Final = frozenset({"survey", "service"})
"""Where people type their addresses by hand, unchecked."""

TOKEN_KINDS: Final = MappingProxyType({"email": "email", "phone": "phone", "account": "social"})
"""What a token says it is of → the kind of the keys that it stands in."""

LINKS: Final = (
    # Persons to persons: what the CRM, or a login, declares.
    LinkRule("contact", "user", 1),
    LinkRule("contact", "loyalty_card", 1),
    LinkRule("user", "user", 4),  # alias calls: an account's earlier names
    # Addresses of persons.
    LinkRule("contact", "email", 8),
    LinkRule("contact", "phone", 8),
    LinkRule("contact", "social", 8),
    LinkRule("user", "email", 8),
    LinkRule("user", "phone", 8),
    LinkRule("user", "social", 8),
    LinkRule("loyalty_card", "email", 8),
    LinkRule("loyalty_card", "phone", 8),
    # Things that persons use.
    LinkRule("user", "anonymous", 60),
    LinkRule("user", "device", 12),
    LinkRule("user", "payment_token", 12),
    LinkRule("user", "wifi", 12),
    LinkRule("loyalty_card", "payment_token", 12),
    LinkRule("device", "wifi", 4),
    # A visitor who leaves an address before there is an account.
    LinkRule("email", "anonymous", 60),
    LinkRule("email", "device", 12),
    LinkRule("phone", "anonymous", 60),
    LinkRule("phone", "device", 12),
    # A household belongs to a person while nobody else is known of it.
    LinkRule("contact", HOUSEHOLD, 4),
    LinkRule("loyalty_card", HOUSEHOLD, 4),
    LinkRule("user", HOUSEHOLD, 4),
)

BY_KINDS: Final = MappingProxyType(
    {frozenset((rule.owner, rule.other)): rule for rule in LINKS},
)


def rule_of(kind: str, other_kind: str) -> LinkRule | None:
    """The rule for two kinds in either order; None where such a pair says nothing about persons."""
    return BY_KINDS.get(frozenset((kind, other_kind)))


def source_key(kind: str, identifier: str) -> str:
    """An identifier as the whole platform writes it: `<kind>:<identifier>`."""
    return f"{kind}:{identifier}"


def kind_of(key: str) -> str:
    """The kind of a source key."""
    return key.partition(":")[0]
