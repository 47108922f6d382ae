"""Contacts that are alike: one person with two cards is found, two of one family are not."""

import random
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from genome.identity import decisions, likeness, resolve
from genome.lake.ingest import ingest
from genome.settings import Settings
from genome.simulate.febrl import cards, pairs

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def compared(rows: list[dict[str, str | None]], threshold: float = likeness.THRESHOLD) -> set[frozenset[str]]:
    with duckdb.connect() as con:
        con.execute("SET threads = 1")
        con.register("given", pd.DataFrame(rows, columns=["unique_id", *likeness.COLUMNS], dtype="string"))
        con.execute("CREATE TABLE cards AS FROM given")
        found = likeness.compare(con, threshold)
    return {frozenset(pair) for pair in zip(found.one, found.other, strict=True)}


def people(count: int, seed: int = 5) -> list[dict[str, str | None]]:
    """Strangers: names, streets and numbers of their own."""
    draw = random.Random(seed)

    def word(length: int) -> str:
        return "".join(draw.choice(LETTERS) for _ in range(length))

    names = [word(6) for _ in range(120)]
    return [
        {
            "unique_id": f"p{number}",
            "first_name": draw.choice(names),
            "last_name": draw.choice(names),
            "birth": str(draw.randrange(1940, 2008)),
            "street": f"{draw.randrange(200)} {word(8)} street",
            "postcode": str(draw.randrange(10_000, 10_400)),
            "email": f"{word(9)}@example.com",
            "phone": f"+1555{draw.randrange(10**7):07d}",
        }
        for number in range(count)
    ]


def second(card: dict[str, str | None], suffix: str = "b", **said: str | None) -> dict[str, str | None]:
    return {**card, "unique_id": f"{card['unique_id']}{suffix}", **said}


def test_one_person_with_two_cards_is_found_and_strangers_are_not() -> None:
    strangers = people(1_200)
    again = []
    for number, card in enumerate(strangers[:240]):
        name = str(card["first_name"])
        again.append(
            second(card, phone=None, first_name=name[:-1] + "x")
            if number % 3 == 0
            else second(card, email=None, street="1 new place")
            if number % 3 == 1
            else second(card, email=f"other{number}@example.org", phone=None)
        )
    found = compared(strangers + again)
    true = {frozenset((f"p{number}", f"p{number}b")) for number in range(240)}
    assert len(found & true) / len(found) >= 0.995
    assert len(found & true) / len(true) >= 0.95


def test_nobody_is_joined_where_there_are_no_duplicates() -> None:
    assert compared(people(800)) == set()


def test_duplicates_that_are_all_alike_teach_nothing_and_are_found_all_the_same() -> None:
    strangers = people(900)
    found = compared(strangers + [second(card) for card in strangers[:150]])
    assert found == {frozenset((f"p{number}", f"p{number}b")) for number in range(150)}


def test_two_of_one_family_stay_two() -> None:
    strangers = people(400)
    father, mother, twin = strangers[0], strangers[1], strangers[2]
    family = [
        # A son of his father's name at his father's address and telephone.
        second(father, birth="1999" if father["birth"] != "1999" else "1998", email=None),
        # A wife of her husband's year, name, address and telephone.
        second(mother, first_name="completely", email=None),
        second(twin, first_name="different", email=None),
        # A father and a son of one name, of whom nothing else is known.
        second(strangers[3], "c", birth=None, email=None, phone=None),
    ]
    assert compared(strangers + family) == set()


@pytest.mark.parametrize("number", [1, 4])
def test_febrl_is_found_with_next_to_no_mistake(number: int) -> None:
    found = compared(cards(number).to_dict("records"))
    true = pairs(number)
    assert len(found & true) / len(found) >= 0.995
    assert len(found & true) / len(true) >= 0.9


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home", now=NOW, threads=1)
    rows = people(300)
    rows.append(second(rows[0], phone=None))
    rows.append(second(rows[1], phone=None))
    head = "contact_id,user_id,first_name,last_name,birth_date,street,postcode,email,phone,updated_at"
    lines = [head]
    for row in rows:
        # The first has one account, found twice under other numbers; the second has two.
        user = "u-" + str(row["unique_id"]) if row["unique_id"] in ("p0", "p1", "p1b") else ""
        said = [row[name] or "" for name in ("first_name", "last_name")]
        where = [row[name] or "" for name in ("street", "postcode", "email", "phone")]
        email = where[2] if not str(row["unique_id"]).endswith("b") else ""
        lines.append(
            ",".join(
                [
                    str(row["unique_id"]),
                    user,
                    *said,
                    f"{row['birth']}-05-01",
                    where[0],
                    where[1],
                    email,
                    where[3],
                    "2026-01-05T10:00:00Z",
                ]
            )
        )
    folder = settings.inbox / "crm"
    folder.mkdir(parents=True)
    (folder / "contacts-2026-01.csv").write_text("\n".join(lines) + "\n")
    ingest(settings, "crm")
    return settings


def test_a_likeness_is_a_link_with_its_weight_known_from_when_it_was_found(home: Settings) -> None:
    done = resolve.resolve(home)
    assert done.matches == 1
    rows = pq.read_table(resolve.current(home)["identity_links"]).to_pylist()
    [alike, conflict] = [row for row in rows if row["proof"] == "likeness"]
    assert (alike["owner_key"], alike["other_key"], alike["reason"]) == ("contact:p0", "contact:p0b", None)
    assert alike["weight"] >= likeness.THRESHOLD
    assert alike["known_at"] == NOW
    # Two accounts are two persons, however alike they are: a person may say otherwise.
    assert (conflict["owner_key"], conflict["reason"]) == ("contact:p1", "conflict")
    keys = pq.read_table(resolve.current(home)["identity_keys"]).to_pylist()
    now = {row["source_key"]: row["customer_id"] for row in keys if row["known_to"] is None}
    assert now["contact:p0b"] == now["contact:p0"]
    assert now["contact:p1b"] != now["contact:p1"]

    # What was found stays as it was found, until the cards change or a person speaks against it.
    later = home.model_copy(update={"now": datetime(2026, 3, 9, tzinfo=UTC)})
    resolve.resolve(later, force=True)
    assert pq.read_table(resolve.current(home)["identity_links"]).to_pylist() == rows
    decisions.unmerge(later, "contact:p0", "contact:p0b", by="ann", reason="brothers")
    resolve.resolve(later)
    told = pq.read_table(resolve.current(home)["identity_links"]).to_pylist()
    [alike] = [row for row in told if row["proof"] == "likeness" and row["owner_key"] == "contact:p0"]
    assert alike["reason"] == "by_a_person"


def test_no_raw_value_is_written_beside_the_vault(home: Settings) -> None:
    resolve.resolve(home)
    street, name = people(1)[0]["street"], people(1)[0]["email"]
    for path in home.home.rglob("*"):
        if path.is_file() and "inbox" not in path.parts:
            content = path.read_bytes()
            assert str(street).encode() not in content, path
            assert str(name).encode() not in content, path
