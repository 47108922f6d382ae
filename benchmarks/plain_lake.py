"""A plain fast generator of a lake with the mall's shape, for sizes that the mall itself would take long to make.

Of 1,000 customers 60 are active on a day, as in the mall; each active day is some forty interactions: a receipt of
about fifteen lines, views, carts and searches of the web and the app, points, e-mails, beacons, and now and then a
refund of an earlier line, a message that came twice, a mailing. Half of what a customer chooses comes from twenty
products of their own, the rest is popular. Everything follows from hashes of customer, day and place, so that any
range of days can be made by itself, at any time, and is the same.

There is no truth behind these tastes: quality is measured on the mall, cost on this.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from genome.lake import files, layout, manifest
from genome.lake.compiler import text
from genome.lake.manifest import Counts, DataFile, Entry, Source
from genome.settings import Settings

FIRST_DAY = datetime(2024, 1, 10, tzinfo=UTC)
PRODUCTS = 2_000
OFFERS = 40

# channel, interaction type, how many an active day has in the mean, has it a product, has it a quantity
_KINDS = """
    ('pos', 'Order Completed', 15.4, true, true), ('web', 'Product Viewed', 4.9, true, false),
    ('app', 'Product Viewed', 2.0, true, false), ('loyalty', 'Points Earned', 1.9, false, false),
    ('web', 'Page Viewed', 1.8, false, false), ('email', 'Email Delivered', 1.5, false, false),
    ('location', 'Store Entered', 1.1, false, false), ('location', 'Store Exited', 1.1, false, false),
    ('location', 'Mall Entered', 1.1, false, false), ('location', 'Mall Exited', 1.1, false, false),
    ('web', 'Product Added', 0.8, true, true), ('web', 'Products Searched', 0.7, false, false),
    ('web', 'Product List Viewed', 0.7, false, false), ('app', 'Application Opened', 0.6, false, false),
    ('email', 'Email Opened', 0.6, false, false), ('app', 'Product Added', 0.3, true, true),
    ('web', 'Promotion Viewed', 0.3, false, false), ('app', 'Products Searched', 0.3, false, false)
"""


@dataclass(frozen=True)
class Shape:
    """How large a lake is.

    Attributes:
        customers: people; each has one key.
        active: of a thousand, how many are active on a day.
        days: of history, from `FIRST_DAY` on.
    """

    customers: int
    days: int
    active: int = 60


def write_history(settings: Settings, shape: Shape) -> int:
    """The catalogue and all days of the history; returns how many interactions."""
    _write_catalogue(settings)
    rows = 0
    for first in range(0, shape.days, 30):
        rows += write_days(settings, shape, first, min(30, shape.days - first), f"days{first:04d}")
    return rows


def write_days(
    settings: Settings, shape: Shape, first: int, days: int, name: str, *, late_days: int = 0
) -> int:
    """Some days as one batch of each channel; returns how many interactions.

    Args:
        settings: whose lake.
        shape: of the whole.
        first: the first day, counted from `FIRST_DAY`.
        days: how many.
        name: what the batches are called.
        late_days: so many days after they happened the interactions became known.
    """
    with _engine(settings) as engine:
        _make_rows(engine, shape, first, days, late_days, name)
        [*channels] = engine.execute(
            "SELECT channel, count(*) FROM made GROUP BY channel ORDER BY 1"
        ).fetchall()
        for channel, _ in channels:
            _write_channel(settings, engine, channel, name)
    return sum(int(rows) for _, rows in channels)


def now(shape: Shape, days_later: int = 0) -> datetime:
    """A minute after the last day of the history, or so many days later."""
    return FIRST_DAY + timedelta(days=shape.days + days_later, hours=6)


def _make_rows(
    engine: duckdb.DuckDBPyConnection, shape: Shape, first: int, days: int, late_days: int, name: str
) -> None:
    """`made`: the interactions of some days, in the lake's columns."""
    # A refund comes one to nine days after its line, so lines of nine days before are looked at too.
    refunds_from = max(0, first - 9)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE lines_and_more AS
        WITH active AS (
            SELECT c AS customer, d AS day, hash(c, d) AS h
            FROM range({shape.customers}) AS people(c), range({refunds_from}, {first + days}) AS time(d)
            WHERE hash(c, d, 1) % 1000 < {shape.active}
        ), kinds AS (
            SELECT row_number() OVER () AS kind, * FROM (VALUES {_KINDS})
                AS each(channel, interaction_type, mean, has_product, has_quantity)
        ), several AS (
            SELECT customer, day, kind, channel, interaction_type, has_product, has_quantity,
                unnest(range(cast(floor(mean * (0.5 + (hash(h, kind) % 1000) / 1000.0)
                    + (hash(h, kind, 2) % 1000) / 1000.0) AS BIGINT))) AS place
            FROM active, kinds
            WHERE day >= {first} OR interaction_type = 'Order Completed'
        )
        SELECT customer, day, channel, interaction_type, has_quantity, place,
            hash(customer, day, kind, place) AS h,
            CASE WHEN has_product THEN CASE WHEN hash(customer, day, kind, place, 3) % 2 = 0
                THEN hash(customer, hash(day, kind, place) % 20, 4) % {PRODUCTS}
                ELSE cast(floor({PRODUCTS} * pow((hash(customer, day, kind, place, 5) % 100000) / 100000.0, 3))
                    AS BIGINT) END END AS product
        FROM several
        """
    )
    known = f"INTERVAL {late_days * 24 * 3600 + 2} SECOND"
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE made AS
        WITH rows AS (
            SELECT *, TIMESTAMPTZ '{FIRST_DAY.isoformat()}' + to_seconds(day * 86400 + 28800 + h % 43200) AS happened,
                day AS order_day
            FROM lines_and_more WHERE day >= {first}
            UNION ALL
            SELECT customer, day + 1 + h % 9, channel, 'Order Refunded', true, place, hash(h, 6), product,
                TIMESTAMPTZ '{FIRST_DAY.isoformat()}' + to_seconds((day + 1 + h % 9) * 86400 + 28800 + h % 43200), day
            FROM lines_and_more
            WHERE interaction_type = 'Order Completed' AND hash(h, 7) % 160 = 0
                AND day + 1 + h % 9 BETWEEN {first} AND {first + days - 1}
            UNION ALL
            SELECT c, d, 'direct_mail', 'Campaign Sent', false, 0, hash(c, d, 9), NULL,
                TIMESTAMPTZ '{FIRST_DAY.isoformat()}' + to_seconds(d * 86400 + 28800), d
            FROM range({shape.customers}) AS people(c), range({first}, {first + days}) AS time(d)
            WHERE d % 30 = 15 AND hash(c, d, 8) % 5 = 0
        )
        SELECT
            md5(concat_ws(':', customer, day, interaction_type, h)) AS interaction_id,
            'plain' AS source_id, 'plain' AS seller_id, channel, interaction_type,
            happened AS occurred_at, happened AS original_at, happened AS sent_at, happened + {known} AS received_at,
            concat_ws('-', 'b', customer, order_day, channel) AS session_id,
            'user' AS customer_key_type, 'u' || substr(md5(customer::VARCHAR), 1, 16) AS customer_key,
            (100000 + product)::VARCHAR AS product_id, NULL::VARCHAR AS offer_id,
            CASE WHEN channel = 'pos' THEN 's' || customer % 20 END AS store_id,
            CASE WHEN has_quantity THEN 1.0 + (h % 7) // 6 END AS quantity,
            CASE WHEN has_quantity THEN (1 + product % 37 + product % 4 * 0.25)::DECIMAL(18, 4) END AS amount,
            'USD' AS currency,
            CASE WHEN interaction_type = 'Campaign Sent' THEN '{{"campaign_id":"campaign-' || day // 30 || '"}}'
                 WHEN channel = 'pos' THEN '{{"line_number":' || place || ',"retail_discount":'
                    || CASE WHEN h % 5 = 0 THEN '0.5' ELSE '0' END || '}}'
                 ELSE '{{}}' END AS properties,
            0::INTEGER AS _key_version, false AS _known_assumed, channel || '-{name}' AS _batch_id,
            TIMESTAMPTZ '{FIRST_DAY.isoformat()}' + INTERVAL {(first + days + late_days) * 24 + 1} HOUR AS _ingested_at
        FROM rows
        """
    )
    # One message in a thousand came twice.
    engine.execute("INSERT INTO made SELECT * FROM made WHERE hash(interaction_id) % 1000 = 0")


def _write_channel(settings: Settings, engine: duckdb.DuckDBPyConnection, channel: str, name: str) -> None:
    batch = f"{channel}-{name}"
    months = engine.execute(
        f"SELECT strftime(occurred_at, '%Y-%m') AS month, count(*) FROM made WHERE channel = {text(channel)}"
        " GROUP BY month ORDER BY month"
    ).fetchall()
    written = []
    for month, rows in months:
        relative = layout.interactions_file(channel, month, batch)
        path = settings.lake / relative
        files.make_folder(path.parent)
        engine.execute(
            f"COPY (SELECT * FROM made WHERE channel = {text(channel)} AND strftime(occurred_at, '%Y-%m') ="
            f" {text(month)} ORDER BY customer_key, occurred_at) TO {text(str(path))}"
            " (FORMAT parquet, COMPRESSION zstd)"
        )
        written.append(DataFile(relative, int(rows), path.stat().st_size, batch))
    _commit(settings, layout.INTERACTIONS, channel, batch, written)


def _write_catalogue(settings: Settings) -> None:
    since = "TIMESTAMPTZ '2023-01-01 00:00:00+00'"
    feeds = {
        "products": f"""
            SELECT (100000 + p)::VARCHAR AS product_id, 'D' || p % 8 AS department, 'C' || p % 90 AS category,
                'T' || p % 300 AS product_type, 'B' || hash(p) % 150 AS brand_id,
                CASE WHEN hash(p, 1) % 4 = 0 THEN 'Private' ELSE 'National' END AS brand_type,
                (1 + p % 24) || ' OZ' AS package_size, 'plain' AS seller_id, 1.0::DOUBLE AS price,
                NULL::VARCHAR AS label, NULL::TIMESTAMPTZ AS retired_at, {since} AS valid_from,
                {since} AS received_at, true AS _known_assumed, 'products-plain' AS _batch_id, {since} AS _ingested_at
            FROM range({PRODUCTS}) AS each(p)""",
        "offers": f"""
            SELECT 'offer-' || o AS offer_id, 'campaign-' || o % 13 AS campaign_id, 'A' AS campaign_type,
                'upc-' || o AS coupon_upc, 'cross_sell' AS kind, 'plain' AS seller_id, 0.2::DOUBLE AS discount,
                TIMESTAMPTZ '{FIRST_DAY.isoformat()}' + to_days((o % 13 * 30 + 15)::INTEGER) AS starts_at,
                TIMESTAMPTZ '{FIRST_DAY.isoformat()}' + to_days((o % 13 * 30 + 45)::INTEGER) AS ends_at,
                {since} AS announced_at, (100000 + (o * 50 + p) % {PRODUCTS})::VARCHAR AS product_id,
                {since} AS received_at, true AS _known_assumed, 'offers-plain' AS _batch_id, {since} AS _ingested_at
            FROM range({OFFERS}) AS each(o), range(20) AS covered(p)""",
    }
    with _engine(settings) as engine:
        for feed, query in feeds.items():
            batch = f"{feed}-plain"
            relative = layout.catalog_file(feed, batch)
            path = settings.lake / relative
            files.make_folder(path.parent)
            engine.execute(f"COPY ({query}) TO {text(str(path))} (FORMAT parquet)")
            [(rows,)] = engine.execute(f"SELECT count(*) FROM read_parquet({text(str(path))})").fetchall()
            _commit(
                settings, layout.CATALOG, feed, batch, [DataFile(relative, rows, path.stat().st_size, batch)]
            )


def _commit(settings: Settings, dataset: str, channel: str, batch: str, written: list[DataFile]) -> None:
    rows = sum(each.rows for each in written)
    manifest.commit(
        settings,
        Entry(
            batch_id=batch,
            dataset=dataset,
            channel=channel,
            files=tuple(written),
            source=Source(batch, hashlib.sha256(batch.encode()).hexdigest(), 1),
            counts=Counts(received=rows, accepted=rows),
            ingested_at=FIRST_DAY.isoformat(),
            contract="plain",
        ),
    )


@contextmanager
def _engine(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    spill = Path(settings.home) / "spill-plain"
    files.make_folder(spill)
    with duckdb.connect(":memory:") as engine:
        engine.execute(f"SET memory_limit = '{settings.memory_limit}'")
        engine.execute(f"SET threads = {settings.threads}")
        engine.execute(f"SET temp_directory = {text(str(spill))}")
        engine.execute("SET TimeZone = 'UTC'")
        yield engine
