"""Features, genomes and pages of customers over HTTP."""

from typing import Any

import pytest
from support.world import DAY, EPOCH, NOW, Served

from genome.lake.manifest import Manifest
from genome.settings import Settings


def test_the_genome_comes_by_locus_with_labels_trend_and_confidence(api: Served) -> None:
    with api.client("agent") as client:
        body = client.get("/v1/customers/household:1/genome").json()
    assert [each["locus_id"] for each in body["loci"]] == ["category", "brand_type", "product"]
    categories = body["loci"][0]
    assert [each["label"] for each in categories["genes"]] == ["beef", "yogurt", "cheese"]
    yogurt = categories["genes"][1]
    assert yogurt["share_now"] == 0.75
    assert yogurt["share_character"] == pytest.approx(0.3)
    assert yogurt["trend"] == pytest.approx(0.45)
    assert yogurt["direction"] == "rising"
    assert (yogurt["confidence"], yogurt["distinctiveness"]) == (12.0, 5.5)
    assert yogurt["last_on"] == "2017-11-30"
    assert [each["gene_id"] for each in body["distinctive"]] == ["category:YOGURT", "brand_type:Private"]
    assert body["as_of"] == "2018-01-01T04:59:59Z"
    assert body["age_hours"] == 0.0
    assert body["genome_epoch"] == EPOCH
    assert body["traits"]["order_count"] == 52
    assert "gene_hashes" not in body["traits"]
    assert "model_name" not in body["traits"]


def test_an_unknown_customer_has_no_genome(api: Served) -> None:
    with api.client("agent") as client:
        answer = client.get("/v1/customers/household:404/genome")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_features_come_with_their_versions_and_tell_missing_from_null(api: Served) -> None:
    with api.client("decide") as client:
        one = client.get("/v1/features/customer_genome_v1", params={"customer_id": "household:1"}).json()
        many = client.post(
            "/v1/features/customer_genome_v1",
            json={"customer_ids": ["household:404", "household:2", "household:1"]},
        ).json()
    assert one["feature_hash"] == "hash-of-customer_genome_v1"
    assert one["epochs"]["feat_customer_genome"] == EPOCH
    household = one["customers"][0]
    assert household["features"]["gene_hashes"] == [101, 102, 103, 201, 202, 301, 999]
    assert household["features"]["income_band"] is None
    assert household["missing"] == []
    assert household["valid_at"]["feat_customer_traits"] == "2018-01-01T04:59:59Z"
    assert [(each["customer_id"], each["is_known"]) for each in many["customers"]] == [
        ("household:404", False),
        ("household:2", True),
        ("household:1", True),
    ]
    assert many["customers"][1]["missing"] == ["feat_customer_offer_scores"]
    assert many["customers"][2] == household


def test_a_feature_service_that_is_not_there_is_not_found(api: Served) -> None:
    with api.client("decide") as client:
        answer = client.get("/v1/features/nothing_v9", params={"customer_id": "household:1"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(("count", "status"), [(1000, 200), (1001, 422), (0, 422)])
def test_the_number_of_customers_in_one_request_is_limited(api: Served, count: int, status: int) -> None:
    with api.client("decide") as client:
        answer = client.post(
            "/v1/features/customer_genome_v1", json={"customer_ids": [f"household:{n}" for n in range(count)]}
        )
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("identifier", "customers"),
    [
        ("household:1", ["household:1"]),
        ("1", ["household:1", "household:2"]),  # household:1 and loyalty:1
        ("loyalty:1", ["household:2"]),
        ("household:", []),
        ("nobody", []),
        ("loyalty:9", []),  # it was household:2's, and is not any more
        ("jane.roe@example.com", ["household:11"]),
        (" Jane.Roe@EXAMPLE.com ", ["household:11"]),
        ("john.roe@example.com", []),
        ("+15551234567", []),
    ],
)
def test_an_identifier_leads_to_its_customers(api: Served, identifier: str, customers: list[str]) -> None:
    with api.client("agent") as client:
        found = client.get("/v1/customers", params={"identifier": identifier}).json()
    assert found["customer_ids"] == customers


def test_a_browser_is_taken_to_the_page(api: Served) -> None:
    with api.client("agent", follow_redirects=False) as client:
        html = {"Accept": "text/html,application/xhtml+xml"}
        answer = client.get("/v1/customers", params={"identifier": "household:11"}, headers=html)
        assert (answer.status_code, answer.headers["location"]) == (303, "/v1/customers/household:11")
        choice = client.get("/v1/customers", params={"identifier": "1"}, headers=html)
        assert "household:2" in choice.text
        nobody = client.get("/v1/customers", params={"identifier": "<b>"}, headers=html)
        assert nobody.status_code == 404
        assert "<b>" not in nobody.text


def test_the_page_shows_the_genome_and_the_next_best_offer(api: Served) -> None:
    with api.client("agent") as client:
        answer = client.get("/v1/customers/household:1")
    assert answer.headers["content-type"].startswith("text/html")
    page = answer.text
    for said in (
        "household:1",
        "Customer since January 2017; last order 3 days ago, usually every 7 days.",
        "You often choose yogurt; that is what this offer is for.",
        "01 January 2018, 04:59 UTC",
        "store&#x27;s own brands",
    ):
        assert said in page
    assert page.count("<svg") == 6 + 2  # a bar for each gene; the helix, and the course of the months
    assert page.count("▲") == 1 + 3  # the key; yogurt in the helix, among the singular, and in its locus


def test_data_cannot_become_markup_and_the_page_loads_nothing_from_elsewhere(api: Served) -> None:
    with api.client("agent") as client:
        answer = client.get("/v1/customers/household:1")
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "<b>milk" not in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "url(" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_page_of_an_unknown_customer_does_not_repeat_the_id(api: Served) -> None:
    with api.client("agent") as client:
        answer = client.get("/v1/customers/<svg onload=alert(1)>")
    assert answer.status_code == 404
    assert "onload" not in answer.text


def test_a_customer_without_scores_gets_a_page_that_says_to_say_nothing(api: Served) -> None:
    with api.client("agent") as client:
        page = client.get("/v1/customers/household:2").text
    assert "Say nothing." in page


def test_the_start_page_needs_no_key_and_holds_no_data(api: Served) -> None:
    with api.client() as client:
        page = client.get("/").text
    assert 'action="/v1/customers"' in page
    assert "household:11" not in page


def test_a_genome_of_the_past_is_what_was_known_then(api: Served) -> None:
    ten = (NOW - 10 * DAY).isoformat()
    before_the_refund = (NOW - 21 * DAY).isoformat()
    with api.client("agent") as client:

        def yogurt(**asked: str) -> dict[str, Any]:
            answer = client.get("/v1/customers/household:1/genome", params=asked)
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert "genome_epoch" not in body
            return next(each for each in body["loci"] if each["locus_id"] == "category")["genes"][0]

        # Two orders were known then; of the later one all was taken back by a refund that came on day 20.
        assert yogurt(as_of=ten, known_at=before_the_refund)["confidence"] > 1.5
        assert yogurt(as_of=ten)["confidence"] == pytest.approx(1.0)
        nothing = client.get("/v1/customers/household:1/genome", params={"as_of": "2016-01-01T00:00:00Z"})
        assert nothing.json()["loci"] == []
        assert client.get("/v1/customers/nobody/genome", params={"as_of": ten}).status_code == 404
        assert (
            client.get("/v1/customers/household:1/genome", params={"as_of": "2017-07-01"}).status_code == 422
        )


def test_an_affinity_names_the_interactions_that_it_is_made_of(api: Served) -> None:
    with api.client("agent") as client:
        why = client.get("/v1/customers/household:1/why", params={"gene_id": "category:YOGURT"}).json()
        assert [(each["interaction_id"], each["takes_back"]) for each in why["contributions"]] == [
            ("i2", None),
            ("i3", "i2"),
            ("i1", None),
        ]
        # Half a piece of evidence, one long half-life ago; what was taken back adds up to nothing.
        assert why["affinity_character"] == pytest.approx(0.25)
        assert why["contributions"][0]["now"] == pytest.approx(0.25)
        assert why["by_channel"] == {"pos": pytest.approx(0.25)}
        unknown = client.get("/v1/customers/household:1/why", params={"gene_id": "category:NONE"})
    assert unknown.status_code == 404
    assert "There is no gene" in unknown.text


def test_a_service_agent_can_say_that_two_customers_are_one(api: Served, api_settings: Settings) -> None:
    with api.client("agent") as client:
        said = {"other": "loyalty:1", "by": "ann", "reason": "called about it"}
        done = client.post("/v1/customers/household:1/merge", json=said)
        assert done.status_code == 201, done.text
        assert done.json()["by"] == "ann (first-agent)"
        kept = Manifest.read(api_settings, "identity_decisions").entries
        assert [f"decision-{done.json()['decision_id']}"] == [entry.batch_id for entry in kept]
        # It counts from the next build on, so there is nothing to take back yet.
        again = client.post("/v1/customers/household:1/unmerge", json=said)
        assert (again.status_code, again.json()["code"]) == (422, "invalid_request")
        one = client.post("/v1/customers/household:2/merge", json={"other": "loyalty:1"})
        assert "one customer already" in one.json()["message"]
        assert client.post("/v1/customers/nobody:1/merge", json=said).status_code == 422
    with api.client("decide") as client:
        assert client.post("/v1/customers/household:1/merge", json=said).status_code == 403


def test_the_segments_that_describe_a_customer_now(api: Served) -> None:
    with api.client("agent") as client:
        found = client.get("/v1/customers/household:1/segments").json()
        assert client.get("/v1/customers/household:nobody/segments").status_code == 404
    # 52 orders, a week apart; two coupons redeemed and 15 % saved; 40 % own brands are not half.
    assert [each["id"] for each in found["segments"]] == ["regular", "coupon_friend"]
    assert all(each["about"] for each in found["segments"])
