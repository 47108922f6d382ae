"""What a customer of a day has revealed by then: genes and purchase lines, by the length of their history.

    make demo && python benchmarks/revealed.py             (of what GENOME_HOME has published)

A day's build makes the rows of whom it touches, so this is what a longer history costs it. For days that are so many
days after the first evidence it takes the customers who gave evidence on that day, and counts, of all that they had
given until then, their genes and the lines they bought, in the mean.
"""

import argparse
import json
from typing import Any

import duckdb

from genome.lake import publish
from genome.settings import Settings

_REVEALED = """
WITH evidence AS (
    SELECT people.customer_id, told.product_id, told.evidence_at, told.interaction_type,
        date_diff('day', min(told.evidence_at) OVER (), told.evidence_at) AS day
    FROM read_parquet($history) AS told
    JOIN read_parquet($customers) AS people USING (source_key)
    WHERE told.takes_back_id IS NULL
),
known AS (
    FROM evidence
    WHERE day <= $day AND customer_id IN (SELECT customer_id FROM evidence WHERE day = $day)
),
genes AS (
    SELECT DISTINCT customer_id, gene_hash
    FROM known JOIN read_parquet($dna) AS dna
        ON known.product_id = dna.product_id AND known.evidence_at >= dna.valid_from
        AND (dna.valid_to IS NULL OR known.evidence_at < dna.valid_to)
)
SELECT
    (SELECT count(DISTINCT customer_id) FROM known) AS customers,
    (SELECT count(*) FROM genes) AS genes,
    (SELECT count(*) FROM known WHERE interaction_type = 'Order Completed') AS lines
"""


def revealed(settings: Settings, days: list[int]) -> list[dict[str, Any]]:
    """One row for each of these days after the first evidence."""
    published = publish.current(settings, "genome")
    if published is None:
        raise SystemExit("Nothing is published here: run `make demo` first.")
    tables = {"history": "genome_history", "customers": "dim_customers", "dna": "dim_product_dna"}
    files = {name: [str(file) for file in published.files(table)] for name, table in tables.items()}
    found = []
    with duckdb.connect() as engine:
        for day in days:
            ((customers, genes, lines),) = engine.execute(_REVEALED, files | {"day": day}).fetchall()
            if customers:
                found.append(
                    {
                        "day": day,
                        "customers": customers,
                        "genes_each": round(genes / customers),
                        "lines_each": round(lines / customers),
                    }
                )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, nargs="+", default=[45, 90, 180, 270, 355])
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    found = revealed(Settings(), options.days)
    if options.json:
        print(json.dumps({"what": "revealed", "days": found}, indent=2))
        return
    for row in found:
        print(
            f"day {row['day']}: {row['customers']:,} customers, {row['genes_each']:,} genes and"
            f" {row['lines_each']:,} lines each"
        )


if __name__ == "__main__":
    main()
