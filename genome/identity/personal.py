"""Finds personal data in events and puts tokens in its place, before anything is stored or logged.

Two rules: a field whose name says what it is (`email`, `phoneNumber`, `traits.name` …) is replaced whole;
and an e-mail address or a payment card inside any text is replaced where it stands, whatever the field is
called.
"""

import re
from typing import Any, Final
from urllib.parse import unquote

from genome.identity import normal
from genome.identity.tokens import Kind, Token, Tokeniser

_BY_NAME: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        ("email", "emailaddress", "mail", "useremail", "customeremail", "contactemail", "recipientemail"),
        "email",
    ),
    **dict.fromkeys(
        (
            "phone",
            "phonenumber",
            "mobile",
            "mobilephone",
            "mobilenumber",
            "tel",
            "telephone",
            "cell",
            "msisdn",
            "userphone",
            "customerphone",
            "contactphone",
        ),
        "phone",
    ),
    **dict.fromkeys(
        (
            "firstname",
            "lastname",
            "fullname",
            "middlename",
            "givenname",
            "familyname",
            "surname",
            "maidenname",
        ),
        "name",
    ),
    **dict.fromkeys(
        (
            "address",
            "street",
            "streetaddress",
            "address1",
            "address2",
            "addressline1",
            "addressline2",
            "line1",
            "line2",
            "housenumber",
            "postaladdress",
            "shippingaddress",
            "billingaddress",
        ),
        "address",
    ),
    **dict.fromkeys(
        ("card", "cardnumber", "creditcard", "creditcardnumber", "debitcard", "pan", "cvv", "cvc"), "card"
    ),
    **dict.fromkeys(
        (
            "iban",
            "accountnumber",
            "bankaccount",
            "ssn",
            "socialsecuritynumber",
            "passport",
            "passportnumber",
            "taxid",
            "nationalid",
            "driverlicense",
        ),
        "account",
    ),
    **dict.fromkeys(
        ("advertisingid", "idfa", "idfv", "gaid", "androidid", "deviceid", "macaddress"), "device"
    ),
    **dict.fromkeys(("ip", "ipaddress", "clientip"), "ip"),
}
"""Field name (letters and digits, lower case) → what it holds."""

_PERSON: Final[dict[str, Kind]] = {"name": "name", "username": "name", "nickname": "name"}
"""Names that mean a person only where a person is described: in traits."""

_BIRTH: Final = frozenset({"birthday", "birthdate", "dateofbirth", "dob"})
_PLACE: Final = frozenset({"city", "town", "state", "region", "province", "country", "countrycode"})
"""Parts of an address that name nobody, and that the home area is made from."""

_EMAIL: Final = re.compile(
    # A run of characters is tried once, from its beginning, and given back to nothing (++): linear on any
    # text.
    r"(?<![^\s@<>\"'(),;:&=?/\\\[\]{}|])[^\s@<>\"'(),;:&=?/\\\[\]{}|]++@[\w-]++(?:\.[\w-]+)+"
)
_CARDISH: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_ALNUM: Final = re.compile(r"[^a-z0-9]")
_YEAR: Final = re.compile(r"(?:1[89]|20)\d\d")
_KNOWN_NAMES: Final = 10_000
_seen_names: dict[str, Kind | str | None] = {}
_harmless_names: set[str] = set()
_DIGITS_ALIKE: Final = bytes.maketrans(b"123456789", b"000000000")


def is_plain(raw: bytes) -> bool:
    """Whether no text in these bytes of JSON can hold an e-mail address or a card number, however it is
    escaped.

    A quick look for what must be there (`@`, `%`, a Unicode escape, thirteen digits); most events pass it.
    """
    return (
        b"@" not in raw
        and b"%" not in raw
        and b"\\u" not in raw
        and b"0000000000000" not in raw.translate(_DIGITS_ALIKE, b" -")
    )


def is_impersonal(value: dict[str, Any]) -> bool:
    """Whether every name in this object, at every depth, is known to be no personal field's."""
    if not _harmless_names.issuperset(value):
        for name in value:
            if name not in _harmless_names and (_kind_of(name) is not None or "@" in name or len(name) >= 13):
                return False
    for part in value.values():
        kind = type(part)
        if kind is dict:
            if not is_impersonal(part):
                return False
        elif kind is list and not all(
            is_impersonal(each) if type(each) is dict else type(each) is not list for each in part
        ):
            return False
    return True


def _kind_of(name: str) -> Kind | str | None:
    simple = _ALNUM.sub("", name.casefold())
    kind = "birth" if simple in _BIRTH else _BY_NAME.get(simple)
    if len(_seen_names) < _KNOWN_NAMES:  # names come from outside: the tables must not grow without end
        _seen_names[name] = kind
        if kind is None and len(name) < 13 and "@" not in name:
            _harmless_names.add(name)
    return kind


def without_cards(text: str) -> str:
    """A text with every digit of a payment card's number made a 0: no card lies anywhere, sealed or not, and the words
    around it stay in their places.
    """
    return _CARDISH.sub(lambda found: _zeroed(found.group()), text)


def _zeroed(found: str) -> str:
    return re.sub(r"\d", "0", found) if normal.is_card(found) else found


def birth_year(value: str) -> str | None:
    """What is kept of a date of birth; None where no year is in it."""
    year = _YEAR.search(value)
    return year.group() if year else None


class Scrubber:
    """Replaces personal data by tokens, and keeps the tokens it made until `taken` hands them over."""

    def __init__(self, tokeniser: Tokeniser) -> None:
        self._tokeniser = tokeniser
        self._made: list[Token] = []

    def taken(self) -> list[Token]:
        """The tokens made since the last call."""
        made, self._made = self._made, []
        return made

    def token(self, kind: Kind, value: str) -> Token:
        """The token of one identifier."""
        token = self._tokeniser.token(kind, value)
        self._made.append(token)
        return token

    def text(self, value: str) -> str:
        """A text with every e-mail address and card number in it replaced; the same object where there is
        none.
        """
        if "%" in value and ("%40" in value or "%25" in value):
            plain = value
            for _ in range(3):  # an address in a link in a link
                plain = unquote(plain)
            if "@" in plain:
                value = plain
        clean = value
        if "@" in clean:
            clean = _EMAIL.sub(self._email, clean)
        if len(clean) >= 13 and _CARDISH.search(clean):
            clean = _CARDISH.sub(self._card, clean)
        return value if clean == value else clean

    def fields(self, value: dict[str, Any], *, person: bool = False) -> dict[str, Any]:
        """An object with its personal data replaced; the same object where there is none.

        Args:
            value: a JSON object.
            person: it describes a person (traits), so `name` is theirs and not a product's.
        """
        changed: dict[str, Any] | None = None
        kinds = _seen_names
        for key, old in value.items():
            found = kinds.get(key, "")
            if found == "":
                found = _kind_of(key)
            if found is None and not person:
                new = self._value(old, person) if type(old) in _WALKED else old
                name = self.text(key) if "@" in key or len(key) >= 13 else key
            else:
                new = self._named(found, key, old, person)
                name = self.text(key)
            if new is not old or name is not key:
                if changed is None:
                    changed = dict(value)
                if name is not key:
                    del changed[key]
                changed[name] = new
        return value if changed is None else changed

    def _named(self, kind: Kind | str | None, key: str, value: Any, person: bool) -> Any:
        if kind is None and person:
            kind = _PERSON.get(_ALNUM.sub("", key.casefold()))
        if kind is None or value is None or isinstance(value, bool):
            return self._value(value, person)
        if kind == "birth":
            return birth_year(str(value))
        if isinstance(value, str | int | float):
            text = str(value)
            return self.token(kind, text).text if text.strip() else value  # type: ignore[arg-type]
        if isinstance(value, dict) and kind == "address":
            return {
                name: self._value(part, person)
                if _ALNUM.sub("", name.casefold()) in _PLACE
                else self._whole(kind, part)
                for name, part in value.items()
            }
        return self._whole(kind, value)

    def _whole(self, kind: Any, value: Any) -> Any:
        """Every text and number below a personal field, whatever it is called."""
        if isinstance(value, dict):
            return {self.text(name): self._whole(kind, part) for name, part in value.items()}
        if isinstance(value, list):
            return [self._whole(kind, part) for part in value]
        if value is None or isinstance(value, bool) or not str(value).strip():
            return value
        return self.token(kind, str(value)).text

    def _value(self, value: Any, person: bool) -> Any:
        if type(value) is str:
            return self.text(value)
        if type(value) is dict:
            return self.fields(value, person=person)
        if type(value) is list:
            new = [self._value(each, person) for each in value]
            return new if any(a is not b for a, b in zip(new, value, strict=True)) else value
        return value

    def _email(self, match: re.Match[str]) -> str:
        found = match.group()
        trimmed = found.rstrip("-_")
        return self.token("email", trimmed).text + found[len(trimmed) :]

    def _card(self, match: re.Match[str]) -> str:
        found = match.group()
        return self.token("card", found).text if normal.is_card(found) else found


_WALKED: Final = frozenset({str, dict, list})
