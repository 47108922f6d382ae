"""What products claim, against the vocabulary read word by word in plain Python."""

import csv
import re
from collections.abc import Iterator

import pandas as pd
import pytest
from support import built

from genome.settings import PROJECT_ROOT, Settings

NEGATIONS = re.split(
    " ", "not non no never without isnt arent wasnt werent dont doesnt didnt cant cannot hardly nor"
)
FILLERS = re.split(
    " ", "a an the any at all so too very really that much longer need want anything something"
)


def words(text: str) -> list[str]:
    """Words, each denied one with `not_` before it."""
    found: list[str] = []
    denied = False
    plain = re.split(r"[\W_]+", text.lower().replace("'", "").replace("’", ""))
    for word in [each for each in plain if each]:
        if not denied and word in NEGATIONS:
            denied = True
        elif not (denied and word in FILLERS):
            found.append(f"not_{word}" if denied else word)
            denied = False
    return found


def says(text: str, term: str) -> bool:
    """Whether a term's words stand in a text, one behind the other."""
    there, wanted = words(text), words(term)
    return any(there[at : at + len(wanted)] == wanted for at in range(len(there)))


def vocabulary() -> list[dict[str, str]]:
    with (PROJECT_ROOT / "dbt_project" / "seeds" / "vocabulary.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["locus_id"] == "claim"]


def claims(texts: Iterator[str]) -> set[str]:
    found: set[str] = set()
    for text in texts:
        here = {(row["allele"], row["says"]) for row in vocabulary() if says(text, row["term"])}
        found |= {allele for allele, _ in here if (allele, "none") not in here}
    return found


@pytest.fixture(scope="module")
def dna(world: Settings) -> pd.DataFrame:
    found = built.published(world, "dim_product_dna")
    return found[found.locus_id == "claim"]


def test_every_product_of_the_grocer_claims_what_its_words_say(world: Settings, dna: pd.DataFrame) -> None:
    catalog = built.catalog(world, "products")
    named = catalog[["category", "product_type"]].drop_duplicates()
    expected = {
        (row.category, row.product_type): claims(text for text in row if isinstance(text, str))
        for row in named.itertuples(index=False)
    }
    products = catalog.drop_duplicates("product_id").set_index("product_id")
    found = dna.groupby("product_id").gene_id.apply(set)
    wrong = {
        product: (row.category, row.product_type)
        for product, row in products.iterrows()
        if {gene.removeprefix("claim:") for gene in found.get(product, ())}
        != expected[row.category, row.product_type]
    }
    assert wrong == {}
    assert 0.1 < len(found) / len(products) < 0.3


def test_claims_of_a_product_share_its_locus(dna: pd.DataFrame) -> None:
    several = dna.groupby(["product_id", "valid_from"]).weight.agg(["sum", "count"])
    assert several["sum"].to_numpy() == pytest.approx(1.0, abs=1e-12)
    assert (several["count"] > 1).sum() > 100


def test_the_vocabulary_meets_the_words_of_a_real_catalogue(world: Settings, dna: pd.DataFrame) -> None:
    products = built.catalog(world, "products").drop_duplicates("product_id").set_index("product_id")

    def of(claim: str) -> set[str]:
        mine = dna[dna.gene_id == f"claim:{claim}"].product_id
        return set(products.product_type.reindex(mine).dropna())

    assert {"ORGANIC CARROTS", "ORGANIC HERBS"} <= of("organic")
    assert "PLANNERS & ORGANIZERS" not in of("organic")
    assert of("gluten_free") == {"GLUTEN FREE"}
    assert {"KIDS CEREAL", "VITAMIN - CHILDREN"} <= of("kids")
    assert {"SOY BEVERAGE", "NON DAIRY CREAMER: DRY"} <= of("dairy_free")
    # "Non herbal" is no herb, natural cheese is a kind of cheese, and a bulb is not low in fat.
    assert "VITAMIN - NON HERBAL SUPPLEMEN" not in of("herbal")
    assert {"NATURAL CHEESE EXACT WT CHUNKS", "CHEESE: NATURAL BULK"}.isdisjoint(of("natural"))
    assert of("light") == {"DIET/LIGHT BREAD"}
