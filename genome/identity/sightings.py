"""What batches of the lake say about who is who: each pair of identifiers once, and when each key first came by itself.

The lake holds a row for each event, resolution needs one for each pair. What is made here of a day's batches is
added to what is kept of the batches before (`kept.py`): least times and sums, which come out the same in any order.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genome.identity import rules
from genome.identity.facts import MERGED, UNMERGED, Sources, rows
from genome.lake import layout
from genome.lake.compiler import text

if TYPE_CHECKING:
    import duckdb

KINDS = tuple(sorted({kind for rule in rules.LINKS for kind in (rule.owner, rule.other)}))
"""Kinds that a rule names. First instants of others, such as receipts, are looked up where a person decides on one."""

_KEY = "customer_key_type || ':' || customer_key"
_KNOWN = "epoch_us(greatest(occurred_at, received_at))"
_OWN = f"""
    {_KEY} AS key, min({_KNOWN}) AS known,
    -- Of several that became known at once the one that happened first, whatever order they are read in.
    arg_min(epoch_us(occurred_at), {_KNOWN}::HUGEINT * 18446744073709551616 + epoch_us(occurred_at)) AS valid
"""


def decided(con: "duckdb.DuckDBPyConnection", sources: Sources) -> None:
    """Make the table `decided (interaction_id, is_merge, one, other, first)`: decisions of persons, once each."""
    con.execute(
        f"""
        CREATE TEMP TABLE decided AS
        SELECT
            interaction_id, any_value(interaction_type) = {text(MERGED)} AS is_merge,
            any_value(json_extract_string(properties, '$.one')) AS one,
            any_value(json_extract_string(properties, '$.other')) AS other,
            min({_KNOWN}) AS first
        FROM {rows(sources.decisions.files(), layout.INTERACTION_COLUMNS)}
        WHERE interaction_type IN ({text(MERGED)}, {text(UNMERGED)})
        GROUP BY interaction_id
        HAVING one IS NOT NULL AND other IS NOT NULL
        """
    )


def batches(con: "duckdb.DuckDBPyConnection", own: Sequence[Path], further: Sequence[Path]) -> None:
    """Make the table `fresh_batches (name, interactions, identifiers)`: what was not read yet, and rows.

    A row says itself which batch it is of: files of `maintain_lake` hold rows of several, seen and unseen.

    Args:
        con: with the table `kept_batches`.
        own: files of interactions that the last run did not read.
        further: files of identifiers likewise.
    """
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE fresh_batches AS
        SELECT name, CAST(sum(interactions) AS BIGINT) AS interactions, CAST(sum(identifiers) AS BIGINT) AS identifiers
        FROM (
            SELECT coalesce(_batch_id, '') AS name, count(*) AS interactions, 0 AS identifiers
            FROM {rows(own, layout.INTERACTION_COLUMNS)} GROUP BY name
            UNION ALL
            SELECT coalesce(_batch_id, '') AS name, 0, count(*)
            FROM {rows(further, layout.IDENTIFIER_COLUMNS)} GROUP BY name
        )
        WHERE name NOT IN (SELECT name FROM kept_batches)
        GROUP BY name
        """
    )


def read(
    con: "duckdb.DuckDBPyConnection", sources: Sources, own: Sequence[Path], further: Sequence[Path]
) -> None:
    """Make the tables `fresh_pairs` and `fresh_own` of the rows of `fresh_batches`.

        fresh_pairs (owner, other, is_typed, rule, first, count, days)   keys as text, microseconds since 1970
        fresh_own (key, known, valid)                                    when it was known, and when that happened

    `days` is null where nobody typed; else the first instants of the two days on which the pair was known first.

    Args:
        con: with the tables `decided`, `fresh_batches` and `kept_keys`.
        sources: which files count.
        own: files of interactions in which those batches are.
        further: files of identifiers likewise.
    """
    links = ", ".join(
        f"({number}, {text(rule.owner)}, {text(rule.other)})" for number, rule in enumerate(rules.LINKS)
    )
    typed = f"channel IN ({', '.join(text(channel) for channel in sorted(rules.TYPED_CHANNELS))})"
    # Where nothing is kept everything is fresh, and no row has to be asked.
    [(some,)] = con.execute("SELECT count(*) FROM kept_batches").fetchall()
    is_fresh = "coalesce(_batch_id, '') IN (SELECT name FROM fresh_batches)" if some else "true"
    con.execute(
        f"""
        CREATE TEMP TABLE fresh_pairs AS
        WITH met AS (
            SELECT
                customer_key_type AS kind_a, customer_key AS key_a, identifier_type AS kind_b, identifier AS key_b,
                {typed} AS is_typed, CASE WHEN {typed} THEN CAST(occurred_at AS DATE) END AS day,
                min({_KNOWN}) AS first, count(*) AS count
            FROM {rows(further, layout.IDENTIFIER_COLUMNS)}
            WHERE customer_key IS NOT NULL AND identifier IS NOT NULL AND {is_fresh}
            GROUP BY ALL
        ),
        rules (rule, owner, other) AS (VALUES {links}),
        turned AS (
            SELECT rule, owner || ':' || key_a AS owner, other || ':' || key_b AS other, is_typed, day, first, count
            FROM met INNER JOIN rules ON kind_a = owner AND kind_b = other
            UNION ALL
            SELECT rule, owner || ':' || key_b, other || ':' || key_a, is_typed, day, first, count
            FROM met INNER JOIN rules ON kind_a = other AND kind_b = owner AND owner <> other
        ),
        daily AS (
            SELECT rule, owner, other, is_typed, day, min(first) AS first, sum(count) AS count
            FROM turned WHERE owner <> other GROUP BY ALL
        )
        SELECT
            owner, other, is_typed, CAST(rule AS TINYINT) AS rule, min(first) AS first,
            CAST(sum(count) AS BIGINT) AS count,
            CASE WHEN is_typed THEN list_sort(list({{first: first, day: day}}))[1:2] END AS days
        FROM daily GROUP BY rule, owner, other, is_typed
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE odd AS
        SELECT DISTINCT key FROM (SELECT unnest([one, other]) AS key FROM decided)
        WHERE split_part(key, ':', 1) NOT IN ({", ".join(map(text, KINDS))})
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE fresh_own AS
        SELECT {_OWN} FROM {rows(own, layout.INTERACTION_COLUMNS)}
        WHERE customer_key IS NOT NULL AND {is_fresh}
            AND customer_key_type IN ({", ".join(map(text, KINDS))})
        GROUP BY key
        """
    )
    [(some,)] = con.execute("SELECT count(*) FROM odd").fetchall()
    if some:
        _look_up_odd(con, sources, own)


def _look_up_odd(con: "duckdb.DuckDBPyConnection", sources: Sources, own: Sequence[Path]) -> None:
    """Add first instants of keys of other kinds: of all of the lake when they are decided on, then of what is new."""
    everything = rows(sources.interactions.files(), layout.INTERACTION_COLUMNS)
    con.execute(
        f"""
        INSERT INTO fresh_own
        SELECT {_OWN} FROM {everything}
        WHERE {_KEY} IN (SELECT key FROM odd WHERE key NOT IN (SELECT key FROM kept_keys)) GROUP BY key
        UNION ALL
        SELECT {_OWN} FROM {rows(own, layout.INTERACTION_COLUMNS)}
        WHERE {_KEY} IN (SELECT key FROM odd WHERE key IN (SELECT key FROM kept_keys))
            AND coalesce(_batch_id, '') IN (SELECT name FROM fresh_batches)
        GROUP BY key
        """
    )
