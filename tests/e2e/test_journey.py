"""The road, end to end: what `make demo`, the README and `genome up` promise, checked on one real run.

One file, because all of it shares one journey: two workers divide the suite by files.
"""

import hashlib
import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from genome.channels import registry
from genome.cli import VERBS
from genome.customers.helix import COLOURS
from genome.customers.picture import write_page
from genome.lake import publish
from genome.lake.manifest import Manifest
from genome.services.airflow_client import AirflowClient
from tests.e2e.conftest import HOUSEHOLDS, Journey
from tests.support.source import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

CHANNELS = set(registry())


def _hashes(folder: Path, pattern: str) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
    }


def _steps(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(step["dag_id"], step["task_id"]): step for step in report["steps"]}


def test_every_dag_ran_in_the_order_of_its_assets(journey: Journey) -> None:
    ran = list(dict.fromkeys(step["dag_id"] for step in journey.first["steps"]))
    assert len(CHANNELS) >= 6
    assert set(ran[1 : len(CHANNELS) + 1]) == {f"ingest_{channel}" for channel in CHANNELS}
    assert ran[len(CHANNELS) + 1 :] == [
        "maintain_lake",
        "build_genome",
        "serve_features",
        "train_next_best_offer",
        "publish_next_best_offers",
    ]


def test_every_hop_is_reconciled(journey: Journey) -> None:
    ledger = journey.first["ledger"]
    assert {row["channel"] for row in ledger} >= {
        "pos",
        "direct_mail",
        "loyalty",
        "crm",
        "products",
        "offers",
    }
    assert sum(row["interactions"] or 0 for row in ledger) > 100_000
    assert [row for row in ledger if not row["is_reconciled"]] == []


def test_the_demo_shows_three_people_with_a_genome_and_a_choice(journey: Journey) -> None:
    assert len(journey.first["people"]) == 3
    for person in journey.first["people"]:
        loci = {locus["locus_id"] for locus in person["genome"]["loci"]}
        assert {
            "department",
            "category",
            "product_type",
            "brand",
            "brand_type",
            "price_tier",
            "pack_size",
        } <= loci
        decision = person["decision"]
        assert bool(decision["offers"]) != bool(decision["silence"])
        for offer in decision["offers"]:
            assert offer["reasons"]


def test_online_equals_offline_for_a_thousand_customers(journey: Journey) -> None:
    compared = journey.document("serve-features", "--check", "1000")["parity"]
    assert compared["entities"]["customer"] == 1000
    assert compared["unknown"] == 0
    assert compared["differences"] == 0, compared["examples"]
    assert compared["is_equal"]


def test_a_second_run_of_every_dag_changes_nothing(journey: Journey) -> None:
    settings = journey.settings
    lake_before = _hashes(settings.lake, "interactions/**/*.parquet") | _hashes(
        settings.lake, "catalog/**/*.parquet"
    )
    counts_before = Manifest.read(settings, "interactions").counts()
    before = {group: publish.current(settings, group) for group in ("genome", "scores")}
    again = journey.document("demo", "--households", str(HOUSEHOLDS), "--keep", timeout=1500)
    lake_after = _hashes(settings.lake, "interactions/**/*.parquet") | _hashes(
        settings.lake, "catalog/**/*.parquet"
    )
    assert lake_before
    assert lake_after == lake_before
    assert Manifest.read(settings, "interactions").counts() == counts_before
    for group, publication in before.items():
        after = publish.current(settings, group)
        assert publication is not None
        assert after is not None
        assert {name: table.sha256 for name, table in after.tables.items()} == {
            name: table.sha256 for name, table in publication.tables.items()
        }
    assert set(_steps(again)) == set(_steps(journey.first))
    assert again["ledger"] == journey.first["ledger"]
    assert [(row["table"], row["rows"]) for row in again["published"]] == [
        (row["table"], row["rows"]) for row in journey.first["published"]
    ]
    assert [person["decision"]["offers"] for person in again["people"]] == [
        person["decision"]["offers"] for person in journey.first["people"]
    ]


def test_the_champion_says_why_it_is_champion(journey: Journey) -> None:
    models = journey.document("models", "list")
    champions = [each for each in models["versions"] if "champion" in each["aliases"]]
    assert len(champions) == 1
    assert champions[0]["decision"]


def test_doctor_finds_nothing_broken(journey: Journey) -> None:
    findings = journey.document("doctor")
    assert [each for each in findings["findings"] if each["verdict"] == "broken"] == []


def test_the_demo_will_not_touch_a_home_it_did_not_make(journey: Journey, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    other = Journey(journey.settings, journey.environment | {"GENOME_HOME": str(tmp_path)}, {})
    refused = other.genome("demo", check=False)
    assert refused.returncode == 2
    assert "was not made by the demo" in refused.stderr
    assert (tmp_path / "precious").read_text() == "mine"


# The README ------------------------------------------------------------

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]
MAKE = [line for line in COMMANDS if line.startswith("make ")]
VERB = [line for line in COMMANDS if line.startswith(".venv/bin/genome ")]
CURL = [line for line in COMMANDS if line.startswith("curl ")]
# `up` runs until it is stopped: the fixture below starts it, and the curl lines talk to it.
STAYS = {".venv/bin/genome up"}


def test_every_command_of_the_readme_is_one_of_three_kinds() -> None:
    assert sorted(MAKE + VERB + CURL) == sorted(COMMANDS)
    assert MAKE
    assert CURL
    assert set(VERB) >= STAYS


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {line.split()[1] for line in MAKE} <= targets


def test_the_links_of_the_readme_and_the_docs_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    assert len(pages) > 5
    broken = [
        f"{page.relative_to(ROOT)} → {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("line", [line for line in VERB if line not in STAYS])
def test_a_verb_of_the_readme_runs(journey: Journey, line: str) -> None:
    words = shlex.split(line)[1:]
    assert words[0] in VERBS
    assert journey.genome(*words).stdout.strip()


@pytest.fixture(scope="module")
def api(journey: Journey) -> Iterator[Path]:
    """`genome up` with the API, and a folder in which `.genome` is the journey's home."""
    checkout = journey.settings.home.parent / "checkout"
    checkout.mkdir(exist_ok=True)
    link = checkout / ".genome"
    if not link.exists():
        link.symlink_to(journey.settings.home)
    journey.genome("up", "--only", "valkey,api", "--detach", timeout=180)
    url = f"http://127.0.0.1:{journey.settings.api_port}/readyz"
    deadline = time.monotonic() + 60
    while httpx.get(url, trust_env=False).status_code != httpx.codes.OK:
        assert time.monotonic() < deadline, "the API was not ready within a minute"
        time.sleep(0.2)
    yield checkout
    journey.genome("down")


@pytest.mark.parametrize("line", CURL)
def test_a_curl_line_of_the_readme_answers(journey: Journey, api: Path, line: str) -> None:
    here = line.replace("http://127.0.0.1:8700", f"http://127.0.0.1:{journey.settings.api_port}")
    assert here != line
    done = subprocess.run(
        ["bash", "-c", f"{here} --fail-with-body --noproxy '*'"],
        cwd=api,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("{")
    assert '"code"' not in done.stdout[:40]


def test_the_agents_page_looks_like_a_page(
    journey: Journey, api: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    require_tool("chromium")
    key = (journey.settings.secrets / "agent.key").read_text().strip()
    base = f"http://127.0.0.1:{journey.settings.api_port}"
    headers = {"Authorization": f"Bearer {key}"}
    page = httpx.get(
        f"{base}/v1/customers/household:1", headers=headers | {"Accept": "text/html"}, trust_env=False
    )
    assert page.status_code == httpx.codes.OK
    picture = tmp_path / "page.png"
    write_page(page.text, picture)
    from matplotlib.image import imread

    pixels = imread(picture)
    assert pixels.shape[0] > 400
    # A blank page has one colour; a page with bars and text has many.
    assert len({tuple(pixel) for pixel in pixels[::7, ::7, :3].reshape(-1, 3).round(2).tolist()}) > 20
    # The helix and the lines of the months are drawn: the colour of the third locus is nowhere else.
    third = np.array([int(COLOURS[2][at : at + 2], 16) / 255 for at in (1, 3, 5)])
    assert (np.abs(pixels[:, :, :3] - third).max(axis=2) < 0.02).sum() > 500


# Airflow's scheduler ------------------------------------------------------------

NEW_PROFILE = {
    "household_id": "1",
    "age_band": "65+",
    "income_band": "35-49K",
    "home_ownership": "Homeowner",
    "marital_status": "Married",
    "household_size": "2",
    "household_composition": "2 Adults No Kids",
    "kids_count": "0",
    "updated_at": "2017-12-20T10:00:00-05:00",
}


@pytest.mark.scheduler
def test_one_trigger_carries_a_new_file_to_the_scores(journey: Journey) -> None:
    settings = journey.settings
    before = {group: publish.current(settings, group) for group in ("genome", "scores")}
    landed = Manifest.read(settings, "interactions").counts("crm").accepted
    (settings.inbox / "crm" / "late.jsonl").write_text(json.dumps(NEW_PROFILE) + "\n")
    journey.genome("down")  # the tests above may have left the API up
    journey.genome("up", "--only", "valkey,airflow", "--detach", timeout=300)
    try:
        with AirflowClient(settings) as airflow:
            airflow.wait_until_known(["ingest_crm", "publish_next_best_offers"])
            chain = airflow.wait_for_chain(airflow.trigger("ingest_crm"), timeout_seconds=1200)
    finally:
        journey.genome("down")
    assert [(run.dag_id, run.state) for run in chain] == [
        ("ingest_crm", "success"),
        ("build_genome", "success"),
        ("serve_features", "success"),
        ("train_next_best_offer", "success"),
        ("publish_next_best_offers", "success"),
    ]
    assert Manifest.read(settings, "interactions").counts("crm").accepted == landed + 1
    for group, publication in before.items():
        after = publish.current(settings, group)
        assert publication is not None
        assert after is not None
        assert after.epoch > publication.epoch
