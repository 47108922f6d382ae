"""Train the ML model that ranks offers, and decide who is champion.

**Purpose**: a training set by point-in-time join through Feast, a learner, its evaluation beside the
baselines, all of it logged to MLflow; then the alias `champion` goes to whoever earned it on the validation
window.

**Owner**: ml-engineering. By hand: `genome train`.

**When it fails**: the champion in MLflow stays who it was, and scores stay served. The log names the step;
the run in MLflow holds what was measured up to there. `genome models list` shows who serves; `genome models
promote` and `genome models rollback` decide by hand.
"""

from airflow.sdk import dag

from dags.common import CHAMPION, FEATURES, Owner, Summary, Tag, house, settings, step


@dag(**house(__doc__, Owner.ML, Tag.TRAINING, schedule=[FEATURES]))
def train_next_best_offer() -> None:
    """Wire the steps of training."""

    @step()
    def train_model() -> Summary:
        from models.train import train

        return train(settings()).summary()

    @step(outlets=[CHAMPION])
    def decide_champion(training: Summary) -> Summary:
        from models.promote import decide

        return decide(settings(), training["run_id"]).summary()

    decide_champion(train_model())


train_next_best_offer()
