"""What people write becomes motives, where it comes in; the words themselves go into the identity vault and no further.

The vocabulary is `dbt_project/seeds/vocabulary.csv`: its rows of the locus `motive` are read here, those of `claim` by
dbt. A text is first made into plain words (what parts words and what denies them is said once, in `dbt_project.yml`,
for both), then each motive is one regular expression over them. The expressions hold nothing but words, alternatives
and bounded gaps, so that looking takes time in the length of the text. One text is looked at by Python's `re`, a column
of them by Arrow's RE2: the same expressions, and a test holds the two together.

    "I do not care about the price, but is it organic?"   →   "ethics -price"
"""

import csv
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from genome.errors import GenomeError
from genome.settings import PROJECT_ROOT

if TYPE_CHECKING:
    import pyarrow as pa

LOCUS: Final = "motive"
PROPERTY: Final = "_motives"
"""Where an interaction's properties name the motives of its text: words between blanks, `-` before those against."""

TEXT_EVENTS: Final = frozenset(
    {
        "Product Reviewed",
        "Survey Answered",
        "Survey Submitted",
        "Service Contacted",
        "Complaint Opened",
        "Ticket Opened",
        "Message Sent",
        "Post Commented",
        "Brand Mentioned",
    }
)
"""Events in which a person says something in words of their own."""
TEXT_FIELDS: Final = frozenset(
    {
        "text",
        "comment",
        "message",
        "review",
        "review_body",
        "body",
        "feedback",
        "answer",
        "answers",
        "description",
    }
)
"""Where such an event has those words, at whatever depth."""
NOT_SAID: Final = frozenset(
    {"question", "prompt", "title", "label", "name", "author", "description", "type", "id"}
)
"""What stands beside a person's words inside such a field, and is the form's or the shop's: its motives are nobody's.
(`description` is the person's own at the top of an event; deeper, products and cases have one.)"""
CHANNELS: Final = frozenset({"web", "app", "survey", "social", "service"})
"""Channels of which dbt stages motives; of the others they are not evidence, live as little as there."""

_PROJECT: Final = PROJECT_ROOT / "dbt_project"
_APOSTROPHES: Final = "['’]"
LONGEST: Final = 20_000
"""Characters of a text that are looked at: nobody says in more what could not be said in these."""
AGENT: Final = "agent"
"""The `author` of words that are not the customer's."""
_READING: Final = "1"
"""Of this code: raised when the same rows read the same text in another way."""


@dataclass(frozen=True)
class _Allele:
    """The expressions of one allele, over plain words; None where no term says such a thing."""

    name: str
    towards: re.Pattern[str] | None
    against: re.Pattern[str] | None
    nothing: re.Pattern[str] | None


class Vocabulary:
    """Recognises the alleles of one locus in texts.

    Attributes:
        version: two vocabularies of one version read every text alike.
    """

    def __init__(self, rows: Sequence[dict[str, str]], not_a_word: str, negation: str) -> None:
        """Make the expressions.

        Args:
            rows: of the seed `vocabulary`, all of one locus.
            not_a_word: what parts words, an expression.
            negation: what denies the word behind it, an expression over words between single blanks.
        """
        told = sorted([row["allele"], row["term"], row["says"], row["negated_says"]] for row in rows)
        said = json.dumps([_READING, told, not_a_word, negation]).encode()
        self.version = hashlib.sha256(said).hexdigest()[:16]
        self._apostrophe, self._not_a_word = re.compile(_APOSTROPHES), re.compile(not_a_word)
        self._negation = re.compile(negation)
        terms: dict[str, dict[str, list[str]]] = {}
        for row in rows:
            mine = terms.setdefault(row["allele"], {"for": [], "against": [], "none": []})
            term = self._term(row["term"])
            mine[row["says"]].append(term)
            if row["says"] != "none" and row["negated_says"] != "none":
                mine[row["negated_says"]].append(f"not_{term}")
        self._alleles = tuple(
            _Allele(name, *(_any(of[says]) for says in ("for", "against", "none")))
            for name, of in sorted(terms.items())
        )

    @property
    def alleles(self) -> tuple[str, ...]:
        """What can be recognised, by name."""
        return tuple(each.name for each in self._alleles)

    def plain_words(self, text: str) -> str:
        """A text as plain words: the macro `plain_words` says the same in SQL."""
        text = self._apostrophe.sub("", text[:LONGEST].lower())
        return self._negation.sub(" not_", self._not_a_word.sub(" ", f" {text} "))

    def said(self, text: str) -> str | None:
        """The alleles that a text speaks for, and with `-` before them those it speaks against; None: of none.

        What is against goes before: "I do not care about the price" names the price, too.
        """
        words = self.plain_words(text)
        found = []
        for each in self._alleles:
            if each.nothing is not None and each.nothing.search(words):
                continue
            if each.against is not None and each.against.search(words):
                found.append(f"-{each.name}")
            elif each.towards is not None and each.towards.search(words):
                found.append(each.name)
        return " ".join(found) or None

    def said_of_all(self, texts: "pa.Array") -> "pa.Array":
        """`said` of a column of texts (nulls say nothing), at once."""
        import pyarrow as pa
        import pyarrow.compute as pc

        words = pc.utf8_lower(pc.utf8_slice_codeunits(texts.cast(pa.string()), 0, LONGEST))
        words = pc.replace_substring_regex(words, _APOSTROPHES, "")
        words = pc.binary_join_element_wise(" ", words, " ", "")
        words = pc.replace_substring_regex(words, self._not_a_word.pattern, " ")
        words = pc.replace_substring_regex(words, self._negation.pattern, " not_")
        parts = []
        for each in self._alleles:
            spoken = pc.if_else(_holds(words, each.towards), f"{each.name} ", "")
            spoken = pc.if_else(_holds(words, each.against), f"-{each.name} ", spoken)
            parts.append(pc.if_else(_holds(words, each.nothing), "", spoken))
        joined = pc.utf8_rtrim_whitespace(pc.binary_join_element_wise(*parts, ""))
        return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)

    def _term(self, term: str) -> str:
        """A term as an expression: `stem*` any ending, `*` alone one word or two."""
        words = self.plain_words(term.replace("*", "ǂ")).split()
        return " ".join(
            "[^ ]+(?: [^ ]+)?" if word == "ǂ" else re.escape(word.rstrip("ǂ")) + "[^ ]*" * word.endswith("ǂ")
            for word in words
        )


def _any(terms: list[str]) -> re.Pattern[str] | None:
    return re.compile(f" (?:{'|'.join(terms)}) ") if terms else None


def _holds(words: "pa.Array", pattern: re.Pattern[str] | None) -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    if pattern is None:
        return pa.repeat(False, len(words))
    return pc.fill_null(pc.match_substring_regex(words, pattern.pattern), False)


@cache
def motives() -> Vocabulary:
    """The vocabulary of motives.

    Raises:
        GenomeError: its files are not there or cannot be read.
    """
    return read(_PROJECT / "seeds" / "vocabulary.csv", _PROJECT / "dbt_project.yml", LOCUS)


def read(terms: Path, project: Path, locus: str) -> Vocabulary:
    """The vocabulary of one locus, from its two files.

    Raises:
        GenomeError: which of them cannot be read.
    """
    try:
        with terms.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["locus_id"] == locus]
        said = yaml.safe_load(project.read_text(encoding="utf-8"))["vars"]
        return Vocabulary(rows, said["not_a_word"], said["negation"])
    except (OSError, KeyError, ValueError, re.error, yaml.YAMLError) as error:
        raise GenomeError(
            f"The vocabulary cannot be read: {type(error).__name__}: {error}.",
            f"Mend {terms.name} or {project.name} in {project.parent}.",
        ) from error
