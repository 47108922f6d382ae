import numpy as np
import pyarrow.parquet as pq
import pytest
from support.campaigns import CUSTOMERS, CUT_OFF, OFFERS

from genome.errors import GenomeError
from genome.warehouse import scored_file
from models import tracking
from models.promote import promote
from models.score import score


def test_every_customer_is_scored_for_every_live_offer(trained) -> None:
    promote(trained.settings, trained.report.version, "a test")
    report = score(trained.settings)
    assert (report.rows, report.customers, report.offers) == (CUSTOMERS * OFFERS, CUSTOMERS, OFFERS)
    rows = pq.read_table(scored_file(trained.settings)).to_pandas()
    assert len(rows.drop_duplicates(["customer_id", "offer_id"])) == CUSTOMERS * OFFERS
    # Campaign 5 alone is on at the cut-off.
    assert set(rows["offer_id"]) == {f"5-{place}" for place in range(OFFERS)}
    assert rows["score"].between(0, 1, inclusive="neither").all()
    assert rows["score"].nunique() > 100
    assert set(rows["valid_at"]) == {CUT_OFF}
    assert set(rows["known_at"]) == {CUT_OFF}
    assert set(rows["model_name"]) == {"next_best_offer"}
    assert set(rows["model_version"]) == {trained.report.version}


def test_scoring_in_parts_gives_the_same(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    promote(trained.settings, trained.report.version, "a test")
    score(trained.settings)
    whole = pq.read_table(scored_file(trained.settings)).sort_by("customer_id")
    monkeypatch.setattr("models.score._CUSTOMERS", 40)
    monkeypatch.setattr("models.ranker._CELLS", 70)
    assert not score(trained.settings, force=True).skipped
    parts = pq.read_table(scored_file(trained.settings)).sort_by("customer_id")
    assert parts["offer_id"].to_pylist() == whole["offer_id"].to_pylist()
    assert np.allclose(parts["score"].to_numpy(), whole["score"].to_numpy(), rtol=1e-9)


def test_the_stand_in_scores_with_probabilities_too(trained) -> None:
    promote(trained.settings, trained.report.stand_in_version, "a test")
    report = score(trained.settings)
    assert report.ranker == trained.report.document["stand_in"]
    rows = pq.read_table(scored_file(trained.settings)).to_pandas()
    assert rows["score"].between(0, 1).all()


def test_without_a_champion_scoring_says_what_to_do(trained) -> None:
    with pytest.raises(GenomeError, match=r"has no champion yet. Run `genome train`"):
        score(trained.settings)


def test_a_champion_that_was_changed_scores_nothing_and_the_last_scores_stay(trained) -> None:
    promote(trained.settings, trained.report.version, "a test")
    score(trained.settings)
    before = scored_file(trained.settings).read_bytes()
    champion = tracking.by_alias(tracking.client(trained.settings), tracking.CHAMPION)
    assert champion is not None
    assert score(trained.settings).skipped
    with (tracking.local(champion.source) / "who-0.txt").open("a") as file:
        file.write("\n")
    with pytest.raises(GenomeError, match=r"who-0.txt has the SHA-256"):
        score(trained.settings)
    assert scored_file(trained.settings).read_bytes() == before


def test_nothing_new_leaves_the_scores_and_a_new_champion_does_not(trained) -> None:
    promote(trained.settings, trained.report.version, "a test")
    first = score(trained.settings)
    before = scored_file(trained.settings).read_bytes()
    again = score(trained.settings)
    assert (first.skipped, again.skipped, again.rows) == (False, True, first.rows)
    assert scored_file(trained.settings).read_bytes() == before
    promote(trained.settings, trained.report.stand_in_version, "a test")
    assert not score(trained.settings).skipped
    scored_file(trained.settings).write_bytes(b"torn")
    assert not score(trained.settings).skipped
    rows = pq.read_table(scored_file(trained.settings))
    assert set(rows["model_version"].to_pylist()) == {trained.report.stand_in_version}
