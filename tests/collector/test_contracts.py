"""What each event must carry."""

from typing import Any

import pytest

from genome.collector.contracts import CONTRACTS, Order, breach, canonical_name, identifier, typed

GOOD: list[tuple[str, dict[str, Any]]] = [
    ("Products Searched", {"query": "red shoes"}),
    ("Product Viewed", {"product_id": "p"}),
    ("Product Viewed", {"sku": 42, "price": "18.99", "currency": "eur"}),
    ("Product Added", {"product_id": "p", "quantity": 2, "anything": {"else": [1]}}),
    ("Cart Viewed", {"products": [{"product_id": "p", "quantity": 1}]}),
    ("Order Completed", {"order_id": "o", "products": [{"sku": "s"}], "total": 12.5}),
    ("Order Refunded", {"order_id": 7}),
    ("Coupon Applied", {"coupon_id": "c"}),
    ("Promotion Clicked", {"promotion_id": "p"}),
    ("Email Opened", {}),
    ("Place Entered", {"store_id": "s"}),
    ("Place Dwelled", {"place_id": "s", "seconds": 30}),
    ("Survey Answered", {"survey_id": "s", "score": 9}),
    ("Complaint Opened", {"case_id": "c"}),
    ("Consent Updated", {"purpose": "analytics", "is_granted": False}),
    ("Offer Dismissed", {"offer_id": "o"}),
    ("Somebody's Own Event", {"price": -1}),
]
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("Products Searched", {"query": ""}, "$.query"),
    ("Products Searched", {}, "`query`"),
    ("Product Viewed", {}, "needs `product_id` or `sku`"),
    ("Product Viewed", {"product_id": ""}, "$.product_id"),
    ("Product Viewed", {"product_id": ["p"]}, "$.product_id"),
    ("Product Viewed", {"product_id": "p", "price": -1}, "$.price"),
    ("Product Viewed", {"product_id": "p", "price": "nan"}, "$.price"),
    ("Product Viewed", {"product_id": "p", "price": "inf"}, "$.price"),
    ("Product Viewed", {"product_id": "p", "price": "cheap"}, "$.price"),
    ("Product Viewed", {"product_id": "p", "currency": "euro"}, "$.currency"),
    ("Order Completed", {"order_id": "o"}, "`products`"),
    ("Order Completed", {"order_id": "o", "products": []}, "$.products"),
    ("Order Completed", {"order_id": "o", "products": [{"sku": "s"}, {}]}, "$.products[1]"),
    ("Order Refunded", {}, "`order_id`"),
    ("Coupon Applied", {}, "needs `coupon_id`"),
    ("Promotion Viewed", {}, "needs `promotion_id`"),
    ("Place Entered", {}, "needs `store_id` or `place_id`"),
    ("Place Dwelled", {"store_id": "s"}, "`seconds`"),
    ("Survey Answered", {"score": 1}, "`survey_id`"),
    ("Consent Updated", {"purpose": "analytics"}, "`is_granted`"),
    ("Offer Shown", {}, "needs `offer_id`"),
]


@pytest.mark.parametrize(("name", "properties"), GOOD)
def test_properties_that_keep_the_contract_pass(name: str, properties: dict[str, Any]) -> None:
    assert breach(name, properties) is None


@pytest.mark.parametrize(("name", "properties", "where"), BAD)
def test_a_breach_names_the_field_and_no_value(name: str, properties: dict[str, Any], where: str) -> None:
    reason = breach(name, properties)
    assert reason is not None
    assert where in reason
    assert not any(value in reason for value in ("cheap", "euro", "nan"))


def test_every_contract_has_a_description_and_is_made_of_fields() -> None:
    assert len(CONTRACTS) > 40
    assert [name for name, contract in CONTRACTS.items() if not contract.__doc__] == []
    assert [name for name, contract in CONTRACTS.items() if not contract.__struct_fields__] == []


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("Order Completed", "Order Completed"),
        ("order_completed", "Order Completed"),
        ("ORDER COMPLETED ", "Order Completed"),
        ("Completed Order", "Order Completed"),
        ("Made Up", "Made Up"),
    ],
)
def test_spellings_of_one_event_are_one_event(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


def test_numbers_that_came_as_text_become_numbers() -> None:
    order = typed(Order, {"order_id": 7, "total": "18.99", "products": [{"sku": "s", "quantity": "3"}]})
    assert order.total == 18.99
    assert order.products[0].quantity == 3.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42, "42"),
        (42.0, "42"),
        ("42", "42"),
        (" x ", "x"),
        ("", None),
        (None, None),
        (True, None),
        (1.5, "1.5"),
    ],
)
def test_an_identifier_is_one_text(value: Any, text: str | None) -> None:
    assert identifier(value) == text
