"""The collector at the API's own port: one address for an SDK and for everything else."""

import json
from pathlib import Path

from conftest import make_settings
from support.collecting import stored, track
from support.world import Served, publish_world, served

from genome.api.guard import MAX_BODY_BYTES
from genome.collector import ledger


def test_a_tracking_client_is_served_at_the_apis_port(api: Served) -> None:
    key = api.key("ingest")
    before = len(stored(api.settings))
    with api.client() as client:
        for path in ("/v1/batch", "/v1/batch/"):
            answer = client.post(path, json={"batch": [track()]}, auth=(key, ""))
            assert (answer.status_code, answer.content) == (200, b'{"success":true}')
        preflight = client.options("/v1/batch", headers={"origin": "https://shop.example"})
        assert preflight.headers["access-control-allow-methods"] == "POST, OPTIONS"
        assert client.get("/v1/track").status_code == 405
        scraped = client.get("/metrics").text
    assert len(stored(api.settings)) == before + 2
    assert "genome_collector_events_total{" in scraped
    assert "# TYPE genome_http_requests_total counter" in scraped
    assert all(row.is_balanced for row in ledger.read(api.settings))


def test_the_collectors_own_limits_hold_there_and_not_the_apis(api: Served) -> None:
    large = json.dumps({"batch": [track(properties={"text": "x" * 20_000}) for _ in range(8)]})
    assert len(large) > 2 * MAX_BODY_BYTES
    with api.client() as client:
        assert client.post("/v1/batch", content=large, auth=(api.key("ingest"), "")).status_code == 200
        refused = client.post("/v1/decisions", content=large, headers={"authorization": "Bearer x"})
    assert refused.status_code == 401


def test_a_key_of_another_scope_does_not_write_and_a_write_key_does_not_read(api: Served) -> None:
    for scope in ("decide", "agent", "privacy", "admin"):
        with api.client(scope) as client:
            answer = client.post("/v1/track", json=track())
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")
    with api.client() as client:
        bearer = {"authorization": f"Bearer {api.key('ingest')}"}
        assert client.get("/v1/customers?identifier=household:1", headers=bearer).status_code == 401


def test_an_api_that_collects_nothing_starts_no_writer(tmp_path: Path) -> None:
    """An API that nobody sends events to must not start a store that somebody stopped."""
    settings = make_settings(tmp_path / "quiet")
    publish_world(settings)
    with served(settings) as quiet, quiet.client() as client:
        assert client.get("/healthz").status_code == 200
        assert "genome_collector_can_store" in client.get("/metrics").text
    assert not (settings.valkey / "events").exists()
