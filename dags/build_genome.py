"""Build the genome from what has landed, check it, and publish it.

**Purpose**: who is who is resolved from what has landed; dbt builds staging, product DNA, interactions, genome
and features in the warehouse; the published tables are staged as Parquet; the gate decides whether they may
pass; the pointer is swapped. When nothing changed since the last publication, every step says so and does
nothing.

**Owner**: data-engineering. By hand: `genome build`.

**When it fails**: readers still have the last good version (`genome status` says how old it is). A failed
`build_warehouse` names the dbt node; a failed `check_gate` names the expectation and the table. Mend the
source or the rule, then trigger this DAG again. The warehouse file can be deleted at any time: it is
rebuilt from the lake.
"""

from airflow.sdk import dag

from dags.common import GENOME, WAREHOUSE_POOL, Owner, Summary, Tag, any_channel, house, settings, step


@dag(**house(__doc__, Owner.DATA, Tag.BUILD, schedule=any_channel()))
def build_genome() -> None:
    """Wire the steps of a build."""

    @step()
    def resolve_identities() -> Summary:
        from genome.identity.resolve import resolve

        return resolve(settings()).summary()

    @step(pool=WAREHOUSE_POOL)
    def build_warehouse() -> Summary:
        from genome.warehouse import build

        return build(settings()).summary()

    @step(pool=WAREHOUSE_POOL)
    def stage_tables() -> Summary:
        from genome.warehouse import stage

        return stage(settings()).summary()

    @step()
    def check_gate() -> Summary:
        from expectations.gate import check

        return check(settings(), group="genome").summary()

    @step(outlets=[GENOME])
    def publish_tables() -> Summary:
        from genome.lake.publish import publish_staged

        return publish_staged(settings(), group="genome").summary()

    resolve_identities() >> build_warehouse() >> stage_tables() >> check_gate() >> publish_tables()


build_genome()
