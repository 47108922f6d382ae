"""Words of people become motives: by example, on any text, and alike for one text and for a column of them."""

import csv
import re

import duckdb
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from genome.errors import GenomeError
from genome.settings import PROJECT_ROOT
from genome.vocabulary import Vocabulary, motives, read

PROJECT = PROJECT_ROOT / "dbt_project"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Your milk costs much more here than elsewhere.", "price"),
        ("I do not care about the price, but is it organic?", "ethics -price"),
        ("It was NOT cheap", "price"),
        ("The pizza is all right for the price.", None),
        ("Price matters to me; the parcel was late.", "delivery price"),
        ("I don’t need anything luxurious", "-status"),
        ("Best frozen pizza I have had", "quality"),
        ("costly pricetags and shelves", None),
        ("", None),
        ("12345 !!", None),
    ],
)
def test_motives_by_example(text: str, expected: str | None) -> None:
    assert motives().said(text) == expected


WORDS = st.sampled_from(
    re.split(
        " ",
        "price cheap not no the very organic luxurious care about best a pizza i have had too many messages parcel "
        "don't isn’t for , . - ! 7 ÄPFEL naïve Ж",
    )
)
TEXTS = st.one_of(
    st.lists(WORDS, max_size=12).map(" ".join), st.text(st.characters(codec="utf-8"), max_size=60)
)


@settings(max_examples=200)
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_one_text_and_a_column_of_texts_say_the_same(texts: list[str]) -> None:
    vocabulary = motives()
    assert vocabulary.said_of_all(pa.array([*texts, None])).to_pylist() == [
        *(vocabulary.said(text) for text in texts),
        None,
    ]


@settings(max_examples=200)
@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_plain_words_are_those_of_the_dbt_macro(text: str) -> None:
    said = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    (found,) = duckdb.execute(
        "select regexp_replace(regexp_replace(' ' || replace(replace(lower($text), '''', ''), '’', '') || ' ',"
        " $gap, ' ', 'g'), $negation, ' not_', 'g')",
        {"text": text, "gap": said["not_a_word"], "negation": said["negation"]},
    ).fetchall()[0]
    assert motives().plain_words(text) == found


def test_every_term_of_the_seed_is_found_where_it_stands() -> None:
    with (PROJECT / "seeds" / "vocabulary.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["locus_id"] == "motive"]
    assert len(rows) > 150
    said = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    for row in rows:
        one = Vocabulary([row], said["not_a_word"], said["negation"])
        text = " ".join("thing" if word == "*" else word.replace("*", "s") for word in row["term"].split())
        expected = {"for": row["allele"], "against": f"-{row['allele']}", "none": None}[row["says"]]
        assert one.said(f"Well, {text.upper()}!") == expected, row


def test_a_vocabulary_that_cannot_be_read_says_which() -> None:
    with pytest.raises(GenomeError, match="vocabulary"):
        read(PROJECT / "nothing.csv", PROJECT / "dbt_project.yml", "motive")


def test_a_version_changes_with_what_the_vocabulary_says_and_with_nothing_else() -> None:
    said = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    rows = [
        {"allele": "price", "term": "cheap", "says": "for", "negated_says": "for"},
        {"allele": "ethics", "term": "organic", "says": "for", "negated_says": "against"},
    ]

    def version(changed: list[dict[str, str]], negation: str = said["negation"]) -> str:
        return Vocabulary(changed, said["not_a_word"], negation).version

    assert version(rows) == version(rows[::-1])
    assert len({version(rows), version(rows[:1]), version([rows[0] | {"says": "none"}, rows[1]])}) == 3
    assert version(rows, " not ") != version(rows)
    assert motives().version == motives.__wrapped__().version
