"""The decision log is read for years: a document of its first version stays readable, and says the same."""

from genome.decisions.arbitration import choose
from genome.decisions.records import LoggedDecision

FIRST_VERSION = """
{
  "decision": {
    "decision_id": "d_00000000000000000000000000000001",
    "decided_at": "2018-01-01T04:59:59Z",
    "customer_id": "household:1",
    "placement": "homepage",
    "channel": "web",
    "offers": [
      {
        "offer_id": "22-1",
        "label": "yogurt",
        "kind": "cross_sell",
        "score": 0.09,
        "rank": 1,
        "starts_at": "2017-12-06T05:00:00Z",
        "ends_at": "2018-01-08T05:00:00Z",
        "reasons": ["You often choose yogurt; that is what this offer is for."],
        "matches": [
          {
            "gene_id": "category:YOGURT",
            "locus_id": "category",
            "label": "yogurt",
            "share": 0.3,
            "weight": 0.9,
            "product": 0.27,
            "population_share": 0.02,
            "alleles": 300,
            "sentence": "you often choose yogurt"
          }
        ]
      }
    ],
    "silence": null,
    "dropped": [{"offer_id": "22-2", "score": 0.001, "reason": "below_silence", "message": "m"}],
    "probability": 1.0,
    "is_fallback": false,
    "versions": {
      "model_name": "next_best_offer",
      "model_version": "7",
      "feature_services": {"customer_genome_v1": "hash"},
      "feature_epochs": {"feat_customer_genome": "e"},
      "genes_epoch": "e",
      "placements": "0123456789ab",
      "code": "0.1.0"
    }
  },
  "inputs": {
    "ask": {"customer_id": "household:1", "placement": "homepage", "channel": "web", "count": null},
    "placement": {
      "placement": "homepage",
      "description": "tiles",
      "channels": ["web"],
      "kinds": ["cross_sell"],
      "count": 3,
      "min_score": 0.003,
      "max_age_hours": 48.0
    },
    "now": "2018-01-01T04:59:59Z",
    "is_known": true,
    "scored_at": "2018-01-01T04:59:59Z",
    "candidates": [
      {
        "offer_id": "22-1",
        "score": 0.09,
        "label": "yogurt",
        "kind": "cross_sell",
        "starts_at": "2017-12-06T05:00:00Z",
        "ends_at": "2018-01-08T05:00:00Z"
      },
      {
        "offer_id": "22-2",
        "score": 0.001,
        "label": "beef",
        "kind": "cross_sell",
        "starts_at": "2017-12-06T05:00:00Z",
        "ends_at": "2018-01-08T05:00:00Z"
      }
    ]
  }
}
"""


def test_a_decision_of_the_first_version_is_still_read_and_made_again() -> None:
    logged = LoggedDecision.model_validate_json(FIRST_VERSION)
    assert logged.inputs is not None
    again = choose(logged.inputs)
    assert [each.offer_id for each in again.chosen] == [each.offer_id for each in logged.decision.offers]
    assert [(each.offer_id, each.reason) for each in again.dropped] == [("22-2", "below_silence")]


def test_what_is_written_today_is_read_today() -> None:
    logged = LoggedDecision.model_validate_json(FIRST_VERSION)
    assert LoggedDecision.model_validate_json(logged.model_dump_json()) == logged
