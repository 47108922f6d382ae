"""Relations over HTTP, and decisions that are about products."""

from collections.abc import Iterator

import pytest
from support.world import EPOCH, NOW, Served

from genome.products.relations import Relation, RelationTable


@pytest.fixture
def related(api: Served) -> Iterator[Served]:
    """Bread goes with product 8, which is all of the offer `o_beef`."""
    bread = Relation(
        relation="complement",
        product_id="7",
        label="bread",
        other_product_id="8",
        other_label="beef",
        support_count=90,
        confidence=0.3,
        lift=5.0,
        lift_low=4.0,
        price_step=None,
        known_at=NOW,
        in_words="goes with bread",
    )
    held = api.service._related
    api.service._related = RelationTable(EPOCH, {"7": (bread,)}, {"8": 103}, {"7": "bread", "8": "beef"})
    yield api
    api.service._related = held


def test_a_decision_about_products_raises_what_goes_with_them(related: Served) -> None:
    plain = related.decide().json()
    assert [each["offer_id"] for each in plain["offers"]] == ["o_yogurt", "o_beef"]
    assert {each["related"] for each in plain["offers"]} == {None}
    body = related.decide(product_ids=["7", "nothing"]).json()
    assert [(each["offer_id"], each["score"]) for each in body["offers"]] == [
        ("o_beef", pytest.approx(0.2)),
        ("o_yogurt", pytest.approx(0.09)),
    ]
    beef = body["offers"][0]
    assert beef["reasons"][0] == "It goes with bread."
    assert beef["related"]["score_alone"] == pytest.approx(0.05)
    assert beef["related"]["lift"] == pytest.approx(4.0)
    # Its inputs hold what was said of it, so it can be made again from the log.
    with related.client("decide") as client:
        told = client.get(f"/v1/decisions/{body['decision_id']}").json()
    assert told["is_reproduced"] is True
    # In the basket already: nothing goes with itself.
    assert related.decide(product_ids=["7", "8"]).json()["offers"][0]["offer_id"] == "o_yogurt"


def test_too_many_products_are_a_wrong_call(api: Served) -> None:
    assert api.decide(product_ids=[str(each) for each in range(51)]).status_code == 422
    assert api.decide(product_ids=[""]).status_code == 422


def test_relations_of_a_product(related: Served) -> None:
    with related.client("decide") as client:
        found = client.get("/v1/products/7/relations").json()
        assert found["label"] == "bread"
        assert [each["other_label"] for each in found["relations"]] == ["beef"]
        assert client.get("/v1/products/9/relations").json()["relations"] == []
        assert client.get("/v1/products/nobody/relations").status_code == 404
