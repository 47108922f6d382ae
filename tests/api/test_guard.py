"""What a request meets first: limits, faults, errors that help, and no personal data in logs."""

import json
import logging
import re

import pytest
import structlog
from support.world import NOW, Served

from genome.api.guard import MAX_BODY_BYTES

CANARY = "canary.person@example.org"


def test_an_unknown_field_is_named_and_refused(api: Served) -> None:
    answer = api.decide(placment="homepage")
    assert answer.status_code == 422
    assert answer.json() == {
        "code": "unknown_field",
        "message": "'placment' is no field of this request.",
        "remedy": "Leave it out, or see /openapi.json.",
    }


@pytest.mark.parametrize(
    ("ask", "code", "said"),
    [
        ({"placement": "moon"}, "invalid_request", "homepage"),
        ({"channel": "pigeon"}, "invalid_request", "web"),
        ({"count": 0}, "invalid_field", "count"),
        ({"count": "many"}, "invalid_field", "count"),
        ({"customer_id": ""}, "invalid_field", "customer_id"),
        ({"customer_id": 7}, "invalid_field", "customer_id"),
        ({"customer_id": "x" * 201}, "invalid_field", "customer_id"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_right(
    api: Served, ask: dict[str, object], code: str, said: str
) -> None:
    answer = api.decide(**ask)
    assert answer.status_code == 422
    assert answer.json()["code"] == code
    assert said in answer.text


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"x"', "[" * 50_000, '{"a":' * 9_000, "\x00", "NaN"])
def test_a_body_that_is_no_request_is_the_callers_fault(api: Served, body: str) -> None:
    with api.client("decide") as client:
        answer = client.post("/v1/decisions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert set(answer.json()) == {"code", "message", "remedy"}


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 422), (MAX_BODY_BYTES + 1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_limit_of_a_body_is_exact(api: Served, size: int, status: int, chunked: bool) -> None:
    body = b'{"customer_id": "' + b"x" * (size - 19) + b'"}'
    assert len(body) == size
    content = (body[at : at + 8192] for at in range(0, size, 8192)) if chunked else body
    with api.client("decide") as client:
        answer = client.post("/v1/decisions", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status


def test_a_packed_body_is_refused_before_it_is_unpacked(api: Served) -> None:
    with api.client("decide") as client:
        answer = client.post("/v1/decisions", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (415, "packed_body")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "no_such_route"),
        ("GET", "/v1/decisions", 405, "wrong_method"),
        ("POST", "/v1/decisions/", 404, "no_such_route"),
        ("DELETE", "/healthz", 405, "wrong_method"),
    ],
)
def test_a_wrong_address_is_told_and_never_redirected(
    api: Served, method: str, path: str, status: int, code: str
) -> None:
    with api.client("decide") as client:
        answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_wrong_method_is_answered_with_all_the_right_ones(api: Served) -> None:
    with api.client("decide") as client:
        assert client.put("/v1/features/customer_genome_v1").headers["allow"] == "GET, POST"


def test_our_own_fault_is_a_503_with_retry_after_and_shows_nothing(api: Served) -> None:
    api.features.fault = ZeroDivisionError(f"secret detail about {CANARY}")
    answer = api.decide()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["code"] == "unavailable"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "ZeroDivision" not in answer.text


def test_no_log_line_and_no_figure_holds_personal_data(
    api: Served, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        api.decide(customer_id=CANARY)
        api.decide(customer_id=CANARY, placement=CANARY)
        api.decide(**{CANARY: 1})
        api.features.fault = ValueError(CANARY)
        api.decide(customer_id=CANARY)
        api.features.fault = None
        with api.client("agent") as client:
            client.get("/v1/customers", params={"identifier": CANARY})
            client.get(f"/v1/customers/{CANARY}")
            client.get(f"/v1/customers/{CANARY}/genome")
            client.get(f"/{CANARY}")
            client.get("/v1/customers", headers={"Authorization": f"Bearer {CANARY}"})
            figures = client.get("/metrics").text
    out, err = capfd.readouterr()
    assert len([line for line in lines if line["event"] == "request"]) == 10
    assert [line["error"] for line in lines if line["event"] == "fault"] == ["ValueError"]
    ours = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("http"))
    for text in (json.dumps(lines, default=str), out, err, ours, figures):
        assert "canary" not in text


def test_errors_do_not_repeat_what_was_sent(api: Served) -> None:
    answers = [
        api.decide(placement=CANARY),
        api.decide(channel=CANARY),
        api.decide(count=CANARY),
        api.decide(customer_id=[CANARY]),
    ]
    assert {each.status_code for each in answers} == {422}
    assert [each.text for each in answers if "canary" in each.text] == []


def test_nobody_on_the_way_may_keep_an_answer(api: Served) -> None:
    with api.client("agent") as client:
        for path in ("/v1/customers/household:1", "/v1/customers/household:1/genome", "/healthz", "/nowhere"):
            headers = client.get(path).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers


def test_figures_count_requests_by_route_and_decisions_by_outcome(api: Served) -> None:
    def figure(name: str) -> float:
        with api.client() as client:
            found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    offered = 'genome_decisions_total{outcome="offered",placement="homepage"}'
    unknown = 'genome_decisions_total{outcome="unknown_customer",placement="homepage"}'
    requests = 'genome_http_requests_total{method="POST",route="/v1/decisions",status="200"}'
    before = [figure(name) for name in (offered, unknown, requests)]
    api.decide()
    api.decide(customer_id="household:404")
    assert [figure(name) for name in (offered, unknown, requests)] == [
        before[0] + 1,
        before[1] + 1,
        before[2] + 2,
    ]
    assert figure('genome_publication_age_seconds{group="genome"}') == 0.0


def test_readiness_tells_what_is_old_and_what_is_wrong(api: Served) -> None:
    with api.client() as client:
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["stores"] == {"online": True, "events": True}
        assert ready.json()["stale"] == []
        assert ready.json()["now"] == NOW.isoformat()
        assert ready.json()["publications"]["scores"]["age_seconds"] == 0.0
        api.features.fault = TimeoutError()
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").json() == {"status": "alive"}


def test_openapi_describes_every_route_of_the_table(api: Served) -> None:
    from genome.api.auth import ROUTE_SCOPES

    with api.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert paths["/v1/decisions"]["post"]["x-scope"] == "decide"
    assert paths["/v1/decisions"]["post"]["responses"]["422"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Problem"
    }
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described == {route for route in ROUTE_SCOPES if route[1] != "/openapi.json"}
