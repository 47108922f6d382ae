"""Records of the event stream as rows of the lake: one definition for every channel that sends live.

A record becomes one interaction, as a row of a file does; an order becomes one for each of its products, as
the lines of an order in a file do. The id is made as a connector makes it, from channel, source and
the message's own id (and the line, where there are several), so the same event by both ways has one id.

    of the record                          in the lake
    message_id (and the line in products)  interaction_id
    name                                   interaction_type
    products[n], else the properties       product_id (or sku), quantity, amount, store_id, offer_id, currency
    traits of an identify call             properties
    context: referrer, path, os, time zone properties, where the event does not say it itself
    flags                                  properties._flags
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genome.lake import files, layout
from genome.lake.compiler import instant, text
from genome.lake.manifest import Counts, DataFile, Entry, Source
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb

CONTRACT: Final = "stream-1"
"""What an entry says in place of a connector's fingerprint: this mapping's version."""

_RECORD: Final = (
    '{"source":"VARCHAR","channel":"VARCHAR","type":"VARCHAR","name":"VARCHAR","message_id":"VARCHAR",'
    '"received":"BIGINT","occurred":"BIGINT","original":"BIGINT","sent":"BIGINT","key_type":"VARCHAR",'
    '"key":"VARCHAR","key_version":"INTEGER","identifiers":["JSON"],"seller":"VARCHAR","session":"VARCHAR",'
    '"properties":"JSON","traits":"JSON","context":"JSON","flags":["VARCHAR"],"known_assumed":"BOOLEAN"}'
)


def _identifier(document: str, *names: str) -> str:
    """The first identifier that a JSON object has under these names; 42, 42.0 and "42" are one."""
    each = []
    for name in names:
        found = f"json_extract_string({document}, '$.{name}')"
        each.append(
            f"nullif(trim(CASE WHEN json_type({document}, '$.{name}') = 'DOUBLE' "
            f"THEN regexp_replace({found}, '\\.0+$', '') ELSE {found} END), '')"
        )
    return f"coalesce({', '.join(each)})"


def _number(document: str, name: str, type_: str) -> str:
    """A number of a JSON object, which may be text; null where it is none."""
    return f"TRY_CAST(json_extract_string({document}, '$.{name}') AS {type_})"


_DECIMAL: Final = "DECIMAL(18,4)"
_LINE_AMOUNT: Final = (
    f"coalesce({_number('item', 'amount', _DECIMAL)}, CAST({_number('item', 'price', 'DOUBLE')} "
    f"* coalesce({_number('item', 'quantity', 'DOUBLE')}, 1) "
    f"- coalesce({_number('item', 'discount', 'DOUBLE')}, 0) AS {_DECIMAL}))"
)
_WHOLE_AMOUNT: Final = ", ".join(
    _number("said", name, _DECIMAL) for name in ("amount", "total", "revenue", "value")
)

_ROWS: Final = f"""
WITH read AS (
  SELECT _row, json_transform(body, {text(_RECORD)}) AS r FROM given
),
told AS (
  SELECT _row, r,
    CASE WHEN r.type = 'identify' AND r.traits IS NOT NULL
      THEN json_merge_patch(coalesce(r.properties, '{{}}'), r.traits)
      ELSE coalesce(r.properties, '{{}}') END AS said
  FROM read
),
around AS (
  SELECT _row, r,
    CASE WHEN r.context IS NULL THEN said ELSE json_merge_patch(json_object(
        'referrer', json_extract_string(r.context, '$.page.referrer'),
        'page', json_extract_string(r.context, '$.page.path'),
        'os', json_extract_string(r.context, '$.os.name'),
        'timezone', json_extract_string(r.context, '$.timezone'),
        'utm', json_extract(r.context, '$.campaign')
      ), said) END AS said
  FROM told
),
lined AS (
  SELECT _row, r,
    CASE WHEN len(r.flags) > 0
      THEN json_merge_patch(said, json_object('_flags', r.flags)) ELSE said END AS said,
    CASE WHEN r.name LIKE 'Order %' AND json_type(said, '$.products') = 'ARRAY'
        AND json_array_length(said, '$.products') > 0
      THEN CAST(json_extract(said, '$.products[*]') AS JSON[]) END AS items
  FROM around
),
alone AS (
  SELECT _row, r, said, CAST(NULL AS JSON) AS item, CAST(NULL AS INTEGER) AS line FROM lined
  WHERE items IS NULL
  UNION ALL
  SELECT _row, r, json_merge_patch(said, '{{"products":null}}') AS said, unnest(items) AS item,
    unnest(range(1, len(items) + 1)) AS line
  FROM lined WHERE items IS NOT NULL
),
lines AS (
  SELECT _row, r, item, line,
    CASE WHEN item IS NULL OR json_type(item) <> 'OBJECT' THEN said
      ELSE json_merge_patch(json_merge_patch(said, item), json_object('line_number', line)) END AS said
  FROM alone
)
SELECT _row, line,
  md5(concat_ws(chr(31), r.channel, r.source, r.message_id, CAST(line AS VARCHAR))) AS interaction_id,
  r.source AS source_id,
  r.seller AS seller_id,
  r.channel AS channel,
  r.name AS interaction_type,
  make_timestamptz(r.occurred) AS occurred_at,
  make_timestamptz(coalesce(r.original, r.occurred)) AS original_at,
  make_timestamptz(r.sent) AS sent_at,
  make_timestamptz(r.received) AS received_at,
  coalesce(r.session, {_identifier("said", "session_id", "message_id", "transaction_id")}) AS session_id,
  r.key_type AS customer_key_type,
  r.key AS customer_key,
  {_identifier("said", "product_id", "sku")} AS product_id,
  {_identifier("said", "offer_id", "promotion_id", "coupon_id")} AS offer_id,
  {_identifier("said", "store_id")} AS store_id,
  coalesce({_number("said", "quantity", "DOUBLE")},
    CASE WHEN line IS NOT NULL AND r.name LIKE 'Order %' THEN 1 END) AS quantity,
  CAST(CASE WHEN line IS NOT NULL THEN CASE WHEN r.name LIKE 'Order %' THEN {_LINE_AMOUNT} END
    WHEN r.name LIKE 'Order %' THEN coalesce({_WHOLE_AMOUNT})
    ELSE {_number("said", "amount", _DECIMAL)} END AS {_DECIMAL}) AS amount,
  upper(json_extract_string(said, '$.currency')) AS currency,
  CAST(CASE WHEN r.name LIKE 'Place %' AND json_type(said, '$.seconds') IS NOT NULL
    THEN json_merge_patch(json_object('dwell_seconds', json_extract(said, '$.seconds')), said)
    ELSE said END AS VARCHAR) AS properties,
  coalesce(r.key_version, 0) AS _key_version,
  coalesce(r.known_assumed, false) AS _known_assumed,
  r.identifiers AS identifiers
FROM lines
"""

_FURTHER: Final = """
SELECT interaction_id, source_id, seller_id, channel, occurred_at, received_at, customer_key_type,
  customer_key, json_extract_string(each, '$[0]') AS identifier_type,
  json_extract_string(each, '$[1]') AS identifier,
  coalesce(CAST(json_extract_string(each, '$[2]') AS INTEGER), 0) AS _key_version,
  _known_assumed, _batch_id, _ingested_at
FROM (SELECT *, unnest(identifiers) AS each FROM landing WHERE line IS NULL OR line = 1)
"""
"""The identifiers that an event carries belong to it once, however many lines it has."""


@dataclass(frozen=True)
class Landed:
    """What a batch of records became: files that lie in the lake and count once an entry names them.

    Attributes:
        entries: one for each channel.
        sources: `<source>|<channel>` → (events, rows).
    """

    entries: tuple[Entry, ...]
    sources: dict[str, tuple[int, int]]


def land(settings: Settings, bodies: Sequence[bytes], batch: str, *, work: Path, now: datetime) -> Landed:
    """Write records as Parquet, by channel and month; nothing counts before the manifest says so.

    Args:
        settings: where the lake is.
        bodies: the records, as the stream holds them, in their order.
        batch: the batch's name.
        work: a folder of the lake's own disk for files that are not whole yet; removed at the end.
        now: our clock.
    """
    with _reading(settings, bodies, work) as con:
        con.execute(
            "CREATE TEMP TABLE landing AS SELECT *, "
            f"{text(batch)} AS _batch_id, {instant(now)} AS _ingested_at FROM ({_ROWS})"
        )
        sources = {
            f"{source}|{channel}": (events, rows)
            for source, channel, events, rows in con.execute(
                "SELECT source_id, channel, count(DISTINCT _row), count(*) FROM landing GROUP BY ALL"
            ).fetchall()
        }
        columns = ", ".join(f'CAST("{name}" AS {type_}) AS "{name}"' for name, type_ in _COLUMNS)
        main = _by_month(
            settings, con, f"SELECT {columns} FROM landing", batch, layout.interactions_file, work
        )
        further = _by_month(
            settings, con, _FURTHER, batch, layout.identifiers_file, work,
            tie=", identifier_type, identifier",
        )  # fmt: skip
    entries = tuple(
        Entry(
            batch_id=f"{batch}-{channel}",
            dataset=layout.INTERACTIONS,
            channel=channel,
            files=tuple(written),
            source=Source("stream", "", 0),
            counts=Counts(received=rows, accepted=rows),
            ingested_at=now.isoformat(),
            contract=CONTRACT,
            identifiers=tuple(further.get(channel, ())),
        )
        for channel, written in sorted(main.items())
        for rows in (sum(each.rows for each in written),)
    )
    return Landed(entries, sources)


_COLUMNS: Final = tuple(layout.INTERACTION_COLUMNS.items())


@contextmanager
def _reading(
    settings: Settings, bodies: Sequence[bytes], work: Path
) -> "Iterator[duckdb.DuckDBPyConnection]":
    """The records as the table `given (_row, body)` of a connection of their own."""
    import duckdb
    import pyarrow as pa

    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    con = duckdb.connect(":memory:")
    try:
        con.execute(f"SET temp_directory = {text(str(work / 'spill'))}")
        con.execute(f"SET memory_limit = {text(settings.memory_limit)}")
        con.execute(f"SET threads = {settings.threads}")
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET autoinstall_known_extensions = false")
        con.execute("SET autoload_known_extensions = false")
        body = pa.array(bodies, type=pa.binary()).cast(pa.string())
        given = pa.table({"_row": pa.array(range(len(bodies)), type=pa.int64()), "body": body})
        con.register("given", given)
        yield con
    finally:
        con.close()
        shutil.rmtree(work, ignore_errors=True)


def _by_month(
    settings: Settings,
    con: "duckdb.DuckDBPyConnection",
    query: str,
    batch: str,
    place: Callable[[str, str, str], str],
    work: Path,
    *,
    tie: str = "",
) -> dict[str, list[DataFile]]:
    """One Parquet file for each channel and month of a query's rows; channel → its files."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE writing AS {query}")
    month = "strftime(occurred_at, '%Y-%m')"
    facts = con.execute(
        f"SELECT channel, {month}, count(*), min(occurred_at), max(occurred_at), max(received_at) "
        "FROM writing GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    written: dict[str, list[DataFile]] = {}
    for number, (channel, of_month, rows, first, last, known) in enumerate(facts):
        relative = place(channel, of_month, batch)
        part = work / f"{number}.parquet"
        con.execute(
            f"COPY (FROM writing WHERE channel = {text(channel)} AND {month} = {text(of_month)} "
            # The id makes the order total, so that a second try writes the same bytes.
            f"ORDER BY customer_key, occurred_at, interaction_id{tie}) TO {text(str(part))} "
            "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        )
        digest, size = files.sha256(part), part.stat().st_size
        final = settings.lake / relative
        files.make_folder(final.parent)
        files.commit(part, final)
        written.setdefault(channel, []).append(
            DataFile(
                path=relative,
                rows=rows,
                bytes=size,
                sha256=digest,
                min_occurred_at=first.isoformat(),
                max_occurred_at=last.isoformat(),
                max_received_at=known.isoformat(),
            )
        )
    return written
