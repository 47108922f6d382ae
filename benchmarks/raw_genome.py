"""The genome's heavy tables as hand-written DuckDB SQL: what `benchmarks/genome_size.py` holds the platform against.

One process, one file, no dbt, no tests, no contracts, no ledger, no identity resolution. From the same Parquet it makes
the history of evidence, genomes as lists at the cut-off and at label times, genes with share, trend and confidence, and
purchases as lists, and writes them as the same sorted Parquet. Traits, offers, populations and conflicts it leaves out,
and it takes product DNA as made (it is small): so what it is compared with does more.

A day is done as somebody would do it by hand: whoever the day's rows are about is made anew, the rest stays.

    python benchmarks/raw_genome.py HOME [--day]      prints seconds as JSON
"""

import argparse
import json
import time
from pathlib import Path

import duckdb

_INTERACTIONS = """
SELECT interaction_id, hash(interaction_id) AS id_hash, channel, interaction_type,
    customer_key_type || ':' || customer_key AS source_key, session_id, product_id,
    occurred_at, received_at, greatest(occurred_at, received_at) AS available_at,
    least(occurred_at, received_at) AS evidence_at, quantity, amount::DOUBLE AS amount,
    (properties->>'$.line_number')::INTEGER AS line_number, properties->>'$.campaign_id' AS campaign_id,
    {part} AS part
FROM read_parquet({files})
"""

_APPEND = """
INSERT INTO interactions
WITH landed AS ({landed}),
twice AS (SELECT id_hash FROM landed GROUP BY id_hash HAVING count(*) > 1),
once AS (
    SELECT landed.* FROM landed ANTI JOIN twice USING (id_hash)
    UNION ALL
    SELECT landed.* FROM landed SEMI JOIN twice USING (id_hash)
    QUALIFY row_number() OVER (PARTITION BY interaction_id ORDER BY received_at) = 1
)
SELECT * FROM once
WHERE NOT EXISTS (
    FROM interactions AS kept
    WHERE kept.id_hash = once.id_hash AND kept.interaction_id = once.interaction_id
)
"""

_TOUCHED = """
CREATE OR REPLACE TABLE touched AS SELECT DISTINCT source_key FROM interactions WHERE part = {part};
CREATE OR REPLACE TEMP TABLE mine AS SELECT * FROM interactions SEMI JOIN touched USING (source_key);
"""

_SPINE = """
CREATE OR REPLACE TABLE spine AS
SELECT source_key, valid_at, until_date, is_cutoff,
    row_number() OVER (PARTITION BY source_key ORDER BY valid_at)::INTEGER AS ordinal,
    (epoch_us(valid_at) - 1577836800000000) / 86400e6 AS valid_days
FROM (
    SELECT DISTINCT source_key, {as_of} AS valid_at, cast({as_of} AS DATE) + 1 AS until_date, true AS is_cutoff
    FROM mine
    UNION ALL
    SELECT DISTINCT source_key, date_trunc('day', starts_at), cast(starts_at AS DATE), false
    FROM mine JOIN read_parquet('{offers}') AS offers USING (campaign_id)
    WHERE interaction_type = 'Campaign Sent' AND date_trunc('day', starts_at) < {as_of}
);
"""

_EVIDENCE = """
CREATE OR REPLACE TABLE evidence AS
WITH weights AS (FROM (VALUES ('Order Completed', 1.0, 1.0), ('Product Added', 0.4, 0.0),
    ('Product Viewed', 0.15, 0.0), ('Promotion Clicked', 0.2, 0.0)) AS each(interaction_type, weight, k)),
lines AS (
    SELECT mine.*, weight, k FROM mine JOIN weights USING (interaction_type)
    WHERE product_id IS NOT NULL AND available_at < {as_of}
),
refunds AS (SELECT * FROM mine WHERE interaction_type = 'Order Refunded' AND available_at < {as_of}),
refunded AS (
    SELECT lines.*, coalesce(sum(quantity) OVER (PARTITION BY source_key, session_id, product_id
        ORDER BY line_number, interaction_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS units_before
    FROM lines SEMI JOIN refunds USING (source_key, session_id, product_id)
    WHERE interaction_type = 'Order Completed'
),
in_turn AS (
    SELECT *, coalesce(sum(quantity) OVER (PARTITION BY source_key, session_id, product_id
        ORDER BY available_at, interaction_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS units_before
    FROM refunds
),
taken AS (
    SELECT in_turn.interaction_id, lines.interaction_id AS takes_back_id, in_turn.interaction_type, in_turn.channel,
        lines.source_key, lines.product_id, lines.evidence_at,
        greatest(lines.available_at, in_turn.available_at) AS available_at, weight, k,
        lines.quantity - least(greatest(in_turn.units_before - lines.units_before, 0), lines.quantity) AS before,
        lines.quantity - least(
            greatest(in_turn.units_before + in_turn.quantity - lines.units_before, 0), lines.quantity
        ) AS after
    FROM in_turn JOIN refunded AS lines USING (source_key, session_id, product_id)
)
SELECT interaction_id, NULL AS takes_back_id, interaction_type, channel, source_key, product_id, evidence_at,
    available_at,
    (epoch_us(evidence_at) - 1577836800000000) / 86400e6 AS anchor_days,
    weight * coalesce(quantity / (quantity + k), 1) AS evidence,
    pow(weight * coalesce(quantity / (quantity + k), 1), 2) AS squared, 1 AS pieces
FROM lines
UNION ALL
SELECT interaction_id, takes_back_id, interaction_type, channel, source_key, product_id, evidence_at,
    available_at, (epoch_us(evidence_at) - 1577836800000000) / 86400e6,
    weight * (after / (after + k) - before / (before + k)),
    pow(weight, 2) * (pow(after / (after + k), 2) - pow(before / (before + k), 2)),
    CASE WHEN after = 0 THEN -1 ELSE 0 END
FROM taken WHERE before > after
"""

_STATES = """
CREATE OR REPLACE TABLE states AS
WITH firsts AS (
    SELECT e.source_key, e.available_date, min(ordinal) AS ordinal
    FROM (SELECT DISTINCT source_key, cast(available_at AS DATE) AS available_date FROM evidence) AS e
    JOIN spine ON e.source_key = spine.source_key AND e.available_date < spine.until_date GROUP BY ALL
),
steps AS (
    SELECT e.source_key, genes.gene_hash, any_value(locus_id) AS locus_id, firsts.ordinal,
        sum(evidence * weight * pow(2, anchor_days / 28)) AS now,
        sum(evidence * weight * pow(2, anchor_days / 180)) AS character,
        sum(squared * weight * weight
            * pow(2, anchor_days / 90)) AS squares,
        sum(pieces) AS pieces, min(evidence_at) AS first_at, max(evidence_at) AS last_at
    FROM evidence AS e
    JOIN firsts ON e.source_key = firsts.source_key AND cast(e.available_at AS DATE) = firsts.available_date
    JOIN dna AS genes ON e.product_id = genes.product_id AND evidence_at >= valid_from
        AND (valid_to IS NULL OR evidence_at < valid_to)
    GROUP BY e.source_key, genes.gene_hash, firsts.ordinal
)
SELECT source_key, gene_hash, locus_id, ordinal AS from_ordinal, lead(ordinal) OVER w AS to_ordinal,
    sum(now) OVER w AS now, sum(character) OVER w AS character, sum(squares) OVER w AS squares,
    sum(pieces) OVER w AS pieces, min(first_at) OVER w AS first_at, max(last_at) OVER w AS last_at
FROM steps WINDOW w AS (PARTITION BY source_key, gene_hash ORDER BY ordinal)
QUALIFY sum(pieces) OVER w > 0
"""

_ROWS = """
CREATE OR REPLACE TABLE rows_at AS
SELECT spine.source_key, valid_at, is_cutoff, gene_hash, locus_id,
    greatest(now, 0) / nullif(sum(greatest(now, 0)) OVER w, 0) AS share_now,
    greatest(character, 0) / nullif(sum(greatest(character, 0)) OVER w, 0) AS share_character,
    now * pow(2, -valid_days / 28) AS affinity_now, character * pow(2, -valid_days / 180) AS affinity_character,
    character * character / nullif(squares, 0) AS confidence, first_at, last_at
FROM spine JOIN states ON spine.source_key = states.source_key AND ordinal >= from_ordinal
    AND (to_ordinal IS NULL OR ordinal < to_ordinal)
WINDOW w AS (PARTITION BY spine.source_key, valid_at, locus_id)
"""

_MADE = {
    "genomes": """
SELECT source_key, valid_at, is_cutoff, list(gene_hash ORDER BY gene_hash) AS gene_hashes,
    list(affinity_now::FLOAT ORDER BY gene_hash) AS affinities_now,
    list(affinity_character::FLOAT ORDER BY gene_hash) AS affinities_character,
    list(share_now::FLOAT ORDER BY gene_hash) AS shares_now,
    list(share_character::FLOAT ORDER BY gene_hash) AS shares_character,
    list((epoch_us(last_at) // 86400000000)::INTEGER ORDER BY gene_hash) AS last_at_days
FROM rows_at GROUP BY source_key, valid_at, is_cutoff""",
    "genes": """
SELECT source_key, gene_hash, locus_id, affinity_now, affinity_character, share_now, share_character,
    share_now - share_character AS trend, confidence, first_at, last_at
FROM rows_at WHERE is_cutoff""",
    "purchases": """
WITH days AS (
    SELECT source_key, hash(product_id) AS product_hash, cast(evidence_at AS DATE) AS bought,
        cast(available_at AS DATE) AS known, sum(amount) AS amount
    FROM mine WHERE interaction_type = 'Order Completed' GROUP BY ALL
)
SELECT spine.source_key, valid_at, is_cutoff,
    list(product_hash ORDER BY product_hash, bought, amount) AS purchase_hashes,
    list(bought ORDER BY product_hash, bought, amount) AS purchase_days,
    list(amount::FLOAT ORDER BY product_hash, bought, amount) AS purchase_amounts
FROM spine JOIN days ON spine.source_key = days.source_key AND known < until_date
    AND bought >= until_date - 400 GROUP BY ALL""",
    "history": "FROM evidence",
}
_ORDER = {
    "genomes": "source_key, valid_at",
    "genes": "source_key, gene_hash",
    "purchases": "source_key, valid_at",
    "history": "source_key, evidence_at, interaction_id",
}


def make(home: Path, memory: str, *, day: bool) -> dict[str, float]:
    """Make the tables in `home/raw`, or add what has landed since to them; seconds by step."""
    out = home / "raw"
    out.mkdir(exist_ok=True)
    listed = json.loads((home / "dbt" / "lake_files.json").read_text())
    offers = next(each["path"] for each in listed if each["dataset"] == "offers")
    files = [each["path"] for each in listed if each["dataset"] == "interactions"]
    seen = out / "seen.json"
    known = set(json.loads(seen.read_text())) if day else set()
    [said] = json.loads((home / "dbt" / "clock.json").read_text())
    as_of, part = f"TIMESTAMPTZ '{said['as_of']}'", len(known)
    published = json.loads((home / "lake" / "_published" / "genome.json").read_text())["tables"]
    dna = home / "lake" / published["dim_product_dna"]["path"]
    begun = time.perf_counter()
    steps: dict[str, float] = {}
    if not day:
        (out / "raw.duckdb").unlink(missing_ok=True)
    with duckdb.connect(str(out / "raw.duckdb"), config={"temp_directory": str(out / "spill")}) as engine:
        engine.execute(
            f"SET memory_limit = '{memory}'; SET threads = 2; SET preserve_insertion_order = false"
        )
        engine.execute("SET TimeZone = 'UTC'")

        def step(name: str, *statements: str) -> None:
            at = time.perf_counter()
            for each in statements:
                engine.execute(each)
            steps[name] = round(time.perf_counter() - at, 2)

        landed = _INTERACTIONS.format(part=part, files=[each for each in files if each not in known])
        if not day:
            engine.execute(f"CREATE TABLE interactions AS FROM ({landed}) LIMIT 0")
        step("interactions", _APPEND.format(landed=landed))
        if day:
            step("touched", _TOUCHED.format(part=part))
        else:
            engine.execute("CREATE TEMP VIEW mine AS FROM interactions")
        engine.execute(f"CREATE OR REPLACE TABLE dna AS FROM read_parquet('{dna}/*.parquet')")
        step("spine", _SPINE.format(as_of=as_of, offers=offers))
        step("evidence", _EVIDENCE.format(as_of=as_of))
        step("states", _STATES)
        step("rows", _ROWS)
        for name, query in _MADE.items():
            if day:
                step(
                    name,
                    f"DELETE FROM made_{name} WHERE source_key IN (FROM touched)",
                    f"INSERT INTO made_{name} {query}",
                )
            else:
                step(name, f"CREATE OR REPLACE TABLE made_{name} AS {query}")
            step(
                f"{name} written",
                f"COPY (FROM made_{name} ORDER BY {_ORDER[name]}) TO '{out / name}.parquet'"
                " (FORMAT parquet, COMPRESSION zstd)",
            )
        engine.execute("CHECKPOINT")
    seen.write_text(json.dumps(files))
    return {"seconds": round(time.perf_counter() - begun, 2), **steps}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--memory", default="3GB")
    parser.add_argument("--day", action="store_true")
    options = parser.parse_args()
    print(json.dumps(make(options.home, options.memory, day=options.day)))
