"""Personal data becomes tokens wherever it stands."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genome.identity.personal import Scrubber, is_impersonal, is_plain
from genome.identity.tokens import Tokeniser
from genome.settings import Settings


@pytest.fixture(scope="module")
def scrubber(tmp_path_factory: pytest.TempPathFactory) -> Scrubber:
    return Scrubber(Tokeniser(Settings(home=tmp_path_factory.mktemp("personal") / "home")))


@pytest.mark.parametrize(
    "text",
    [
        "bob@example.com",
        "write to <Bob.Smith+tag@mail.example.co.uk>!",
        "https://shop.example/?email=bob%40example.com&x=1",
        "https://shop.example/?next=%2Fin%3Femail%3Dbob%2540example.com",
        "a@b@bob@example.com.",
        "bob@example.com*, eve@example.org",
        "ünï.cödé@bücher.example",
    ],
)
def test_addresses_inside_a_text_are_replaced(scrubber: Scrubber, text: str) -> None:
    clean = scrubber.text(text)
    assert "email_1_" in clean
    assert "example.com" not in clean
    assert "bücher" not in clean
    assert all(token.kind == "email" for token in scrubber.taken())


@pytest.mark.parametrize(
    "text", ["", "plain", "5 @ 3", "@handle", "100% wool", "1700000000000", "order 1234567890123456"]
)
def test_what_is_no_address_stays_the_same_object(scrubber: Scrubber, text: str) -> None:
    assert scrubber.text(text) is text
    assert scrubber.taken() == []


def test_a_card_number_inside_a_text_is_replaced(scrubber: Scrubber) -> None:
    clean = scrubber.text("paid with 4111 1111 1111 1111, thanks")
    assert clean.startswith("paid with card_1_")
    assert "1111" not in clean.removeprefix("paid with card_1_")[32:]


def test_fields_that_say_what_they_hold_are_replaced_whole(scrubber: Scrubber) -> None:
    given = {
        "email": "Bob@example.com",
        "phoneNumber": "+1 555 123 4567",
        "first_name": "Bob",
        "Card Number": 4111111111111111,
        "address": {"street": "1 High Street", "city": "York", "country": "GB", "geo": {"lat": 53.9}},
        "product_id": "p1",
        "name": "Blue sweater",
        "deep": [{"eMail": ["x@example.com", None]}],
    }
    clean = scrubber.fields(given)
    assert clean["email"].startswith("email_1_")
    assert clean["phoneNumber"].startswith("phone_1_")
    assert clean["first_name"].startswith("name_1_")
    assert clean["Card Number"].startswith("card_1_")
    assert clean["address"]["city"] == "York"
    assert clean["address"]["street"].startswith("address_1_")
    assert clean["address"]["geo"]["lat"].startswith("address_1_")
    assert (clean["product_id"], clean["name"]) == ("p1", "Blue sweater")
    assert clean["deep"][0]["eMail"][0].startswith("email_1_")
    assert given["email"] == "Bob@example.com"  # the sender's object is left alone
    scrubber.taken()


def test_a_name_is_a_persons_only_where_a_person_is_described(scrubber: Scrubber) -> None:
    given = {"name": "Bob Smith", "plan": "gold", "birthday": "1980-04-05"}
    assert scrubber.fields({"name": "Bob Smith", "plan": "gold"})["name"] == "Bob Smith"
    clean = scrubber.fields(given, person=True)
    assert clean["name"].startswith("name_1_")
    assert (clean["plan"], clean["birthday"]) == ("gold", "1980")
    scrubber.taken()


def test_an_object_without_anything_personal_is_the_same_object(scrubber: Scrubber) -> None:
    given = {"product_id": "p", "products": [{"sku": "s", "price": 1.5}], "tags": ["a", ["b"]]}
    assert scrubber.fields(given) is given
    assert is_impersonal(given | {"tags": ["a"]})


def test_a_field_name_may_be_an_address_too(scrubber: Scrubber) -> None:
    clean = scrubber.fields({"likes bob@example.com": 1})
    (name,) = clean
    assert name.startswith("likes email_1_")
    scrubber.taken()


_texts = st.text(max_size=6) | st.sampled_from(
    ["canary@example.com", "x canary%40example.com", "4111111111111111"]
)
_names = st.sampled_from(["email", "note", "products", "name", "url", "canary@example.com", "phone"])
_objects = st.dictionaries(
    _names,
    st.recursive(
        _texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3)
    ),
)


@given(_objects)
def test_no_address_survives_anywhere_and_the_quick_look_misses_none(
    scrubber: Scrubber, given: dict[str, Any]
) -> None:
    for escaped in (True, False):
        raw = json.dumps(given, ensure_ascii=escaped).replace("@", "\\u0040" if escaped else "@").encode()
        if is_plain(raw) and is_impersonal(given):
            assert b"canary" not in raw
            assert b"411111" not in raw
    clean = json.dumps(scrubber.fields(given))
    assert "canary@" not in clean
    assert "canary%40" not in clean
    assert "4111111111111111" not in clean
    scrubber.taken()


def test_a_long_text_full_of_signs_takes_no_time(scrubber: Scrubber) -> None:
    import time

    began = time.process_time()
    for text in ("@" * 32_000, "a" * 32_000 + "@", ("a" * 100 + "@") * 300, "1 " * 16_000, "%25" * 10_000):
        scrubber.text(text)
    assert time.process_time() - began < 2.0
    scrubber.taken()
