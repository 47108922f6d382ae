"""Routes, write keys and answers, as the tracking clients expect them."""

import base64
import gzip
import json
from typing import Any
from urllib.parse import quote

import pytest
from support.collecting import Running, track

from genome.settings import Settings

SUCCESS = b'{"success":true}'


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("track", {"event": "Product Viewed", "properties": {"product_id": "p"}}, "Product Viewed"),
        ("identify", {"traits": {"plan": "gold"}}, "Profile Updated"),
        ("page", {"name": "Home"}, "Page Viewed"),
        ("screen", {"name": "Home"}, "Screen Viewed"),
        ("group", {"groupId": "g"}, "Group Joined"),
        ("alias", {"previousId": "before"}, "Identity Linked"),
    ],
)
def test_every_call_has_its_route_with_and_without_a_slash(
    collector: Running, path: str, body: dict[str, Any], name: str, slash: str
) -> None:
    source = collector.source()
    answer = collector.post(source, f"/v1/{path}{slash}", {"userId": "u", "messageId": "m", **body})
    assert (answer.status_code, answer.content) == (200, SUCCESS)
    assert [(each.type, each.name, each.source_key) for each in collector.records(source)] == [
        (path, name, "user:u")
    ]


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/batch/", "/v1/import", "/v1/import/"])
def test_a_batch_holds_calls_of_every_type(collector: Running, path: str) -> None:
    source = collector.source()
    batch = [
        track(),
        {"type": "page", "anonymousId": "a", "messageId": "p", "timestamp": "2026-01-01T00:00:00Z"},
    ]
    answer = collector.post(source, path, {"batch": batch})
    assert (answer.status_code, answer.content) == (200, SUCCESS)
    assert sorted(each.type for each in collector.records(source)) == ["page", "track"]


def test_an_empty_batch_is_a_success(collector: Running) -> None:
    source = collector.source()
    assert collector.batch(source, []).content == SUCCESS
    assert collector.ledger(source).received == 0


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "nonsense;;"]
)
@pytest.mark.parametrize("compressed", [False, True])
def test_any_content_type_and_gzip_are_taken(collector: Running, content_type: str, compressed: bool) -> None:
    source = collector.source()
    body = json.dumps({"batch": [track()]}).encode()
    headers = {"content-type": content_type}
    if compressed:
        body, headers["content-encoding"] = gzip.compress(body), "gzip"
    assert collector.post(source, "/v1/batch", body, **headers).content == SUCCESS
    assert collector.ledger(source).accepted == 1


def test_gzip_that_does_not_say_so_is_recognised(collector: Running) -> None:
    source = collector.source()
    body = gzip.compress(json.dumps(track()).encode())
    assert collector.post(source, "/v1/track", body).status_code == 200
    assert collector.ledger(source).accepted == 1


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "no_write_key"),
        ({"authorization": "Basic " + base64.b64encode(b"wrong:").decode()}, "unknown_write_key"),
        ({"authorization": "Basic !!!"}, "no_write_key"),
        ({"authorization": "Bearer cg_write_wrong"}, "unknown_write_key"),
    ],
)
def test_without_a_known_write_key_the_answer_is_401(
    collector: Running, headers: dict[str, str], code: str
) -> None:
    answer = collector.client.post("/v1/batch", content=b'{"batch":[]}', headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == code
    assert set(answer.json()) == {"code", "message"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "bad_batch"),
        (b'{"batch": 5}', "bad_batch"),
        (b"{}", "bad_batch"),
        (b'{"batch": [{"a":1}', "invalid_json"),
        (b"[" * 100_000, "bad_batch"),
        (b'{"batch":' + b"[" * 500_000 + b"]" * 500_000 + b"}", None),
    ],
)
def test_a_body_that_is_no_batch_is_400_or_set_aside(
    collector: Running, body: bytes, code: str | None
) -> None:
    source = collector.source()
    answer = collector.post(source, "/v1/batch", body)
    if code is None:  # a list it is; what is in it is too deep, and quarantined
        assert answer.status_code == 200
        assert collector.ledger(source).quarantined == 1
    else:
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert collector.ledger(source).received == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/track", 405),
        ("PUT", "/v1/batch", 405),
        ("POST", "/v1/tracks", 404),
        ("GET", "/nothing", 404),
    ],
)
def test_other_routes_and_methods_are_refused_without_redirects(
    collector: Running, method: str, path: str, status: int
) -> None:
    answer = collector.client.request(method, path, follow_redirects=False)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message"}


def test_an_encoding_that_nobody_knows_is_415(collector: Running) -> None:
    answer = collector.post(collector.source(), "/v1/batch", b"x", **{"content-encoding": "br"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")


def test_damaged_gzip_is_400(collector: Running) -> None:
    source = collector.source()
    whole = gzip.compress(json.dumps({"batch": [track()]}).encode())
    for body in (whole[:-9], b"\x1f\x8b rubbish", whole + b"rubbish"):
        answer = collector.post(source, "/v1/batch", body, **{"content-encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_gzip")
    two = gzip.compress(b'{"batch":') + gzip.compress(b"[]}")
    assert collector.post(source, "/v1/batch", two, **{"content-encoding": "gzip"}).content == SUCCESS


def test_a_browser_may_send_from_another_origin(collector: Running) -> None:
    asked = collector.client.options(
        "/v1/track",
        headers={"origin": "https://shop.example", "access-control-request-method": "POST"},
    )
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == "https://shop.example"
    assert "authorization" in asked.headers["access-control-allow-headers"]
    source = collector.source()
    answer = collector.post(source, "/v1/track", track(), origin="https://shop.example")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


def test_send_beacon_brings_its_key_in_the_body_or_the_query(collector: Running) -> None:
    source = collector.source()
    body = json.dumps({"batch": [track()], "writeKey": collector.key(source)}).encode()
    one = json.dumps(track() | {"writeKey": collector.key(source)}).encode()
    plain = {"content-type": "text/plain;charset=UTF-8"}
    assert collector.client.post("/v1/batch", content=body, headers=plain).content == SUCCESS
    assert collector.client.post("/v1/track", content=one, headers=plain).content == SUCCESS
    asked = f"/v1/track?writeKey={collector.key(source)}"
    assert collector.client.post(asked, content=json.dumps(track()), headers=plain).content == SUCCESS
    assert collector.ledger(source).accepted == 3


def test_a_pixel_is_one_event_in_a_query(collector: Running) -> None:
    source = collector.source("email")
    key = collector.key(source)
    data = base64.urlsafe_b64encode(
        json.dumps({"type": "track", "event": "Email Opened", "userId": "ü", "messageId": "1"}).encode()
    ).decode()
    answers = [
        collector.client.get(f"/v1/pixel?writeKey={key}&data={quote(data.rstrip('='))}"),
        collector.client.get(
            f"/v1/pixel?writeKey={key}&event=Email%20Opened&userId=u2&properties.campaign_id=c7"
        ),
    ]
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
        assert answer.content.startswith(b"GIF89a")
        assert "no-store" in answer.headers["cache-control"]
    records = sorted(collector.records(source), key=lambda each: each.key)
    assert [(each.key, each.name, each.properties) for each in records] == [
        ("u2", "Email Opened", {"campaign_id": "c7"}),
        ("ü", "Email Opened", {}),
    ]
    assert collector.client.get("/v1/pixel?data=e30").status_code == 401
    assert collector.client.get(f"/v1/pixel?writeKey={key}&data=%25").status_code == 400


def test_a_key_that_was_exchanged_works_until_the_next_exchange(collector: Running) -> None:
    from genome.collector import sources

    source = collector.source()
    old = collector.key(source)
    new = sources.exchange_key(collector.settings, source)
    newest = sources.exchange_key(collector.settings, source)
    assert collector.app is not None
    collector.app.sources._looked = float("-inf")
    found = [
        collector.client.post("/v1/batch", content=b'{"batch":[]}', auth=(each, "")).status_code
        for each in (old, new, newest)
    ]
    assert found == [401, 200, 200]
    text = (collector.settings.secrets / "sources.json").read_text()
    assert not any(each in text for each in (old, new, newest))
    assert (collector.settings.secrets / "sources.json").stat().st_mode & 0o777 == 0o600


def test_health_readiness_and_metrics_need_no_key(collector: Running) -> None:
    source = collector.source()
    collector.batch(source, [track(), track(event="")])
    assert collector.client.get("/healthz").json() == {"status": "alive"}
    assert collector.client.get("/readyz").json() == {"status": "ready"}
    text = collector.client.get("/metrics").text
    label = f'channel="web",outcome="%s",source="{source}"'
    for outcome, count in (("received", 2), ("accepted", 1), ("quarantined", 1), ("duplicate", 0)):
        assert f"genome_collector_events_total{{{label % outcome}}} {count}.0\n" in text


def test_a_fault_of_our_own_is_503_and_never_4xx(collector: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    source = collector.source()

    def broken(*_: Any) -> Any:
        raise KeyError("bob@example.com")

    monkeypatch.setattr("genome.collector.app.read_one", broken)
    answer = collector.batch(source, [track()])
    assert (answer.status_code, answer.json()["code"]) == (503, "internal")
    assert answer.headers["retry-after"] == "1"
    assert "bob" not in answer.text
    monkeypatch.undo()
    assert collector.batch(source, [track()]).status_code == 200
    assert collector.ledger(source).received == 1


def test_the_collector_can_be_mounted_into_another_app(own_settings: Settings) -> None:
    import asyncio

    import httpx
    from fastapi import FastAPI

    from genome.collector import ledger, sources
    from genome.collector.app import create_app, routes
    from genome.stores import valkey

    key = sources.add(own_settings, "web", "web")

    async def use() -> list[tuple[int, bytes]]:
        collector = create_app(own_settings)
        outer = FastAPI()
        outer.router.routes.extend(routes(collector))
        await collector.startup()
        transport = httpx.ASGITransport(outer)
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
            batch = {"batch": [track()]}
            answers = [
                await client.post("/v1/batch", json=batch, auth=(key, "")),
                await client.post("/v1/batch/", json=batch, auth=(key, "")),
                await client.get("/v1/pixel"),
                await client.post("/v1/hooks/nobody"),
                await client.options("/v1/track", headers={"origin": "https://a.example"}),
            ]
        await collector.shutdown()
        return [(each.status_code, each.content) for each in answers]

    answers = asyncio.run(use())
    assert answers[:2] == [(200, SUCCESS), (200, SUCCESS)]
    assert [status for status, _ in answers[2:]] == [401, 404, 200]
    (row,) = ledger.read(own_settings)
    assert (row.received, row.accepted + row.duplicate) == (2, 2)
    valkey.stop(own_settings, "events")
