"""One spelling for one identifier."""

import pytest

from genome.identity import normal


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("Bob@Example.COM", "bob@example.com"),
        (" <bob@example.com> ", "bob@example.com"),
        ("mailto:bob@example.com", "bob@example.com"),
        ("bob@bücher.example", "bob@xn--bcher-kva.example"),
        ("ｂｏｂ＠example.com", "bob@example.com"),
        ("b.o.b+tag@example.com", "b.o.b+tag@example.com"),
        ("bob@localhost", None),
        ("bob", None),
        ("@example.com", None),
        ("bob smith@example.com", None),
    ],
)
def test_email(written: str, same: str | None) -> None:
    assert normal.email(written) == same


@pytest.mark.parametrize(
    ("written", "code", "same"),
    [
        ("+1 (555) 123-4567", None, "+15551234567"),
        ("001 555 123 4567", None, "+15551234567"),
        ("555.123.4567", "1", "+15551234567"),
        ("1-555-123-4567", "1", "+15551234567"),
        ("0171 2345678", "49", "+491712345678"),
        ("tel:+49 171 2345678", None, "+491712345678"),
        ("+49 171 2345678 ext. 12", None, "+491712345678"),
        ("555 123 4567", None, "5551234567"),
        ("12", None, None),
        ("no number", "1", None),
    ],
)
def test_phone(written: str, code: str | None, same: str | None) -> None:
    assert normal.phone(written, code) == same


@pytest.mark.parametrize(
    ("written", "is_one"),
    [
        ("4111 1111 1111 1111", True),
        ("4111-1111-1111-1111", True),
        ("378282246310005", True),
        ("4111 1111 1111 1112", False),
        ("1700000000000", False),
        ("411111", False),
    ],
)
def test_a_payment_card_is_told_by_its_check_digit(written: str, is_one: bool) -> None:
    assert normal.is_card(written) is is_one
