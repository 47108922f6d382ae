"""Score every customer for every live offer with the champion, and publish the best.

**Purpose**: the scores become Parquet, come back to dbt as a source (so that lineage has no gap), pass the
gate, are published by pointer and loaded into the online store.

**Owner**: ml-engineering. By hand: `genome publish`.

**When it fails**: the last published scores stay served (`genome status` says how old they are). A failed
`score_offers` is most often a champion that cannot be loaded: `genome models list`. A failed `check_gate`
names the expectation. Mend it and trigger this DAG again.
"""

from airflow.sdk import dag

from dags.common import CHAMPION, SCORES, WAREHOUSE_POOL, Owner, Summary, Tag, house, settings, step


@dag(**house(__doc__, Owner.ML, Tag.SCORING, schedule=[CHAMPION]))
def publish_next_best_offers() -> None:
    """Wire the steps of scoring."""

    @step()
    def score_offers() -> Summary:
        from models.score import score

        return score(settings()).summary()

    @step(pool=WAREHOUSE_POOL)
    def build_scores() -> Summary:
        from genome.warehouse import build_scores as build

        return build(settings()).summary()

    @step()
    def check_gate() -> Summary:
        from expectations.gate import check

        return check(settings(), group="scores").summary()

    @step()
    def publish_tables() -> Summary:
        from genome.lake.publish import publish_staged

        return publish_staged(settings(), group="scores").summary()

    @step(outlets=[SCORES])
    def load_online() -> Summary:
        from feature_repo.serve import load_online as load

        return load(settings(), views=["feat_customer_offer_scores"]).summary()

    score_offers() >> build_scores() >> check_gate() >> publish_tables() >> load_online()


publish_next_best_offers()
