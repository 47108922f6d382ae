"""The mall's last days through the collector and the live path, and the same events through dbt: one genome.

Everything comes as the mall's phones and browsers send it: late, by wrong clocks, twice, with orders and people
who identify in the middle. The first half lands and is counted by a build, the other half comes while it runs.
"""

import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from support.collecting import in_this_process
from support.parity import agree, build, publish_build, road, scaled, shares, sums_of_build

from genome import warehouse
from genome.collector import sources
from genome.lake.ingest import ingest
from genome.settings import Settings
from genome.simulate import parameters
from genome.simulate.live import LiveOptions, send
from genome.simulate.run import Mall, simulate
from genome.simulate.tables import LIVE
from tests.conftest import free_ports


@dataclass(frozen=True)
class Size:
    """How much of a mall.

    Attributes:
        people: who live in it.
        days: of history.
        live_days: of them that come by the collector.
        genes: so many genes of live evidence there are at least.
        customers: of so many at the most the answer online is compared gene by gene.
    """

    people: int
    days: int
    live_days: int
    genes: int
    customers: int


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(150, 30, 3, 500, 100), id="small"),
        pytest.param(Size(5_000, 90, 7, 50_000, 1_000), id="large", marks=pytest.mark.prove),
    ],
)
def test_the_malls_stream_is_one_genome_live_and_built(size: Size, tmp_path: Path) -> None:
    preset = parameters.load(
        "small", customers=size.people, days=size.days, live_days=size.live_days, block=1_000
    )
    simulate(preset, 7, tmp_path / "mall")
    mall = Mall.read(tmp_path / "mall")
    events, online, port = free_ports(3)
    # The platform's clock stands an hour after the mall's end: all that comes live comes late.
    settings = Settings(
        home=tmp_path / "home",
        now=mall.cut_off,
        business_timezone=mall.timezone,
        events_port=events,
        online_port=online,
        collector_port=port,
        collector_disk_reserve_mb=1,
        memory_limit="4GB",
    )
    shutil.move(tmp_path / "mall" / "inbox", settings.inbox)
    for channel in sorted(path.name for path in settings.inbox.iterdir()):
        ingest(settings, channel)
    warehouse.write_inputs(settings)
    warehouse.dbt(settings, "seed")
    first = publish_build(settings, build(settings))
    before = sums_of_build(settings, mall.cut_off)

    settings = settings.model_copy(update={"now": mall.cut_off + timedelta(hours=1)})
    keys = {channel: sources.add(settings, channel, channel) for channel in LIVE}
    with road(settings) as live, in_this_process(settings) as collector:

        def come(limit: int | None) -> None:
            options = LiveOptions(
                url=collector.url, write_keys=keys, rate=1e6, resent=0.05, keep_times=True, limit=limit
            )
            sent = send(tmp_path / "mall", options)
            assert (sent.lost, sent.rejected, sent.uncertain) == (0, 0, 0)

        come(sum(mall.live.values()) // 2)
        live.read_live(1_000)
        live.read_to_lake()
        live.settings = settings.model_copy(update={"now": mall.cut_off + timedelta(hours=2)})
        inputs = build(live.settings)
        # While it runs the rest comes, and all that had come before once more.
        come(None)
        live.read_live(1_000)
        second = publish_build(live.settings, inputs)
        middle = sums_of_build(live.settings, mall.cut_off)
        live.wait_for(second.epoch)
        old, new = live.deltas(first.epoch), live.deltas(second.epoch)
        live.read_to_lake()
        build(live.settings)
        everything = sums_of_build(live.settings, mall.cut_off)

        assert len(old) > len(new) > 0
        assert agree(before, old, everything) >= size.genes
        agree(middle, scaled(new, mall.cut_off + timedelta(hours=2), mall.cut_off), everything)
        # The comparison sees a locus that the live path leaves out, and a piece of evidence that it counts twice.
        with pytest.raises(AssertionError, match="live"):
            agree(before, old[old.locus != old.locus.iloc[0]], everything)
        with pytest.raises(AssertionError, match="live"):
            agree(before, pd.concat([old.iloc[:1] * 2, old.iloc[1:]]), everything)

        # What a reader gets is that genome: live and build agree on who has identified on what.
        owners = live.customers()
        keys_of = owners.groupby("customer_id").source_key.agg(set)
        moved = sorted(set(old.index.get_level_values("source_key")))[: size.customers]
        compared = joined = 0
        for key, row in live.read(*moved).items():
            mine = keys_of[owners.customer_id[key]]
            # (A key that only ever came beside another is nobody's customer key, and holds nothing.)
            things = live.things(first.epoch, row.customer_id) & set(owners.index)
            assert things <= mine, (key, row.customer_id)
            if row.customer_id != owners.customer_id[key]:
                continue  # the build has since found out more, from all there is
            joined += len(things)
            values = row.values
            found = dict(
                zip(values["gene_hashes"].tolist(), values["shares_character"].tolist(), strict=True)
            )
            expected = shares(everything[everything.index.get_level_values("source_key").isin(mine)])
            assert found.keys() == expected.keys(), key
            for gene, share in expected.items():
                assert found[gene] == pytest.approx(share, abs=2e-6, nan_ok=True), (key, gene)
            compared += 1
        assert compared >= 0.8 * len(moved)
        assert joined >= 1
