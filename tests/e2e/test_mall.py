"""The road once more, through every channel: a little mall, whose simulator says to the row what it wrote."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from genome.channels import registry
from genome.lake.manifest import Counts, Manifest
from tests.e2e.conftest import Journey, begin

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PEOPLE = 400
FEEDS = {"products", "offers", "stores", "stock", "prices"}


@pytest.fixture(scope="module")
def mall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """Run `genome demo --data mall` once, from nothing."""
    home = tmp_path_factory.mktemp("mall") / "home"
    # So few people redeem a handful of coupons: let that be enough to rehearse on.
    started = begin(home, GENOME_TRAINING_MIN_REDEMPTIONS="2")
    try:
        first = started.document("demo", "--data", "mall", "--customers", str(PEOPLE), timeout=800)
        yield replace(started, first=first)
    finally:
        started.genome("down", check=False)


@pytest.fixture(scope="module")
def said(mall: Journey) -> dict[str, Any]:
    """What the simulator says of its files."""
    return dict(json.loads((mall.settings.home / "mall" / "mall.json").read_text()))


def counted(said: dict[str, Any], name: str, channel: str) -> int:
    return sum(count for key, count in said[name].items() if key.partition("/")[0] == channel)


def test_every_channel_and_every_dag_had_its_turn(mall: Journey) -> None:
    ran = {step["dag_id"] for step in mall.first["steps"]} - {"(the retailer)"}
    channels = set(registry())
    assert len(channels) >= 17
    assert channels >= FEEDS
    assert ran >= {f"ingest_{channel}" for channel in channels} | {
        "build_genome",
        "serve_features",
        "train_next_best_offer",
        "publish_next_best_offers",
    }


def test_the_lakes_ledger_is_what_the_simulator_says_it_wrote(mall: Journey, said: dict[str, Any]) -> None:
    ledger: dict[str, Counts] = {}
    for dataset in ("interactions", "catalog"):
        ledger |= Manifest.read(mall.settings, dataset).counts_by_channel()
    expected = {}
    for channel in registry():
        rows, doubled, broken = (counted(said, name, channel) for name in ("rows", "doubled", "broken"))
        assert rows > 0, channel
        expected[channel] = Counts(rows, rows - doubled - broken, broken, doubled)
    assert ledger == expected
    assert sum(each.duplicate for each in ledger.values()) > 100
    assert sum(each.quarantined for each in ledger.values()) > 0


def test_every_hop_is_reconciled(mall: Journey, said: dict[str, Any]) -> None:
    ledger = {row["channel"]: row for row in mall.first["ledger"]}
    assert set(ledger) == set(registry())
    assert [row for row in ledger.values() if not row["is_reconciled"]] == []
    assert {name: row["written"] for name, row in ledger.items()} == {
        name: counted(said, "rows", name) for name in registry()
    }
    assert {name for name, row in ledger.items() if row["interactions"]} == set(registry()) - FEEDS


def test_what_the_simulator_broke_lies_in_quarantine_with_its_reason(
    mall: Journey, said: dict[str, Any]
) -> None:
    listed = mall.document("quarantine", "list")["items"]
    found = Counter(each["channel"] for each in listed)
    assert found == {key.partition("/")[0]: count for key, count in said["broken"].items()}
    assert all("_at is not a date and time" in each["reason"] for each in listed)


def test_somebody_serves_and_the_reason_is_kept(mall: Journey) -> None:
    decided = next(step for step in mall.first["steps"] if step["task_id"] == "decide_champion")["summary"]
    assert decided["champion"]
    assert decided["reason"]


def test_three_buyers_are_shown_with_a_genome_and_a_choice(mall: Journey) -> None:
    assert len(mall.first["people"]) == 3
    for person in mall.first["people"]:
        loci = {locus["locus_id"] for locus in person["genome"]["loci"]}
        # (Price tiers come from the prices of the months before: who bought in the first month only has none.)
        assert {"department", "category", "product_type", "brand", "brand_type", "pack_size"} <= loci
        assert bool(person["decision"]["offers"]) != bool(person["decision"]["silence"])


def test_online_equals_offline(mall: Journey) -> None:
    compared = mall.document("serve-features", "--check", "200")["parity"]
    assert compared["entities"]["customer"] == 200
    assert compared["is_equal"], compared["examples"]


def test_a_kept_home_takes_no_other_data(mall: Journey) -> None:
    refused = mall.genome("demo", "--data", "complete-journey", "--keep", check=False)
    assert refused.returncode == 2
    assert "holds the demo of mall, not of complete-journey" in refused.stderr
