"""Serve the published features online.

**Purpose**: makes Feast's entities, views and services agree with the dbt contracts, then loads the newest
row of each customer and offer into the online store. Readers keep reading while it runs.

**Owner**: serving-engineering. By hand: `genome serve-features`.

**When it fails**: the online store keeps the rows it had (`genome status` shows their age). A failed
`apply_definitions` names the column whose type has no mapping; a failed `load_online` is most often a store
that does not answer: `genome doctor`, then trigger this DAG again. The online store can be rebuilt at any
time.
"""

from airflow.sdk import dag

from dags.common import FEATURES, GENOME, Owner, Summary, Tag, house, settings, step


@dag(**house(__doc__, Owner.SERVING, Tag.SERVING, schedule=[GENOME]))
def serve_features() -> None:
    """Wire the steps of serving."""

    @step()
    def apply_definitions() -> Summary:
        from feature_repo.serve import apply

        return apply(settings()).summary()

    @step(outlets=[FEATURES])
    def load_online() -> Summary:
        from feature_repo.serve import load_online as load_into_store

        return load_into_store(settings()).summary()

    apply_definitions() >> load_online()


serve_features()
