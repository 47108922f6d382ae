"""Contacts that are probably one person: Splink on what the CRM gives, where no identifier joins them.

Only keys and weights leave here. The raw values are read from the identity vault into a database in memory that may
not spill, and are gone with it. Splink learns from random pairs how often values agree by chance (u), and how often
they agree for one person (m) by expectation maximisation. Where a file shows no duplicates there is nothing to learn
m from: it stays as FEBRL's labelled sets gave it (docs/identity.md). A weight alone joins nobody: first names must be
alike and births equal (or unknown, where e-mail or phone agree), so a father and his son of one name and one address
stay two, and so do twins who share a telephone.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import structlog

from genome.identity.facts import Sources, rows
from genome.identity.vault import Vault
from genome.lake import layout
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb

THRESHOLD: Final = 10.0
"""Match weight (log2 of the odds) from which two contacts are one person: chosen on FEBRL, docs/identity.md."""

KEEPS: Final = 2.0
"""A likeness that was found stays until its weight is this much below the threshold: what Splink learns moves a
little with every delivery, and a customer should not come and go with it."""

COLUMNS: Final = ("first_name", "last_name", "birth", "street", "postcode", "email", "phone")
"""What a card may say; each may be null."""

log = structlog.get_logger(__name__)

_KINDS: Final = ("name", "address", "email", "phone")
_LEARN_FROM: Final = 100
"""So many pairs must agree on a number or an address before m is learned from a file."""
_SEED: Final = 7
_PAIRS: Final = 500_000

_M: Final = {
    "name": [0.41, 0.05, 0.23, 0.03, 0.11, 0.07, 0.10],
    "birth": [0.92, 0.025, 0.005, 0.05],
    "street": [0.45, 0.35, 0.10, 0.10],
    "postcode": [0.80, 0.18, 0.02],
    "email": [0.90, 0.05, 0.05],
    "phone": [0.89, 0.06, 0.005, 0.045],
}
"""How often two cards of one person agree, level by level, best first: means of FEBRL 1 to 4."""

_BLOCKS: Final = (
    ("phone",),
    ("email",),
    ("street", "postcode"),
    ("birth", "postcode"),
    ("first_name", "last_name", "birth"),
    ("first_name", "last_name", "postcode"),
    ("first_name", "last_name", "street"),
    ("last_name", "birth", "street"),
    ("first_name", "birth", "street"),
)
"""Two cards are compared at all if they agree on all columns of one of these."""

_NAMES_ALIKE: Final = (1, 3, 4, 5, 6)
"""Splink's levels of the names in which the first name agrees, nearly agrees, or stands in the other's place."""
_SAME_BIRTH: Final = 3
_SAME_EMAIL: Final = 2
_SAME_PHONE: Final = 3


@dataclass(frozen=True)
class Likeness:
    """Pairs of cards that are probably one person's, each once.

    Attributes:
        one: an id of the cards.
        other: the other one.
        weight: log2 of the odds.
    """

    one: list[str]
    other: list[str]
    weight: list[float]


def contacts(settings: Settings, sources: Sources, threshold: float = THRESHOLD) -> Likeness:
    """Compare the newest contact cards of the lake with each other.

    Args:
        settings: where the vault is.
        sources: which files count.
        threshold: the least weight.
    """
    with in_memory(settings) as con:
        _load(con, settings, sources)
        return compare(con, threshold)


@contextmanager
def in_memory(settings: Settings) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A database for raw values: it cannot write a byte to a disk."""
    import duckdb

    con = duckdb.connect(":memory:")
    try:
        con.execute("SET temp_directory = ''")
        con.execute(f"SET memory_limit = '{settings.memory_limit}'")
        # One thread: sums in one order, so that a second run gives the same weights.
        con.execute("SET threads = 1")
        con.execute("SET TimeZone = 'UTC'")
        yield con
    finally:
        con.close()


def _load(con: "duckdb.DuckDBPyConnection", settings: Settings, sources: Sources) -> None:
    """Make the table `cards`: the newest card of each contact, tokens turned into what they stand for."""
    import pyarrow as pa

    vault = Vault(settings)
    try:
        tokens, values = vault.reveal_all(_KINDS, reader="identity")
    finally:
        vault.close()
    plain = pa.table({"token": pa.array(tokens, pa.string()), "value": pa.array(values, pa.string())})
    con.register("revealed", plain)
    said = ("first_name", "last_name", "street", "postcode", "birth_date")
    texts = ", ".join(f"json_extract_string(properties, '$.{name}') AS {name}" for name in said)
    con.execute(
        f"""
        CREATE TEMP TABLE cards AS
        WITH written AS (
            SELECT interaction_id, 'contact:' || customer_key AS key, {texts}
            FROM {rows(sources.interactions.files("crm"), layout.INTERACTION_COLUMNS)}
            WHERE customer_key_type = 'contact' AND interaction_type = 'Profile Updated'
            QUALIFY row_number() OVER (
                PARTITION BY customer_key ORDER BY occurred_at DESC, received_at DESC, interaction_id
            ) = 1
        ),
        beside AS (
            SELECT interaction_id,
                min(CASE WHEN identifier_type = 'email' THEN identifier END) AS email,
                min(CASE WHEN identifier_type = 'phone' THEN identifier END) AS phone
            FROM {rows(sources.interactions.identifiers("crm"), layout.IDENTIFIER_COLUMNS)}
            GROUP BY interaction_id
        )
        SELECT key AS unique_id, firsts.value AS first_name, lasts.value AS last_name, birth_date AS birth,
            streets.value AS street, postcode, emails.value AS email, phones.value AS phone
        FROM written
        LEFT JOIN beside ON written.interaction_id = beside.interaction_id
        LEFT JOIN revealed AS firsts ON first_name = firsts.token
        LEFT JOIN revealed AS lasts ON last_name = lasts.token
        LEFT JOIN revealed AS streets ON street = streets.token
        LEFT JOIN revealed AS emails ON beside.email = emails.token
        LEFT JOIN revealed AS phones ON beside.phone = phones.token
        ORDER BY unique_id
        """
    )
    con.unregister("revealed")


def compare(con: "duckdb.DuckDBPyConnection", threshold: float = THRESHOLD) -> Likeness:
    """Find pairs among the rows of the table `cards (unique_id, …COLUMNS)` of a connection.

    Args:
        con: in memory; Splink's own tables go with it.
        threshold: the least weight.
    """
    cards = int(con.execute("SELECT count(*) FROM cards").fetchall()[0][0])
    if cards < 2:
        return Likeness([], [], [])
    agreeing = _agreeing(con)
    # Seven in ten duplicates agree on one of the things that are counted.
    chance = min(0.1, max(agreeing, 1) / 0.7 / (cards * (cards - 1) / 2))
    blocks = (("first_name", "last_name"), ("birth", "postcode")) if agreeing >= _LEARN_FROM else ()
    logging.getLogger("splink").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Splink tells of every level that a file has no pair for
        linker = _trained(con, chance, blocks)
        found = linker.inference.predict(threshold_match_weight=threshold).as_pandas_dataframe()
    kept = found[_believable(found)]
    one, other = np.asarray(kept["unique_id_l"], str), np.asarray(kept["unique_id_r"], str)
    return Likeness(
        np.where(one < other, one, other).tolist(),
        np.where(one < other, other, one).tolist(),
        kept["match_weight"].astype(float).tolist(),
    )


def _trained(con: "duckdb.DuckDBPyConnection", chance: float, blocks: Sequence[tuple[str, ...]]) -> Any:
    """Splink, knowing what agrees by chance; and what agrees for one person, from pairs that agree on a block."""
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on
    from splink import comparison_library as compared
    from splink.internals.exceptions import EMTrainingException

    comparisons = {
        "name": compared.ForenameSurnameComparison("first_name", "last_name"),
        "birth": compared.DamerauLevenshteinAtThresholds("birth", [1, 2]),
        "street": compared.JaroWinklerAtThresholds("street", [0.92, 0.8]),
        "postcode": compared.DamerauLevenshteinAtThresholds("postcode", [1]),
        "email": compared.JaroWinklerAtThresholds("email", [0.96]),
        "phone": compared.DamerauLevenshteinAtThresholds("phone", [1, 2]),
    }
    linker = Linker(
        DuckDBAPI(connection=con).register("cards"),
        SettingsCreator(
            link_type="dedupe_only",
            probability_two_random_records_match=chance,
            comparisons=[each.configure(m_probabilities=_M[name]) for name, each in comparisons.items()],
            blocking_rules_to_generate_predictions=[block_on(*each) for each in _BLOCKS],
            retain_matching_columns=True,
            retain_intermediate_calculation_columns=False,
        ),
        log_level=logging.ERROR,
    )
    linker.training.estimate_u_using_random_sampling(max_pairs=_PAIRS, seed=_SEED)
    for block in blocks:
        try:
            linker.training.estimate_parameters_using_expectation_maximisation(
                block_on(*block), max_pairs=_PAIRS
            )
        except (EMTrainingException, ValueError) as error:
            # No pair agrees on these, or what agrees is all alike. A session that broke leaves Splink without the
            # comparisons of its block: begin anew without it.
            log.warning("likeness_not_learned", block=block, error=type(error).__name__)
            return _trained(con, chance, [each for each in blocks if each != block])
    return linker


def _believable(found: Any) -> Any:
    """Of each pair, whether the two can be one person at all."""
    names = found["gamma_first_name_last_name"].isin(_NAMES_ALIKE)
    birth = found["gamma_birth"]
    born = birth == _SAME_BIRTH
    # A year is a year; of a whole date a digit may be mistyped, and two of one family are hardly born on one.
    dated = found["birth_l"].str.len().ge(8).fillna(False).astype(bool)
    nearly = dated & birth.isin((1, 2))
    number = (found["gamma_email"] == _SAME_EMAIL) | (found["gamma_phone"] == _SAME_PHONE)
    return (names & (born | (number & (nearly | (birth == -1))))) | (number & born & dated)


def _agreeing(con: "duckdb.DuckDBPyConnection") -> int:
    """Pairs of cards with one phone, one e-mail address, or one name, birth and postcode."""
    counted = [
        f"SELECT sum(cards * (cards - 1) // 2) FROM (SELECT count(*) AS cards FROM cards "
        f"WHERE {' AND '.join(f'{name} IS NOT NULL' for name in names)} GROUP BY {', '.join(names)}) WHERE cards < 10"
        for names in (("phone",), ("email",), ("first_name", "last_name", "birth", "postcode"))
    ]
    return max(int(con.execute(query).fetchall()[0][0] or 0) for query in counted)
