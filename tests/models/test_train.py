import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import campaigns
from support.campaigns import CUSTOMERS, OFFERS

from genome.errors import GenomeError
from genome.settings import Settings
from models import data, learn, tracking
from models.train import CANDIDATE, train, training_fingerprint

pytestmark = pytest.mark.usefixtures("_contracts")


def test_campaigns_are_divided_by_time_and_every_pair_is_accounted_for(trained) -> None:
    document = trained.report.document
    assert document["split"] == {
        "folds": [{"train": ["1", "2"], "held_out": ["3"]}, {"train": ["1"], "held_out": ["2"]}],
        "train": ["1", "2", "3"],
        "test": ["4"],
    }
    assert document["rows"]["validation"] == 2 * CUSTOMERS * OFFERS
    assert document["rows"]["test"] == CUSTOMERS * OFFERS


def test_the_candidate_finds_the_signal_that_the_world_was_made_with(trained) -> None:
    comparison = trained.report.document["comparisons"]["validation_redeemed"]
    rows = {row["ranker"]: row for row in comparison["rows"]}
    assert rows[CANDIDATE]["auc"] > 0.7
    assert rows[CANDIDATE]["pr_auc"] > 1.3 * rows["random"]["pr_auc"]
    lead = rows["random"]["candidate_minus_this"]["pr_auc"]
    assert 0 < lead["low"] < lead["difference"] < lead["high"]


def test_mlflow_holds_figures_parameters_pictures_and_the_versions_of_the_data(trained) -> None:
    mlflow = tracking.client(trained.settings)
    run = mlflow.get_run(trained.report.run_id)
    own = trained.report.document["comparisons"]["test_redeemed"]["rows"][-1]
    assert run.data.metrics["test_pr_auc"] == own["pr_auc"]
    assert {"validation_ndcg_at_10", "test_bought_auc", "test_calibration_error"} <= set(run.data.metrics)
    published = data.publication(trained.settings)
    assert run.data.params["epoch"] == published.epoch
    assert run.data.params["sha256.feat_offer_dna"] == published.table("feat_offer_dna").sha256
    assert run.data.params["service"] == "next_best_offer_v1"
    assert run.data.tags["feature_hash"] == trained.report.document["feature_hash"]
    assert len(run.data.tags["mlflow.source.git.commit"]) in {7, 40}
    folder = tracking.run_folder(mlflow, trained.report.run_id)
    assert sorted(path.name for path in (folder / "plots").iterdir()) == [
        "calibration.png",
        "columns.png",
        "ndcg.png",
        "precision_recall.png",
    ]
    assert "lightgbm==" in (folder / "requirements.txt").read_text()
    assert not list(folder.rglob("*.pkl"))
    held_out = pq.read_table(folder / "validation.parquet")
    assert held_out.num_rows == 2 * CUSTOMERS * OFFERS


def test_the_registry_knows_the_hash_of_every_file_of_both_artefacts(trained) -> None:
    mlflow = tracking.client(trained.settings)
    found = tracking.versions(mlflow)
    assert [each.version for each in found] == [trained.report.stand_in_version, trained.report.version]
    for each in found:
        files = {path.name for path in tracking.local(each.source).iterdir()}
        assert set(each.sha256) == files
        assert {len(value) for value in each.sha256.values()} == {64}
        assert each.aliases == ()
    assert tracking.load(trained.settings, found[1]).name == CANDIDATE


def test_the_summary_is_a_small_table_for_people_and_tasks(trained) -> None:
    summary = trained.report.summary()
    assert list(summary["figures"]) == [
        "redeemed, validation (campaigns 3, 2)",
        "bought, validation (campaigns 3)",
        "redeemed, test (campaigns 4)",
        "bought, test (campaigns 4)",
    ]
    for rows in summary["figures"].values():
        assert rows[-1]["ranker"] == CANDIDATE
        assert all(0 <= row["ndcg_at_10"] <= 1 for row in rows)
    assert len(json.dumps(summary)) < 30_000


def test_nothing_new_means_the_earlier_run_also_under_another_epoch(trained) -> None:
    before = data.publication(trained.settings).epoch
    campaigns.world().publish(trained.settings)
    assert data.publication(trained.settings).epoch != before
    again = train(trained.settings)
    assert (again.skipped, again.run_id, again.version) == (
        True,
        trained.report.run_id,
        trained.report.version,
    )
    assert again.document == trained.report.document


def test_data_recipe_and_code_are_in_the_fingerprint(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = trained.settings
    recipe = learn.default_recipe()
    first = training_fingerprint(settings, data.publication(settings), recipe)
    assert first == trained.report.document["fingerprint"]
    other = replace(recipe, blend=0.1)
    assert training_fingerprint(settings, data.publication(settings), other) != first
    monkeypatch.setattr("models.train._code_hash", lambda: "another")
    assert training_fingerprint(settings, data.publication(settings), recipe) != first
    monkeypatch.undo()
    campaigns.world(seed=12).publish(settings)
    assert training_fingerprint(settings, data.publication(settings), recipe) != first


def test_training_twice_gives_the_same_figures(trained) -> None:
    again = train(trained.settings, force=True)
    assert again.run_id != trained.report.run_id
    assert again.document["comparisons"] == trained.report.document["comparisons"]
    assert tracking.version(tracking.client(trained.settings), again.version).sha256 == (
        tracking.version(tracking.client(trained.settings), trained.report.version).sha256
    )


def test_without_a_publication_training_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(GenomeError, match=r"Nothing is published yet. Run `genome build`"):
        train(settings)


def test_features_of_a_label_time_come_from_its_own_row(trained) -> None:
    published = data.publication(trained.settings)
    found = {each.campaign_id: each for each in data.campaigns(published)}
    one = next(iter(data.labelled(trained.settings, published, [found["2"]])))
    source = published.files("feat_customer_traits")[0]
    rows = pq.read_table(source).to_pylist()
    expected = {
        row["customer_id"]: row["order_count"] for row in rows if row["valid_at"] == found["2"].label_at
    }
    got = dict(zip(found["2"].customers, one.rectangle.customers["order_count"].to_pylist(), strict=True))
    assert got == expected
    assert len(np.unique(list(got.values()))) > 20
