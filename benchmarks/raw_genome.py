"""The genome's heavy tables as hand-written DuckDB SQL: what `benchmarks/genome_size.py` holds the platform against.

One process, one file, no dbt, no tests, no contracts, no ledger, no identity resolution. From the same Parquet it makes
the history of evidence, genomes as lists at the cut-off and at label times, genes with share, trend and confidence, and
purchases as lists, and writes them as the same sorted Parquet. Traits, offers, populations and conflicts it leaves out,
and it takes product DNA as made (it is small): so what it is compared with does more.

It works in the same way as the platform: a build of everything goes through buckets of customers, since an engine holds
all lists of a statement in memory; a day's evidence is added to kept sums, whoever it is about gets a new row made of
them, and only these rows are written.

    python benchmarks/raw_genome.py TOLD OUT [--day]      prints seconds as JSON

TOLD holds what a build of the platform was told (`genome_size.py` copies it): lake_files.json, clock.json, dna.parquet.
"""

import argparse
import json
import time
from itertools import pairwise
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

# Refunds follow one another, and take units from their order's lines in turn.
_EVIDENCE = """
INSERT INTO evidence
WITH weights AS (FROM (VALUES ('Order Completed', 1.0, 1.0), ('Product Added', 0.4, 0.0),
    ('Product Viewed', 0.15, 0.0), ('Promotion Clicked', 0.2, 0.0)) AS each(interaction_type, weight, k)),
known AS (FROM interactions WHERE part = {part} AND product_id IS NOT NULL AND available_at < {as_of}),
refunds AS (
    FROM interactions WHERE interaction_type = 'Order Refunded' AND available_at < {as_of}
    AND (source_key, session_id, product_id) IN (
        SELECT (source_key, session_id, product_id) FROM known WHERE interaction_type LIKE 'Order %'
    )
),
refunded AS (
    SELECT lines.*, weight, k, coalesce(sum(quantity) OVER (PARTITION BY source_key, session_id, product_id
        ORDER BY line_number, interaction_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS units_before
    FROM interactions AS lines SEMI JOIN refunds USING (source_key, session_id, product_id)
    JOIN weights USING (interaction_type)
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
    available_at, (epoch_us(evidence_at) - 1577836800000000) / 86400e6 AS anchor_days,
    weight * coalesce(quantity / (quantity + k), 1) AS evidence,
    pow(weight * coalesce(quantity / (quantity + k), 1), 2) AS squared, 1 AS pieces, {part} AS part
FROM known JOIN weights USING (interaction_type)
UNION ALL
SELECT interaction_id, takes_back_id, interaction_type, channel, source_key, product_id, evidence_at,
    available_at, (epoch_us(evidence_at) - 1577836800000000) / 86400e6,
    weight * (after / (after + k) - before / (before + k)),
    pow(weight, 2) * (pow(after / (after + k), 2) - pow(before / (before + k), 2)),
    CASE WHEN after = 0 THEN -1 ELSE 0 END, {part} AS part
FROM taken
WHERE before > after AND NOT EXISTS (
    FROM evidence AS kept
    WHERE kept.interaction_id = taken.interaction_id AND kept.takes_back_id = taken.takes_back_id
)
"""

_SPINE = """
CREATE OR REPLACE TABLE spine AS
SELECT source_key, valid_at, until_date, is_cutoff,
    row_number() OVER (PARTITION BY source_key ORDER BY valid_at)::INTEGER AS ordinal,
    (epoch_us(valid_at) - 1577836800000000) / 86400e6 AS valid_days
FROM (
    SELECT DISTINCT source_key, {as_of} AS valid_at, cast({as_of} AS DATE) + 1 AS until_date, true AS is_cutoff
    FROM evidence WHERE part = {part}
    UNION ALL
    SELECT DISTINCT source_key, date_trunc('day', starts_at), cast(starts_at AS DATE), false
    FROM interactions JOIN read_parquet('{offers}') AS offers USING (campaign_id)
    WHERE interaction_type = 'Campaign Sent' AND date_trunc('day', starts_at) < {as_of} AND {labels}
)
"""

_SUMS = """
INSERT INTO sums
WITH labels AS (SELECT source_key, list(valid_at) AS label_ats FROM spine WHERE NOT is_cutoff GROUP BY ALL)
SELECT e.source_key, genes.gene_hash, any_value(locus_id) AS locus_id,
    1 + coalesce(len(list_filter(label_ats, lambda l : l <= e.available_at)), 0) AS ordinal,
    sum(evidence * weight * pow(2, anchor_days / 28)) AS now,
    sum(evidence * weight * pow(2, anchor_days / 180)) AS character,
    sum(squared * weight * weight * pow(2, anchor_days / 90)) AS squares,
    sum(pieces) AS pieces, min(evidence_at) AS first_at, max(evidence_at) AS last_at
FROM evidence AS e
JOIN dna AS genes ON e.product_id = genes.product_id AND evidence_at >= valid_from
    AND (valid_to IS NULL OR evidence_at < valid_to)
LEFT JOIN labels ON e.source_key = labels.source_key
WHERE part = {part} AND {bucket}
GROUP BY e.source_key, genes.gene_hash, ordinal
"""

_STATES = """
CREATE OR REPLACE TEMP TABLE states AS
WITH steps AS (
    SELECT source_key, gene_hash, any_value(locus_id) AS locus_id, {ordinal} AS ordinal, sum(now) AS now,
        sum(character) AS character, sum(squares) AS squares, sum(pieces) AS pieces, min(first_at) AS first_at,
        max(last_at) AS last_at
    FROM sums WHERE source_key IN (SELECT source_key FROM spine WHERE {bucket}) GROUP BY ALL
)
SELECT source_key, gene_hash, locus_id, ordinal AS from_ordinal, lead(ordinal) OVER w AS to_ordinal,
    sum(now) OVER w AS now, sum(character) OVER w AS character, sum(squares) OVER w AS squares,
    sum(pieces) OVER w AS pieces, min(first_at) OVER w AS first_at, max(last_at) OVER w AS last_at
FROM steps WINDOW w AS (PARTITION BY source_key, gene_hash ORDER BY ordinal)
QUALIFY sum(pieces) OVER w > 0
"""

_ROWS = """
CREATE OR REPLACE TEMP TABLE rows_at AS
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
WITH listed AS (
    SELECT source_key, valid_at, is_cutoff, list_sort(list({{
        'gene': gene_hash, 'now': affinity_now::FLOAT, 'character': affinity_character::FLOAT,
        'share_now': share_now::FLOAT, 'share_character': share_character::FLOAT,
        'last': (epoch_us(last_at) // 86400000000)::INTEGER}})) AS genes
    FROM rows_at GROUP BY ALL
)
SELECT source_key, valid_at, is_cutoff, list_transform(genes, lambda g : g.gene) AS gene_hashes,
    list_transform(genes, lambda g : g.now) AS affinities_now,
    list_transform(genes, lambda g : g.character) AS affinities_character,
    list_transform(genes, lambda g : g.share_now) AS shares_now,
    list_transform(genes, lambda g : g.share_character) AS shares_character,
    list_transform(genes, lambda g : g.last) AS last_at_days, {part} AS part
FROM listed""",
    "genes": """
SELECT source_key, gene_hash, locus_id, affinity_now, affinity_character, share_now, share_character,
    share_now - share_character AS trend, confidence, first_at, last_at, {part} AS part
FROM rows_at WHERE is_cutoff""",
    "purchases": """
WITH days AS (
    SELECT source_key, hash(product_id) AS product_hash, cast(evidence_at AS DATE) AS bought,
        cast(available_at AS DATE) AS known, sum(amount) AS amount
    FROM interactions SEMI JOIN (FROM spine WHERE {bucket}) AS mine USING (source_key)
    WHERE interaction_type = 'Order Completed' AND available_at < {as_of} GROUP BY ALL
),
listed AS (
    SELECT spine.source_key, valid_at, is_cutoff,
        list_sort(list({{'product': product_hash, 'bought': bought, 'amount': amount::FLOAT}})) AS bought
    FROM spine JOIN days ON spine.source_key = days.source_key AND known < until_date AND bought >= until_date - 400
    GROUP BY ALL
)
SELECT source_key, valid_at, is_cutoff, list_transform(bought, lambda b : b.product) AS purchase_hashes,
    list_transform(bought, lambda b : b.bought) AS purchase_days,
    list_transform(bought, lambda b : b.amount) AS purchase_amounts, {part} AS part
FROM listed""",
}
_ORDER = {
    "made_genomes": "source_key, valid_at",
    "made_genes": "source_key, gene_hash",
    "made_purchases": "source_key, valid_at",
    "evidence": "source_key, evidence_at, interaction_id",
}
_ROWS_IN_A_GIGABYTE = 600_000
_ROWS_IN_FILE = {"made_genomes": 400_000}
_USUAL_ROWS_IN_FILE = 25_000_000
"""As the platform's: a sort of all rows of a large table at once spills more than a disk may hold."""


def _ranges(engine: duckdb.DuckDBPyConnection, table: str, part: int) -> list[str]:
    """The rows of a part, as conditions: in so many ranges of their keys that one file holds each."""
    mine = f"part = {part}"
    ((rows,),) = engine.execute(f"SELECT count(*) FROM {table} WHERE {mine}").fetchall()
    wanted = 1 + rows // _ROWS_IN_FILE.get(table, _USUAL_ROWS_IN_FILE)
    if wanted == 1:
        return [mine]
    places = [number / wanted for number in range(1, wanted)]
    ((ends,),) = engine.execute(
        f"SELECT quantile_disc(source_key, {places}) FROM {table} WHERE {mine} AND hash(source_key) % 499 = 0"
    ).fetchall()
    return [
        f"{mine} AND source_key < '{ends[0]}'",
        *(
            f"{mine} AND source_key >= '{since}' AND source_key < '{until}'"
            for since, until in pairwise(ends)
        ),
        f"{mine} AND source_key >= '{ends[-1]}'",
    ]


def make(told: Path, out: Path, memory: str, *, day: bool) -> dict[str, float]:
    """Make the tables in `out`, or add what has landed since to them; seconds by step."""
    out.mkdir(exist_ok=True)
    listed = json.loads((told / "lake_files.json").read_text())
    offers = next(each["path"] for each in listed if each["dataset"] == "offers")
    files = [each["path"] for each in listed if each["dataset"] == "interactions"]
    seen = out / "seen.json"
    known = set(json.loads(seen.read_text())) if day else set()
    [said] = json.loads((told / "clock.json").read_text())
    as_of, part = f"TIMESTAMPTZ '{said['as_of']}'", len(known)
    begun = time.perf_counter()
    steps: dict[str, float] = {}
    if not day:
        (out / "raw.duckdb").unlink(missing_ok=True)
    with duckdb.connect(str(out / "raw.duckdb"), config={"temp_directory": str(out / "spill")}) as engine:
        engine.execute(
            f"SET memory_limit = '{memory}'; SET threads = 2; SET preserve_insertion_order = false"
        )
        engine.execute("SET TimeZone = 'UTC'")

        def step(name: str, statement: str) -> None:
            at = time.perf_counter()
            engine.execute(statement)
            steps[name] = round(steps.get(name, 0.0) + time.perf_counter() - at, 2)

        landed = _INTERACTIONS.format(part=part, files=[each for each in files if each not in known])
        engine.execute(f"CREATE OR REPLACE TABLE dna AS FROM read_parquet('{told / 'dna.parquet'}')")
        evidence = _EVIDENCE.format(part=part, as_of=as_of)
        # A day has no label time of its own here: whose campaign has come would be made from their history.
        spine = _SPINE.format(part=part, as_of=as_of, offers=offers, labels="false" if day else "true")
        if not day:
            engine.execute(f"CREATE TABLE interactions AS FROM ({landed}) LIMIT 0")
            engine.execute(
                "CREATE TABLE evidence (interaction_id VARCHAR, takes_back_id VARCHAR, interaction_type VARCHAR,"
                " channel VARCHAR, source_key VARCHAR, product_id VARCHAR, evidence_at TIMESTAMPTZ,"
                " available_at TIMESTAMPTZ, anchor_days DOUBLE, evidence DOUBLE, squared DOUBLE, pieces INTEGER,"
                " part INTEGER)"
            )
            engine.execute(
                "CREATE TABLE sums (source_key VARCHAR, gene_hash BIGINT, locus_id VARCHAR, ordinal INTEGER,"
                " now DOUBLE, character DOUBLE, squares DOUBLE, pieces INTEGER, first_at TIMESTAMPTZ,"
                " last_at TIMESTAMPTZ)"
            )
        step("interactions", _APPEND.format(landed=landed))
        step("evidence", evidence)
        step("spine", spine)
        ((rows,),) = engine.execute(f"SELECT count(*) FROM interactions WHERE part = {part}").fetchall()
        buckets = 1 if day else 1 + rows // round(float(memory.removesuffix("GB")) * _ROWS_IN_A_GIGABYTE)
        for number in range(buckets):
            place = f"hash({{}}source_key) % {buckets} = {number}"
            values = {"part": part, "as_of": as_of, "bucket": place.format("")}
            step("sums", _SUMS.format(**values | {"bucket": place.format("e.")}))
            step("states", _STATES.format(**values, ordinal="1" if day else "ordinal"))
            step("rows", _ROWS)
            for name, query in _MADE.items():
                made = query.format(**values)
                if day:
                    gone = "" if name == "genes" else " AND is_cutoff"
                    step(
                        name,
                        f"DELETE FROM made_{name} WHERE source_key IN (SELECT source_key FROM spine){gone}",
                    )
                if day or number:
                    step(name, f"INSERT INTO made_{name} {made}")
                else:
                    step(name, f"CREATE TABLE made_{name} AS {made}")
        for name, order in _ORDER.items():
            for number, mine in enumerate(_ranges(engine, name, part)):
                step(
                    f"{name} written",
                    f"COPY (SELECT * EXCLUDE (part) FROM {name} WHERE {mine} ORDER BY {order})"
                    f" TO '{out / f'{name}-{part}-{number}.parquet'}' (FORMAT parquet, COMPRESSION zstd)",
                )
        step("checkpoint", "CHECKPOINT")
    seen.write_text(json.dumps(files))
    return {"seconds": round(time.perf_counter() - begun, 2), **steps}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("told", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--memory", default="3GB")
    parser.add_argument("--day", action="store_true")
    options = parser.parse_args()
    print(json.dumps(make(options.told, options.out, options.memory, day=options.day)))
