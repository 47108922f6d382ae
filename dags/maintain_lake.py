"""Keep the lake in order while everybody reads and writes it.

**Purpose**: puts small files of a channel and month together, folds the documents of landed batches, lets
rows past their retention go (`GENOME_LAKE_RETENTION_DAYS`), trims the event stream behind what has landed,
and removes what killed processes left. Readers are not disturbed: a replaced file stays for
`GENOME_LAKE_GRACE_HOURS`. At its end it wakes the build, for what has landed from the stream.

**Owner**: data-engineering. By hand: `genome maintain`.

**When it fails**: nothing is lost and nobody notices but the disk: the next run finishes what this one began.
The log names a file whose rows are not those that the manifest counted: restore that file from a backup.
"""

from airflow.sdk import dag

from dags.common import STREAM, Owner, Summary, Tag, house, settings, step


@dag(**house(__doc__, Owner.DATA, Tag.MAINTENANCE, schedule="17 * * * *"))
def maintain_lake() -> None:
    """Wire the one step."""

    @step(outlets=[STREAM])
    def maintain() -> Summary:
        from genome.lake.maintain import maintain as run

        return run(settings()).summary()

    maintain()


maintain_lake()
