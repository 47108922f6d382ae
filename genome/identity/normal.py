"""One spelling for one identifier: what is normalised the same gets the same token.

Nothing here guesses: two mailboxes that a provider may or may not treat as one (dots, plus tags) stay two.
"""

import re
import unicodedata

_NOT_DIGIT = re.compile(r"\D+")
_SPACES = re.compile(r"\s+")
_EXTENSION = re.compile(r"(?:ext\.?|x|#)\s*\d+\s*$", re.IGNORECASE)
_E164_DIGITS = range(7, 16)


def email(value: str) -> str | None:
    """An e-mail address in lower case, its domain in ASCII; None where it is none."""
    text = unicodedata.normalize("NFKC", value).strip().strip("<>").casefold()
    text = text.removeprefix("mailto:")
    local, at, domain = text.rpartition("@")
    domain = domain.rstrip(".")
    if not (at and local and "." in domain) or _SPACES.search(text):
        return None
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        return None  # a label that DNS cannot hold
    return f"{local}@{domain}"


def phone(value: str, calling_code: str | None = None) -> str | None:
    """A telephone number as E.164 (`+15551234567`); None where it is none.

    Args:
        value: as people write it.
        calling_code: the country's code, for numbers written without one ("1", "44"); without it such a
        number
            keeps its digits only, and equals only numbers written in the same way.
    """
    text = unicodedata.normalize("NFKC", value).strip().casefold().removeprefix("tel:")
    text = _EXTENSION.sub("", text)
    international = text.startswith("+") or text.startswith("00")
    digits = _NOT_DIGIT.sub("", text)
    if text.startswith("00"):
        digits = digits.removeprefix("00")
    if not international and calling_code is not None:
        if calling_code == "1" and len(digits) == 11 and digits.startswith("1"):
            international = True  # North America writes its own code before the area code
        else:
            digits = calling_code + digits.removeprefix("0")  # the 0 is dialled inside the country only
            international = True
    if len(digits) not in _E164_DIGITS:
        return None
    return f"+{digits}" if international else digits


def words(value: str) -> str | None:
    """A name or an address: one case, one kind of space, no punctuation; None where nothing is left."""
    text = unicodedata.normalize("NFKC", value).casefold()
    text = "".join(letter if letter.isalnum() else " " for letter in text)
    return _SPACES.sub(" ", text).strip() or None


def digits(value: str) -> str | None:
    """A card or account number: its letters and digits."""
    return "".join(letter for letter in value.casefold() if letter.isalnum()) or None


def is_card(text: str) -> bool:
    """Whether the digits are a payment card's: length, first digit and check digit (Luhn)."""
    number = _NOT_DIGIT.sub("", text)
    if not 13 <= len(number) <= 19 or number[0] not in "23456":
        return False
    total = 0
    for place, letter in enumerate(reversed(number)):
        digit = int(letter)
        if place % 2:
            digit = digit * 2 - 9 if digit > 4 else digit * 2
        total += digit
    return total % 10 == 0
