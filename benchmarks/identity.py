"""How long who is who takes: a made-up lake of so many customers, resolved, beside what DuckDB alone needs to read it.

python benchmarks/identity.py --customers 10000 50000 100000 --json

Of each hundred customers 78 have a loyalty card, 60 an account and 45 the app; every fifth household shares a tablet,
every seventh a payment card. The lake holds 90 days and is resolved from nothing; then one more day lands, a
ninetieth of the interactions and one new customer in a thousand, where one in ten interactions comes with a cookie
or a card that is new. Contact cards are compared by themselves (`likeness_seconds`): that needs raw values, which a
benchmark has no vault for.
"""

import argparse
import json
import multiprocessing
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psutil
from simulate import RESULTS, PeakMemory

from genome.identity import likeness
from genome.identity.resolve import Resolved, resolve
from genome.lake import files, layout
from genome.lake.manifest import Counts, DataFile, Entry, Source, commit
from genome.settings import Settings

USER = "CASE WHEN c % 10 < 6 THEN 'U' || c END"
CARD = "CASE WHEN c % 50 < 39 THEN 'L' || c END"
COOKIE = "CASE WHEN (c // 2) % 5 = 0 AND e % 3 = 0 THEN 'T' || (c // 2) ELSE 'A' || c || '-' || (e % 3 + 3 * n) END"
TOKEN = "CASE WHEN (c // 2) % 7 = 0 THEN 'S' || (c // 2) ELSE 'K' || c || '-' || (e % 2 + 2 * n) END"
HOUSE = "'H' || (c // 2)"
CHANNELS = {
    "crm": (
        1,
        ("contact", "'C' || c"),
        {"user": USER, "loyalty_card": CARD, "household": HOUSE, "email": "'E' || c", "phone": "'P' || c"},
    ),
    "web": (12, ("user", USER), {"anonymous": COOKIE}),
    "app": (6, ("user", "CASE WHEN c % 20 < 9 THEN 'U' || c END"), {"device": "'D' || c"}),
    "pos": (20, ("loyalty_card", CARD), {"household": HOUSE, "payment_token": TOKEN}),
}
"""channel → events of each customer, the kind and value of the key, and those of the further identifiers."""


DAYS = 90
FIRST, NEXT = ("2026-01-01", DAYS), ("2026-04-01", 1)
"""From when on, and for how many days: what is resolved from nothing, and the day after."""


def make(settings: Settings, customers: int, when: tuple[str, int] = FIRST) -> tuple[int, int]:
    """Write and commit a lake, or one more day of it; returns how many interactions and further identifiers it has."""
    since, days = when
    batch = f"bench-{since}"
    # On a later day few of the events of those who are known, all of those who are new, and some new things.
    more, some, new = (
        (0, "true", "0")
        if when == FIRST
        else (
            customers // 1000,
            f"(c >= {customers} OR hash('some' || c || '-' || e) % {DAYS} = 0)",
            "(hash('new' || c || '-' || e) % 10 = 0)::INT",
        )
    )
    totals = [0, 0]
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for channel, (events, (kind, key), others) in CHANNELS.items():
            con.execute(
                f"CREATE OR REPLACE TEMP VIEW met AS SELECT '{kind}' AS customer_key_type, {key} AS customer_key, "
                f"md5('{batch}-{channel}' || c || '-' || e) AS interaction_id, c, e, {new} AS n, "
                f"TIMESTAMPTZ '{since}' + to_seconds((hash(c, e, '{channel}') % {days * 86_400})::BIGINT) "
                f"AS occurred_at FROM range({customers + more}) AS a(c), range({events}) AS b(e) "
                f"WHERE customer_key IS NOT NULL AND {some}"
            )
            further = " UNION ALL BY NAME ".join(
                f"SELECT *, '{name}' AS identifier_type, {value} AS identifier FROM met"
                for name, value in others.items()
            )
            written = []
            for number, (columns, query, place) in enumerate(
                (
                    (layout.INTERACTION_COLUMNS, "met", layout.interactions_file),
                    (layout.IDENTIFIER_COLUMNS, f"({further})", layout.identifiers_file),
                )
            ):
                listed = ", ".join(
                    f"{_value(name, channel, batch)}::{type_} AS {name}" for name, type_ in columns.items()
                )
                relative = place(channel, since[:7], f"{batch}-{channel}")
                path = settings.lake / relative
                files.make_folder(path.parent)
                where = "WHERE identifier IS NOT NULL" if number else ""
                con.execute(f"COPY (SELECT {listed} FROM {query} {where}) TO '{path}' (COMPRESSION zstd)")
                rows = con.execute(f"SELECT count(*) FROM '{path}'").fetchall()[0][0]
                totals[number] += rows
                written.append(DataFile(relative, rows, path.stat().st_size, "-"))
            commit(
                settings,
                Entry(
                    batch_id=f"{batch}-{channel}",
                    dataset=layout.INTERACTIONS,
                    channel=channel,
                    files=(written[0],),
                    source=Source("bench", "-", 0),
                    counts=Counts(written[0].rows, written[0].rows),
                    ingested_at=datetime.now(UTC).isoformat(),
                    contract="bench",
                    identifiers=(written[1],),
                ),
            )
    return totals[0], totals[1]


def _value(name: str, channel: str, batch: str) -> str:
    given = {
        "_batch_id": f"'{batch}-{channel}'",
        "channel": f"'{channel}'",
        "received_at": "occurred_at",
        "interaction_type": "'Page Viewed'",
        "properties": "'{}'",
        **{each: each for each in ("interaction_id", "customer_key_type", "customer_key", "occurred_at")},
        **{each: each for each in ("identifier_type", "identifier")},
    }
    return given.get(name, "NULL")


def raw(settings: Settings) -> float:
    """Seconds in which DuckDB, asked by hand, gives each pair and each key once."""
    with duckdb.connect() as con:
        con.execute(f"SET threads = {settings.threads}")
        con.execute(f"SET memory_limit = '{settings.memory_limit}'")
        begun = time.perf_counter()
        pairs, own = (
            f"read_parquet('{settings.lake}/{folder}/*/*/*.parquet', hive_partitioning = false)"
            for folder in ("identifiers", "interactions")
        )
        con.execute(
            "CREATE TABLE pairs AS SELECT customer_key_type, customer_key, identifier_type, identifier, "
            f"min(occurred_at) AS first, count(*) AS met FROM {pairs} GROUP BY ALL"
        )
        con.execute(
            "CREATE TABLE own AS SELECT customer_key_type, customer_key, min(occurred_at) AS first "
            f"FROM {own} GROUP BY ALL"
        )
        return time.perf_counter() - begun


def compare_cards(settings: Settings, customers: int) -> tuple[float, int]:
    """Seconds to compare as many contact cards, one in fifty of them a duplicate, and the pairs found."""
    with likeness.in_memory(settings) as con:
        con.execute(
            f"""
            CREATE TABLE cards AS
            WITH persons AS (
                SELECT c, 'name' || hash(c, 1) % 2000 AS first_name, 'family' || hash(c, 2) % 20000 AS last_name,
                    CAST(1940 + hash(c, 3) % 68 AS VARCHAR) AS birth,
                    hash(c, 4) % 200 || ' street ' || hash(c, 5) % 50000 AS street,
                    CAST(10000 + hash(c, 5) % 20000 AS VARCHAR) AS postcode,
                    'mail' || hash(c, 6) % 1000000000 || '@example.com' AS email,
                    '+1555' || hash(c, 7) % 1000000000 AS phone
                FROM range({customers}) AS a(c)
            )
            SELECT 'contact:' || c AS unique_id, * EXCLUDE (c) FROM persons
            UNION ALL
            SELECT 'contact:' || c || 'b', * EXCLUDE (c) REPLACE (
                CASE WHEN c % 100 THEN email END AS email, CASE WHEN c % 150 THEN phone END AS phone,
                CASE WHEN c % 200 THEN last_name ELSE last_name || 'x' END AS last_name,
                CASE WHEN c % 250 THEN street ELSE 'elsewhere' END AS street)
            FROM persons WHERE c % 50 = 0
            """
        )
        begun = time.perf_counter()
        found = likeness.compare(con)
        return time.perf_counter() - begun, len(found.one)


def measured(settings: Settings) -> tuple[Resolved, dict[str, float]]:
    """What a run found, and what it cost: by the clock, of the processor, and the most resident memory meanwhile."""
    memory = PeakMemory()
    memory.start()
    begun, worked = time.perf_counter(), time.process_time()
    done = resolve(settings)
    cost = {
        "seconds": round(time.perf_counter() - begun, 2),
        "cpu_seconds": round(time.process_time() - worked, 2),
        "peak_memory_mb": round(memory.stop() / 2**20),
    }
    return done, cost


def measure(customers: int, threads: int, memory_limit: str, with_likeness: bool) -> dict[str, Any]:
    """One size: from nothing, then nothing new, then one more day."""
    home = Path(tempfile.mkdtemp()) / "home"
    settings = Settings(home=home, threads=threads, memory_limit=memory_limit)
    try:
        interactions, identifiers = make(settings, customers)
        load = psutil.getloadavg()[0]
        done, cost = measured(settings)
        skipped = time.perf_counter()
        resolve(settings)
        skipped = time.perf_counter() - skipped
        raw_seconds = raw(settings)
        day_interactions, day_identifiers = make(settings, customers, NEXT)
        day, day_cost = measured(settings)
        if day.anew:
            raise SystemExit(f"the day was resolved from nothing: {day.anew}")
        cards_seconds, pairs = compare_cards(settings, customers) if with_likeness else (None, None)
    finally:
        shutil.rmtree(home.parent)
    return {
        "customers": customers,
        "interactions": interactions,
        "identifiers": identifiers,
        "pairs": done.links + done.refused,
        "keys": done.keys,
        **cost,
        "skipped_seconds": round(skipped, 3),
        "raw_seconds": round(raw_seconds, 2),
        "ratio": round(cost["seconds"] / raw_seconds, 2),
        "day": {
            "interactions": day_interactions,
            "identifiers": day_identifiers,
            "keys_resolved_again": day.again,
            **day_cost,
        },
        "likeness_seconds": None if cards_seconds is None else round(cards_seconds, 2),
        "likeness_pairs": pairs,
        "load_before": round(load, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=[10_000, 50_000, 100_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="3GB")
    parser.add_argument("--no-likeness", action="store_true", help="leave the contact cards out")
    parser.add_argument("--name", default="identity", help="benchmarks/results/<name>.json")
    parser.add_argument("--json", action="store_true", help="print the result")
    options = parser.parse_args()
    sizes = [
        _alone(measure, size, options.threads, options.memory_limit, not options.no_likeness)
        for size in sorted(options.customers)
    ]
    sha = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    result = {
        "what": "identity",
        "days": DAYS,
        "sizes": sizes,
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}",
        "git": sha.stdout.strip(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{options.name}.json").write_text(json.dumps(result, indent=2) + "\n")
    if options.json:
        print(json.dumps(result, indent=2))


def _alone(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What a function gives in a process of its own: memory that one size left would count in the next."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    main()
