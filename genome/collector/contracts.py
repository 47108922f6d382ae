"""What each event must carry: one typed contract for each event name.

Names and fields follow the Segment e-commerce and e-mail specifications; places, surveys, service, consent
and offers are ours. Fields that a contract does not name pass unchanged. A number may come as text
("18.99"), since many clients send it so; it may not be negative, infinite or not a number. An event without
a contract is somebody's own: it is kept as it is.
"""

import math
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from genome.collector.limits import IDENTIFIER_CHARACTERS

_Text = Annotated[str, Meta(min_length=1, max_length=IDENTIFIER_CHARACTERS)]
Id = _Text | int
"""An identifier: text, or a whole number, which becomes its text."""
Amount = Annotated[float, Meta(ge=0, le=1e12)]
Rate = Annotated[float, Meta(ge=-1e12, le=1e12)]
Currency = Annotated[str, Meta(pattern="^[A-Za-z]{3}$")]


class Free(Struct):
    """Any object."""


class Item(Struct):
    """A product in an event: named by `product_id` or, failing that, by `sku`."""

    product_id: Id | None = None
    sku: Id | None = None
    quantity: Amount | None = None
    price: Amount | None = None
    discount: Amount | None = None
    coupon: str | None = None
    position: Rate | None = None

    def __post_init__(self) -> None:
        """One of the two names must be there."""
        if self.product_id is None and self.sku is None:
            raise ValueError("needs `product_id` or `sku`")


class ProductEvent(Item):
    """An event about one product."""

    currency: Currency | None = None
    value: Rate | None = None
    cart_id: Id | None = None
    wishlist_id: Id | None = None
    store_id: Id | None = None


class ProductReview(Struct):
    """A rating or a text about a product."""

    product_id: Id
    rating: Annotated[float, Meta(ge=0, le=10)] | None = None


class Search(Struct):
    """What somebody looked for."""

    query: Annotated[str, Meta(min_length=1, max_length=1000)]


class ProductList(Struct):
    """A list that was shown or filtered."""

    list_id: Id | None = None
    category: str | None = None
    products: list[Item] | None = None


class Promotion(Struct):
    """A promotion that was seen or clicked."""

    promotion_id: Id | None = None
    offer_id: Id | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        """It must say which."""
        if self.promotion_id is None and self.offer_id is None and not self.name:
            raise ValueError("needs `promotion_id`, `offer_id` or `name`")


class Cart(Struct):
    """A cart that was looked at or shared."""

    cart_id: Id | None = None
    products: list[Item] | None = None


class Checkout(Struct):
    """A step on the way to an order."""

    order_id: Id | None = None
    checkout_id: Id | None = None
    step: Rate | None = None
    value: Rate | None = None
    revenue: Rate | None = None
    currency: Currency | None = None
    products: list[Item] | None = None


class Order(Struct):
    """An order that was completed, changed, cancelled or refunded."""

    order_id: Id
    total: Rate | None = None
    value: Rate | None = None
    revenue: Rate | None = None
    shipping: Rate | None = None
    tax: Rate | None = None
    discount: Rate | None = None
    coupon: str | None = None
    currency: Currency | None = None
    store_id: Id | None = None
    products: list[Item] | None = None


class CompletedOrder(Order, kw_only=True):
    """An order that was completed: it must say what was bought."""

    products: Annotated[list[Item], Meta(min_length=1)]


class Coupon(Struct):
    """A coupon that was entered, applied, denied or removed."""

    coupon_id: Id | None = None
    coupon_name: str | None = None
    offer_id: Id | None = None
    order_id: Id | None = None
    discount: Amount | None = None

    def __post_init__(self) -> None:
        """It must say which."""
        if self.coupon_id is None and self.offer_id is None and not self.coupon_name:
            raise ValueError("needs `coupon_id`, `offer_id` or `coupon_name`")


class Email(Struct):
    """What happened to a message that was sent."""

    message_id: Id | None = None
    campaign_id: Id | None = None
    link_url: str | None = None
    bounce_type: str | None = None


class Place(Struct):
    """Somebody came to a place, stayed, or left: a store, an entrance, a floor, the mall."""

    store_id: Id | None = None
    place_id: Id | None = None
    seconds: Amount | None = None

    def __post_init__(self) -> None:
        """It must say where."""
        if self.store_id is None and self.place_id is None:
            raise ValueError("needs `store_id` or `place_id`")


class Dwell(Place, kw_only=True):
    """Somebody stayed at a place for so long."""

    seconds: Amount


class Survey(Struct):
    """An answer to a survey."""

    survey_id: Id
    question_id: Id | None = None
    score: Rate | None = None


class Case(Struct):
    """A conversation with the service desk; a complaint is one."""

    case_id: Id
    topic: str | None = None


class Consent(Struct):
    """A person's word on what their data may be used for."""

    purpose: _Text
    is_granted: bool
    channel: str | None = None
    seller_id: Id | None = None


class Contact(Struct):
    """An offer or a campaign that reached somebody, and what came of it."""

    offer_id: Id | None = None
    campaign_id: Id | None = None
    decision_id: Id | None = None

    def __post_init__(self) -> None:
        """It must say which."""
        if self.offer_id is None and self.campaign_id is None:
            raise ValueError("needs `offer_id` or `campaign_id`")


class Points(Struct):
    """Loyalty points that were earned or spent."""

    points: Amount


CONTRACTS: Final[dict[str, type[Struct]]] = {
    "Products Searched": Search,
    "Product List Viewed": ProductList,
    "Product List Filtered": ProductList,
    "Promotion Viewed": Promotion,
    "Promotion Clicked": Promotion,
    "Product Clicked": ProductEvent,
    "Product Viewed": ProductEvent,
    "Product Added": ProductEvent,
    "Product Removed": ProductEvent,
    "Product Shared": ProductEvent,
    "Product Added to Wishlist": ProductEvent,
    "Product Removed from Wishlist": ProductEvent,
    "Wishlist Product Added to Cart": ProductEvent,
    "Product Reviewed": ProductReview,
    "Product Out of Stock": ProductEvent,
    "Cart Viewed": Cart,
    "Cart Shared": Cart,
    "Checkout Started": Checkout,
    "Checkout Step Viewed": Checkout,
    "Checkout Step Completed": Checkout,
    "Payment Info Entered": Checkout,
    "Order Updated": Order,
    "Order Completed": CompletedOrder,
    "Order Refunded": Order,
    "Order Cancelled": Order,
    "Coupon Entered": Coupon,
    "Coupon Applied": Coupon,
    "Coupon Denied": Coupon,
    "Coupon Removed": Coupon,
    "Email Sent": Email,
    "Email Delivered": Email,
    "Email Opened": Email,
    "Email Link Clicked": Email,
    "Email Bounced": Email,
    "Email Marked as Spam": Email,
    "Unsubscribed": Email,
    "Place Entered": Place,
    "Place Dwelled": Dwell,
    "Place Exited": Place,
    "Survey Answered": Survey,
    "Survey Submitted": Survey,
    "Service Contacted": Case,
    "Complaint Opened": Case,
    "Complaint Closed": Case,
    "Consent Updated": Consent,
    "Campaign Sent": Contact,
    "Offer Shown": Contact,
    "Offer Clicked": Contact,
    "Offer Dismissed": Contact,
    "Offer Accepted": Contact,
    "Points Earned": Points,
    "Points Redeemed": Points,
}
"""Event name → what its properties must be."""

_OLD_NAMES: Final = {
    "Viewed Product": "Product Viewed",
    "Added Product": "Product Added",
    "Removed Product": "Product Removed",
    "Completed Order": "Order Completed",
    "Viewed Product Category": "Product List Viewed",
    "Searched Products": "Products Searched",
}
_SPELLINGS: Final = {name.casefold().replace("_", " "): name for name in CONTRACTS} | {
    old.casefold(): new for old, new in _OLD_NAMES.items()
}


def canonical_name(name: str) -> str:
    """The specification's spelling of an event name (`order_completed` is `Order Completed`); others
    unchanged.
    """
    if name in CONTRACTS:
        return name
    return _SPELLINGS.get(name.casefold().replace("_", " ").strip(), name)


def breach(name: str, properties: dict[str, Any]) -> str | None:
    """Why the properties break the event's contract; None where they keep it.

    The sentence names fields and what was expected of them, never a value.
    """
    contract = CONTRACTS.get(name)
    if contract is None:
        return None
    try:
        msgspec.convert(properties, contract, strict=False)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def typed(contract: type[Any], properties: dict[str, Any]) -> Any:
    """Properties as their contract's type, numbers as numbers."""
    return msgspec.convert(properties, contract, strict=False)


def identifier(value: Any) -> str | None:
    """An identifier as text: 42, 42.0 and "42" are one."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float):
        return str(int(value)) if math.isfinite(value) and value.is_integer() else str(value)
    return str(value).strip() or None
