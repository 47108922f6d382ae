"""Every route × every scope; keys that are missing, unknown, withdrawn, or lie about."""

import base64
import json
import stat

import httpx
import pytest
from fastapi import APIRouter
from support.world import Served

from genome.api import app as application
from genome.api.app import create_app
from genome.api.auth import (
    BROWSER_ROUTES,
    MADE_SCOPES,
    ROUTE_SCOPES,
    SCOPES,
    KeyRing,
    ensure_keys,
    hash_of,
    new_key,
)
from genome.collector import sources
from genome.settings import Settings

PATHS = {
    "{decision_id}": "d_" + "0" * 32,
    "{customer_id}": "household:1",
    "{product_id}": "9",
    "{service}": "customer_genome_v1",
    "{source}": "provider",
}
HOOK = "/v1/hooks/{source}"
EVENT = {"userId": "u1", "event": "Page Seen", "groupId": "g", "previousId": "p", "type": "track"}
BODIES = {
    ("POST", "/v1/decisions"): {"customer_id": "household:1", "placement": "homepage"},
    ("POST", "/v1/decisions/{decision_id}/feedback"): {"event": "shown"},
    ("POST", "/v1/features/{service}"): {"customer_ids": ["household:1"]},
    # Of one customer with itself: refused after the scope was looked at, and nothing is kept.
    ("POST", "/v1/customers/{customer_id}/merge"): {"other": "household:1"},
    ("POST", "/v1/customers/{customer_id}/unmerge"): {"other": "household:1"},
    **{("POST", f"/v1/{kind}"): EVENT for kind in ("track", "identify", "page", "screen", "group", "alias")},
    ("POST", "/v1/batch"): {"batch": [EVENT]},
    ("POST", "/v1/import"): {"batch": [EVENT]},
}
QUERIES = {
    ("GET", "/v1/features/{service}"): {"customer_id": "household:1"},
    ("GET", "/v1/customers"): {"identifier": "household:1"},
    ("GET", "/v1/population"): {"gene_id": "category:YOGURT"},
}


def call(client: httpx.Client, method: str, path: str, **options: object) -> httpx.Response:
    address = path
    for name, value in PATHS.items():
        address = address.replace(name, value)
    body, query = BODIES.get((method, path)), QUERIES.get((method, path))
    return client.request(method, address, json=body, params=query, **options)


def test_the_table_and_the_app_name_the_same_routes(settings: Settings) -> None:
    routes = {
        (method, route.path)
        for route in create_app(settings).routes
        for method in route.methods
        if method != "HEAD"
    }
    assert len(routes) > 10
    assert routes == set(ROUTE_SCOPES)


def test_an_app_with_a_route_that_the_table_lacks_does_not_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = APIRouter()
    extra.add_api_route("/v1/forgotten", lambda: {}, methods=["GET"])
    monkeypatch.setattr(application, "_ROUTERS", (*application._ROUTERS, extra))
    with pytest.raises(RuntimeError, match="GET /v1/forgotten has no scope"):
        create_app(settings)


@pytest.fixture(scope="module", autouse=True)
def _provider(api_settings: Settings) -> None:
    sources.add(api_settings, "provider", "email", provider="mailgun", secret="signing")


@pytest.mark.parametrize("scope", [None, *SCOPES])
@pytest.mark.parametrize(("method", "path"), list(ROUTE_SCOPES))
def test_a_route_opens_to_its_scope_and_to_no_other(
    api: Served, method: str, path: str, scope: str | None
) -> None:
    needed = ROUTE_SCOPES[(method, path)]
    with api.client(scope) as client:
        answer = call(client, method, path)
    if needed == "ingest" and (scope in {None, "ingest"}):
        # The collector's own word: a write key opens it, but for a webhook, which its provider must sign.
        assert answer.status_code == (401 if scope is None or path == HOOK else 200)
        assert set(answer.json() if path != "/v1/pixel" or scope is None else ["code", "message"]) in (
            {"code", "message"},
            {"success"},
        )
    elif needed is None or needed == scope:
        assert answer.status_code not in {401, 403}
        assert answer.status_code < 500
    else:
        # A write key is no key of the API's at all.
        codes = {None: (401, "missing_key"), "ingest": (401, "unknown_key")}
        assert (answer.status_code, answer.json()["code"]) == codes.get(scope, (403, "wrong_scope"))
        assert needed in answer.json()["remedy"]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer wrong", "bearer cg_decide_wrong", "Digest x", "Basic !!", "Basic 4pyT"],
)
def test_a_key_that_is_not_one_is_refused(api: Served, header: str) -> None:
    with api.client() as client:
        for (method, path), needed in ROUTE_SCOPES.items():
            if needed is not None:
                answer = call(client, method, path, headers={"Authorization": header})
                assert answer.status_code == 401, path
                assert "www-authenticate" in answer.headers


def test_only_pages_take_a_browsers_password(api: Served) -> None:
    for (method, path), needed in ROUTE_SCOPES.items():
        if needed is None:
            continue
        credentials = base64.b64encode(f"me:{api.key(needed)}".encode()).decode()
        with api.client() as client:
            answer = call(client, method, path, headers={"Authorization": f"Basic {credentials}"})
        assert (answer.status_code == 401) == ((method, path) not in BROWSER_ROUTES), path


def test_pages_are_only_read() -> None:
    assert BROWSER_ROUTES
    assert {method for method, _ in BROWSER_ROUTES} == {"GET"}


def test_keys_are_stored_hashed_and_readable_by_their_owner_only(settings: Settings) -> None:
    ensure_keys(settings)
    stored = (settings.secrets / "api_keys.json").read_text()
    for scope in MADE_SCOPES:
        text = (settings.secrets / f"{scope}.key").read_text()
        assert text not in stored
        assert hash_of(text) in stored
        assert len(text) >= 43 + len(f"cg_{scope}_")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in settings.secrets.glob("*.key")}
    assert modes == {0o600}
    assert stat.S_IMODE((settings.secrets / "api_keys.json").stat().st_mode) == 0o600


def test_making_keys_again_changes_none(settings: Settings) -> None:
    ensure_keys(settings)
    before = {path.name: path.read_text() for path in settings.secrets.iterdir() if path.is_file()}
    ensure_keys(settings)
    assert {path.name: path.read_text() for path in settings.secrets.iterdir() if path.is_file()} == before


def test_a_withdrawn_key_is_refused_and_an_added_one_taken_without_a_restart(settings: Settings) -> None:
    ensure_keys(settings)
    ring = KeyRing(settings)
    path = settings.secrets / "api_keys.json"
    decide = (settings.secrets / "decide.key").read_text()
    found = ring.find(decide)
    assert found is not None
    assert found.scopes == {"decide"}
    document = json.loads(path.read_text())
    both = new_key("partner")
    document["keys"] = [each for each in document["keys"] if each["key_id"] != "first-decide"]
    document["keys"].append({"key_id": "partner", "sha256": hash_of(both), "scopes": ["decide", "agent"]})
    replaced = path.with_suffix(".new")
    replaced.write_text(json.dumps(document))
    replaced.replace(path)
    assert ring.find(decide) is None
    partner = ring.find(both)
    assert partner is not None
    assert partner.scopes == {"decide", "agent"}


def test_every_stored_key_is_compared_however_early_one_fits(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hmac

    ensure_keys(settings)
    compared = []
    real = hmac.compare_digest

    def counting(left: str, right: str) -> bool:
        compared.append(left)
        return real(left, right)

    monkeypatch.setattr("genome.api.auth.hmac.compare_digest", counting)
    ring = KeyRing(settings)
    assert ring.find((settings.secrets / "decide.key").read_text()) is not None
    assert len(compared) == len(MADE_SCOPES)
