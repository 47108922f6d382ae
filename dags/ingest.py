"""Bring what a channel delivered into the lake.

**Purpose**: reads every new file of `inbox/<channel>/`, checks it against the channel's contract, sets bad
rows aside in quarantine with the reason, and commits the rest to the lake. One DAG for each channel and
feed. A file that was read before is recognised by its content and changes nothing. A backfill
(`airflow backfill create --dag-id ingest_web --from-date … --to-date …`) reads the files of each day: those
that name it (`events-2026-01-05.csv`, `2026-01-05/events.csv`), and those without a date that came that day.

**Owner**: data-engineering. By hand: `genome ingest CHANNEL`.

**When it fails**: the log names the file, the field and the remedy. Mend or remove that file in the inbox and
trigger this DAG again; whatever landed stays landed. Rows set aside: `genome quarantine list`.
"""

from airflow.sdk import dag

from dags.common import Owner, Summary, Tag, backfilled_day, channels, days, house, landed, settings, step


def _ingest(channel: str) -> None:
    @dag(dag_id=f"ingest_{channel}", **house(__doc__, Owner.DATA, Tag.INGEST, schedule=days()))
    def ingest() -> None:
        @step(outlets=[landed(channel)])
        def land() -> Summary:
            from genome.lake.ingest import ingest as ingest_files

            return ingest_files(settings(), channel, day=backfilled_day()).or_fail().summary()

        land()

    ingest()


for member in channels():
    _ingest(member)
