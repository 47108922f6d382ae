"""Personal values of a file become tokens before anything of it is written.

Each value is looked at once, however many rows hold it; the rows get their tokens by a join in DuckDB. The
raw values, and texts that people wrote, go to the identity vault when the file is committed, and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from genome.channels.contract import Field, Personal
from genome.identity.personal import Scrubber, birth_year
from genome.identity.tokens import Kind as TokenKind
from genome.identity.tokens import Token, Tokeniser
from genome.lake import compiler
from genome.settings import Settings
from genome.vocabulary import motives

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Tokens:
    """The tokens of one file: what the vault has to keep, and which key made them (0: there are none)."""

    made: tuple[Token, ...] = ()
    key_version: int = 0


def tokenise(settings: Settings, con: "duckdb.DuckDBPyConnection", reading: compiler.Reading) -> Tokens:
    """Make the relations `compiler.tokens_of(column)` for the personal columns that the file has."""
    fields = [each for each in reading.connector.personal if each.name in reading.columns]
    if not fields:
        return Tokens()
    # One key for the whole file: a rotation in its middle waits for the next one.
    tokeniser = Tokeniser(settings, calling_code=reading.connector.calling_code).frozen()
    made: dict[str, Token] = {}
    for each in fields:
        _column(con, reading, each, tokeniser, made)
    return Tokens(tuple(made.values()), tokeniser.key_version)


def _column(
    con: "duckdb.DuckDBPyConnection",
    reading: compiler.Reading,
    field: Field,
    tokeniser: Tokeniser,
    made: dict[str, Token],
) -> None:
    import pyarrow as pa

    values = [
        value for (value,) in con.execute(compiler.distinct_values(reading, field, "source")).fetchall()
    ]
    results: Sequence[str | None]
    if field.personal is Personal.BIRTH:
        results = [birth_year(value) for value in values]
    elif field.personal is Personal.TEXT:
        scrubber = Scrubber(tokeniser)
        results = [scrubber.text(value) for value in values]
        made.update((each.text, each) for each in scrubber.taken())
    elif field.personal is Personal.WORDS:
        results = motives().said_of_all(pa.array(values, type=pa.string())).to_pylist()
    else:
        kind = cast("TokenKind", str(field.personal))
        tokens = [tokeniser.token(kind, value) for value in values]
        results = [each.text for each in tokens]
        made.update((each.text, each) for each in tokens)
    table = pa.table(
        {"value": pa.array(values, type=pa.string()), "token": pa.array(results, type=pa.string())}
    )
    con.register("made_tokens", table)
    con.execute(f"CREATE TEMP TABLE {compiler.tokens_of(field.name)} AS SELECT value, token FROM made_tokens")
    con.unregister("made_tokens")
