"""What is live about a customer, over HTTP: beside the features and in the genome."""

from datetime import timedelta

import numpy as np
from support.world import EPOCH, NOW, Served

from genome.features.live import SUMS, InCart, Live, Place, Session, Viewed

LIVE = Live(
    epoch=EPOCH,
    deltas=np.zeros(2, SUMS),
    session=Session(
        viewed=(Viewed("p2", NOW + timedelta(minutes=2)), Viewed("p1", NOW)),
        cart=(InCart("p1", 2.0, NOW),),
        place=Place("s1", "store", NOW),
        last_at=NOW + timedelta(minutes=2),
    ),
    source_keys=("household:1",),
    last_at=NOW,
)
SAID = {
    "epoch": EPOCH,
    "gene_count": 2,
    "last_evidence_at": "2018-01-01T04:59:59Z",
    "last_seen_at": "2018-01-01T05:01:59Z",
    "viewed": [
        {"product_id": "p2", "viewed_at": "2018-01-01T05:01:59Z"},
        {"product_id": "p1", "viewed_at": "2018-01-01T04:59:59Z"},
    ],
    "cart": [{"product_id": "p1", "quantity": 2.0, "added_at": "2018-01-01T04:59:59Z"}],
    "place": {"place_id": "s1", "kind": "store", "entered_at": "2018-01-01T04:59:59Z"},
}


def test_features_say_what_is_live_of_whom(api: Served) -> None:
    api.features.live["household:1"] = LIVE
    with api.client("decide") as client:
        body = client.post(
            "/v1/features/customer_genome_v1", json={"customer_ids": ["household:1", "household:2"]}
        ).json()
    assert [each["live"] for each in body["customers"]] == [SAID, None]


def test_the_genome_says_what_the_customer_is_doing(api: Served) -> None:
    api.features.live["household:1"] = LIVE
    with api.client("agent") as client:
        assert client.get("/v1/customers/household:1/genome").json()["live"] == SAID
