"""A small world that has been ingested and built for real: 24 households of the demo, and odd rows besides.

The odd rows are what the demo's year lacks: refunds (in part, whole, of two lines, known late), dislikes,
views, a till with a clock from the future, a late delivery, a product that no feed knows. And made-up lives, in
which anything happens in any order.
"""

import functools
import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from genome import warehouse
from genome.demo.complete_journey import write_inbox
from genome.lake import files, layout, publish
from genome.lake.ingest import ingest
from genome.lake.manifest import Counts, DataFile, Entry, Manifest, Source, commit
from genome.settings import Settings

NOW = datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)
HOUSEHOLDS = 24
LIVES = 60
CHANNELS = ("products", "offers", "direct_mail", "loyalty", "crm", "pos")

_SCHEMA = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("interaction_id", "source_id", "seller_id", "channel", "interaction_type")
        ),
        *(
            (name, pa.timestamp("us", "UTC"))
            for name in ("occurred_at", "original_at", "sent_at", "received_at")
        ),
        *(
            (name, pa.string())
            for name in (
                "session_id",
                "customer_key_type",
                "customer_key",
                "product_id",
                "offer_id",
                "store_id",
            )
        ),
        ("quantity", pa.float64()),
        ("amount", pa.decimal128(18, 4)),
        ("currency", pa.string()),
        ("properties", pa.string()),
        ("_key_version", pa.int32()),
        ("_known_assumed", pa.bool_()),
        ("_batch_id", pa.string()),
        ("_ingested_at", pa.timestamp("us", "UTC")),
    ]
)


def land_rows(settings: Settings, batch: str, rows: list[dict[str, Any]], channel: str = "pos") -> None:
    """Commit interactions to the lake as a batch of a channel, as a connector would."""
    filled = [
        {
            **dict.fromkeys(_SCHEMA.names),
            "interaction_id": hashlib.md5(f"{batch}:{number}".encode()).hexdigest(),
            "source_id": "test",
            "channel": channel,
            "customer_key_type": "household",
            "properties": "{}",
            "_batch_id": batch,
            "_ingested_at": NOW,
            "received_at": row["occurred_at"],
            **row,
        }
        for number, row in enumerate(rows)
    ]
    written = []
    by_month: dict[str, list[dict[str, Any]]] = {}
    for row in filled:
        by_month.setdefault(f"{row['occurred_at']:%Y-%m}", []).append(row)
    for month, part in sorted(by_month.items()):
        relative = layout.interactions_file(channel, month, batch)
        path = settings.lake / relative
        files.make_folder(path.parent)
        pq.write_table(pa.Table.from_pylist(part, _SCHEMA), path)
        written.append(DataFile(relative, len(part), path.stat().st_size, files.sha256(path)))
    commit(
        settings,
        Entry(
            batch_id=batch,
            dataset=layout.INTERACTIONS,
            channel=channel,
            files=tuple(written),
            source=Source(batch, hashlib.sha256(batch.encode()).hexdigest(), 1),
            counts=Counts(received=len(rows), accepted=len(rows)),
            ingested_at=NOW.isoformat(),
            contract="test",
        ),
    )


def odd_rows(settings: Settings) -> list[dict[str, Any]]:
    """What the demo's year lacks, about lines that are in it."""
    lines = lake(settings)
    lines = lines[(lines.interaction_type == "Order Completed") & (lines.quantity > 0)]
    lines = lines.sort_values(["occurred_at", "interaction_id"])
    rows: list[dict[str, Any]] = []

    def refund(line: Any, after: timedelta, quantity: float | None, late: timedelta = timedelta(0)) -> None:
        rows.append(
            {
                "interaction_type": "Order Refunded",
                "customer_key": line.customer_key,
                "session_id": line.session_id,
                "product_id": line.product_id,
                "quantity": quantity,
                "occurred_at": line.occurred_at.to_pydatetime() + after,
                "received_at": line.occurred_at.to_pydatetime() + after + late,
            }
        )

    several = lines[lines.quantity >= 2]
    for number, line in enumerate(several.iloc[:: max(1, len(several) // 30)].itertuples()):
        refund(line, timedelta(days=1 + number % 9), 1.0, timedelta(days=number % 3 * 20))
        if number % 2:
            refund(line, timedelta(days=11), None)
        if number % 5 == 0:
            refund(line, timedelta(days=12), 3.0)
    # Of products bought only once, so that taking them back leaves nothing at all.
    counts = lines.groupby(["customer_key", "product_id"]).interaction_id.transform("count")
    once = lines[counts == 1]
    for line in once.iloc[:: max(1, len(once) // 40)].itertuples():
        refund(line, timedelta(days=3), None)
    for number, line in enumerate(lines.iloc[:: max(1, len(lines) // 60)].itertuples()):
        kind = ("Product Viewed", "Product Disliked", "Order Completed", "Order Completed")[number % 4]
        at = line.occurred_at.to_pydatetime()
        rows.append(
            {
                "interaction_type": kind,
                "customer_key": line.customer_key,
                "product_id": "nobody-knows-it" if number % 12 == 2 else line.product_id,
                "session_id": f"odd-{number}" if kind == "Order Completed" else None,
                "quantity": 2.0 if kind == "Order Completed" else None,
                "amount": "3.5000" if kind == "Order Completed" else None,
                "occurred_at": at,
                # A late delivery, or a till whose clock runs a day ahead.
                "received_at": at + timedelta(days=40) if number % 8 == 3 else at - timedelta(days=1),
                "properties": json.dumps({"line_number": 1, "retail_discount": 0.5}),
            }
        )
    return [
        row
        | {
            "amount": None
            if row.get("amount") is None
            else pa.scalar(row["amount"]).cast(pa.decimal128(18, 4)).as_py()
        }
        for row in rows
        if row["occurred_at"] < NOW and row["received_at"] < NOW
    ]


def any_lives(settings: Settings) -> list[list[dict[str, Any]]]:
    """Made-up histories that obey no habit, by the batch that brings them: households `life-1` and so on.

    Any order, refunds before their lines, in part, too much and again, quantities of nothing, fractions and
    thousands, deliveries up to a year late, clocks from the future, the same interaction in several batches.
    """
    choose = random.Random(20261126)
    products = sorted(lake(settings).product_id.dropna().unique())[::97][:40]
    batches: list[list[dict[str, Any]]] = [[], [], [], []]
    for life in range(1, LIVES + 1):
        mine = choose.sample(products, choose.choice([1, 3, 12]))
        for number in range(choose.choice([1, 4, 40])):
            kind = choose.choice(
                ["Order Completed"] * 4 + ["Order Refunded"] * 3 + ["Product Viewed", "Product Disliked"]
            )
            seconds = choose.choice([60, 3_600, 5_400_000, 30_000_000])
            occurred = NOW - timedelta(seconds=60 + choose.randrange(seconds))
            late = timedelta(seconds=choose.randrange(86_400 * choose.choice([1, 1, 1, 30, 365, 365])))
            ahead = timedelta(days=choose.choice([0, 0, 0, 2]))
            is_money = kind.startswith("Order")
            row = {
                "interaction_id": hashlib.md5(f"life {life} {number}".encode()).hexdigest(),
                "interaction_type": kind,
                "customer_key": f"life-{life}",
                "product_id": choose.choice(mine),
                "session_id": f"life-{life}-{choose.randrange(4)}" if is_money else None,
                "quantity": choose.choice([1.0, 2.0, 0.5, 3.0, 0.0, 4_000.0, None]) if is_money else None,
                "amount": pa.scalar("2.5000").cast(pa.decimal128(18, 4)).as_py() if is_money else None,
                "occurred_at": min(occurred, NOW - timedelta(minutes=1)),
                "received_at": min(
                    max(occurred - ahead, occurred + late - ahead), NOW - timedelta(seconds=1)
                ),
                "properties": json.dumps({"line_number": choose.randrange(1, 4), "retail_discount": 0.0}),
            }
            first = choose.randrange(len(batches))
            batches[first].append(row)
            if choose.random() < 0.2:
                batches[choose.randrange(first, len(batches))].append(row)
    for batch in batches:
        choose.shuffle(batch)
    return batches


def spoken_rows(settings: Settings) -> list[dict[str, Any]]:
    """Texts, as connectors leave them: the motives that they name, for and against, some of them heard late."""
    lines = lake(settings).sort_values(["occurred_at", "interaction_id"])
    lines = lines[lines.interaction_type == "Order Completed"]
    said = ("price", "quality -price", "health", "price service", "-ethics", "unheard-of")
    kinds = ("Survey Answered", "Complaint Opened", "Survey Answered", "Post Liked")
    return [
        {
            "interaction_type": kinds[number % len(kinds)],
            "customer_key": line.customer_key,
            "product_id": line.product_id if number % 3 == 0 else None,
            "occurred_at": line.occurred_at.to_pydatetime(),
            "received_at": line.occurred_at.to_pydatetime() + timedelta(days=number % 2 * 25),
            "properties": json.dumps({"_motives": said[number % len(said)]}),
        }
        for number, line in enumerate(lines.iloc[:: max(1, len(lines) // 90)].itertuples())
        if line.occurred_at < NOW - timedelta(days=30)
    ]


def lake(settings: Settings) -> pd.DataFrame:
    """Every committed interaction, as pandas reads it."""
    paths = Manifest.read(settings, layout.INTERACTIONS).files()
    return pd.concat([pq.ParquetFile(path).read().to_pandas() for path in paths], ignore_index=True)


def first_deliveries(settings: Settings) -> pd.DataFrame:
    """Every interaction once, as it was first delivered."""
    rows = lake(settings).sort_values(["received_at", "_batch_id"], kind="stable")
    return rows.drop_duplicates("interaction_id")


def catalog(settings: Settings, feed: str) -> pd.DataFrame:
    """Every committed row of a feed."""
    paths = Manifest.read(settings, layout.CATALOG).files(feed)
    return pd.concat([pq.ParquetFile(path).read().to_pandas() for path in paths], ignore_index=True)


def published(settings: Settings, table: str) -> pd.DataFrame:
    """A table of the current publication."""
    current = publish.current(settings, "genome")
    assert current is not None
    return pd.concat(
        [pq.ParquetFile(path).read().to_pandas() for path in current.files(table)], ignore_index=True
    )


@functools.cache
def build_once(base: Path) -> Settings:
    """The world, built and published once in a test session; treat it as read-only."""
    settings = Settings(
        home=base / "built-world", now=NOW, business_timezone="America/New_York", memory_limit="2GB"
    )
    write_inbox(settings, households=HOUSEHOLDS)
    for channel in CHANNELS:
        ingest(settings, channel)
    odd, lives, spoken = odd_rows(settings), any_lives(settings), spoken_rows(settings)
    land_rows(settings, "pos-odd", odd)
    land_rows(settings, "survey-odd", spoken, "survey")
    for number, batch in enumerate(lives):
        land_rows(settings, f"pos-lives-{number}", batch)
    report = warehouse.build(settings)
    assert not report.skipped
    warehouse.stage(settings)
    publish.publish_staged(settings, "genome")
    return settings


def copy_of(settings: Settings, home: Path) -> Settings:
    """The same world in another home, to be changed at will."""
    shutil.copytree(settings.home, home)
    return settings.model_copy(update={"home": home})


def read_only(base: Path) -> Iterator[Settings]:
    """For fixtures: the world, and afterwards the assurance that nobody published into it."""
    settings = build_once(base)
    before = publish.current(settings, "genome")
    yield settings
    assert publish.current(settings, "genome") == before
