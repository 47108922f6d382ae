"""accepted = landed + waiting + parked for each live source: three books by different hands."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.collecting import Running, in_this_process, track
from support.streaming import running, stream_settings, until
from typer.testing import CliRunner

from genome.cli import app
from genome.collector import stream
from genome.collector.record import Record, decode
from genome.lake.vault import Vault
from genome.services import status
from genome.settings import Settings
from genome.stores import valkey
from genome.stream import land, ledger, parked
from genome.stream.ledger import Hop


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home: Path = tmp_path_factory.mktemp("ledger") / "home"
    with in_this_process(stream_settings(home, stream_land_seconds=0.1)) as found:
        yield found


def hop(settings: Settings, source: str) -> Hop:
    return next(each for each in ledger.read(settings) if each.source == source)


def test_every_accepted_event_is_in_the_lake_or_in_the_stream_or_parked(collector: Running) -> None:
    settings = collector.settings
    web, app_ = collector.source(), collector.source("app")
    order = track("Order Completed", properties={"order_id": "1", "products": [{"sku": "a"}, {"sku": "b"}]})
    assert collector.batch(web, [track(userId=f"u{n}") for n in range(50)] + [order]).status_code == 200
    assert hop(settings, web) == Hop(web, "web", accepted=51, waiting=51)
    with running(land.make(settings)):
        until(lambda: hop(settings, web).waiting == 0)
        found = hop(settings, web)
    assert found == Hop(web, "web", accepted=51, landed=51, rows=52)
    assert collector.batch(app_, [track(userId=f"u{n}") for n in range(9)]).status_code == 200
    assert hop(settings, app_) == Hop(app_, "app", accepted=9, waiting=9)
    record = collector.records(app_)[0]
    partition, stream_id = _ids(settings, app_)[0]
    with valkey.connect(settings, "events") as client:
        parked.park(client, Vault(settings), "land", partition, stream_id, b"{}", reason="x", record=record)
    assert hop(settings, app_) == Hop(app_, "app", accepted=9, waiting=8, parked=1)
    assert all(each.is_balanced for each in ledger.read(settings))
    shown = status.read(settings)
    assert {line.source: line.is_balanced for line in shown.landing} == {web: True, app_: True}
    assert [line.consumer for line in shown.consumers] == ["land"]
    scraped = collector.client.get("/metrics").text
    assert f'genome_lake_events{{channel="web",source="{web}",state="landed"}} 51.0' in scraped
    assert f'genome_lake_events{{channel="app",source="{app_}",state="not_landed"}} 9.0' in scraped
    assert 'genome_stream_lag_events{consumer="land",partition="0"}' in scraped


def _ids(settings: Settings, source: str) -> list[tuple[int, bytes]]:
    found = []
    with valkey.connect(settings, "events") as client:
        for partition in range(settings.collector_partitions):
            for stream_id, fields in client.xrange(stream.events_key(partition)):
                record = decode(fields)
                if isinstance(record, Record) and record.source == source:
                    found.append((partition, stream_id))
    return found


def test_the_verbs_show_what_is_parked_and_status_shows_the_books(
    collector: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in collector.settings.environment().items():
        monkeypatch.setenv(name, value)
    source = collector.source()
    assert collector.batch(source, [track()]).status_code == 200
    ((partition, stream_id),) = _ids(collector.settings, source)
    with valkey.connect(collector.settings, "events") as client:
        parked.park(client, Vault(collector.settings), "land", partition, stream_id, b"{}", reason="x")
    runner = CliRunner()
    assert "parked-land-" in runner.invoke(app, ["stream", "parked", "land", "--json"]).output
    shown = runner.invoke(app, ["status"])
    assert shown.exit_code == 0, shown.output
    assert "balances" in shown.output
    listed = json.loads(runner.invoke(app, ["quarantine", "list", "--json"]).output)["items"]
    item_id = f"parked-land-{partition}-{stream_id.decode()}"
    assert item_id in {each["id"] for each in listed}
    shown = runner.invoke(app, ["quarantine", "show", item_id, "--json"])
    assert json.loads(shown.output)["raw"] == "{}"
    again = json.loads(runner.invoke(app, ["quarantine", "replay", item_id, "--json"]).output)
    assert item_id in again["still_quarantined"]
    failed = runner.invoke(app, ["stream", "replay"])
    assert failed.exit_code == 1
    assert "damaged" in failed.output
