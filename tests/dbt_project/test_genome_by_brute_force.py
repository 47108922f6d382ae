"""The genome against its definition: every piece of evidence in a Python loop, no SQL and no running sums."""

import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from support import built

from genome.settings import PROJECT_ROOT, Settings

ZONE = ZoneInfo("America/New_York")
SEEDS = PROJECT_ROOT / "dbt_project" / "seeds"
PRIOR = 10


@dataclass
class Evidence:
    """One piece: what it says, from when it counts, and from when it fades."""

    product_id: str
    towards: float
    against: float
    squared: float
    since: float
    available_at: pd.Timestamp
    remaining: float | None


def days(instant: pd.Timestamp | datetime) -> float:
    return pd.Timestamp(instant).value / 86_400e9


def saturation(quantity: float | None, k: float) -> float:
    if quantity is None:
        return 1.0
    return quantity / (quantity + k) if quantity > 0 else 0.0


def evidence_of(rows: pd.DataFrame) -> list[Evidence]:
    """One customer's evidence, refunds last so that their lines are known."""
    weights = pd.read_csv(SEEDS / "evidence_weights.csv").set_index("interaction_type")
    pieces: list[Evidence] = []
    lines: dict[tuple[str, str], list[tuple[Any, float]]] = defaultdict(list)
    motives = pd.read_csv(SEEDS / "motive_weights.csv").set_index("interaction_type").weight
    for row in rows[rows.interaction_type.isin(motives.index)].itertuples():
        for word in (json.loads(row.properties).get("_motives") or "").split():
            weight = float(motives[row.interaction_type])
            is_against = word.startswith("-")
            pieces.append(
                Evidence(
                    f"motive:{word.removeprefix('-')}",
                    0.0 if is_against else weight,
                    weight if is_against else 0.0,
                    weight**2,
                    days(min(row.occurred_at, row.received_at)),
                    max(row.occurred_at, row.received_at),
                    None,
                )
            )
    rows = rows[rows.product_id.notna()]
    for row in rows.itertuples():
        if row.interaction_type not in weights.index or isinstance(
            weights.reverses[row.interaction_type], str
        ):
            continue
        weight = weights.loc[row.interaction_type]
        quantity = None if math.isnan(row.quantity) else row.quantity
        strength = saturation(quantity, weight.k)
        if not strength:
            continue
        pieces.append(
            Evidence(
                row.product_id,
                weight.weight_for * strength,
                weight.weight_against * strength,
                ((weight.weight_for + weight.weight_against) * strength) ** 2,
                days(min(row.occurred_at, row.received_at)),
                max(row.occurred_at, row.received_at),
                None,
            )
        )
        if row.session_id and row.interaction_type == "Order Completed" and quantity:
            lines[row.session_id, row.product_id].append((row, quantity))
    refunds = rows[rows.interaction_type == "Order Refunded"].copy()
    refunds["available_at"] = refunds[["occurred_at", "received_at"]].max(axis=1)
    taken: dict[str, float] = defaultdict(float)
    for refund in refunds.sort_values(["available_at", "interaction_id"]).itertuples():
        still = math.inf if math.isnan(refund.quantity) else refund.quantity
        found = lines[refund.session_id, refund.product_id]
        for line, quantity in sorted(found, key=lambda pair: (line_number(pair[0]), pair[0].interaction_id)):
            before = quantity - taken[line.interaction_id]
            back = min(before, still)
            if back <= 0:
                continue
            after = before - back
            still -= back
            taken[line.interaction_id] += back
            lost, gained = saturation(before, 1.0), saturation(after, 1.0)
            pieces.append(
                Evidence(
                    line.product_id,
                    gained - lost,
                    0.0,
                    gained**2 - lost**2,
                    days(min(line.occurred_at, line.received_at)),
                    max(refund.available_at, line.occurred_at, line.received_at),
                    after,
                )
            )
    return pieces


def line_number(row: Any) -> int:
    return int(json.loads(row.properties).get("line_number", 10**9))


@pytest.fixture(scope="session")
def lake(world: Settings) -> pd.DataFrame:
    return built.first_deliveries(world)


@pytest.fixture(scope="session")
def customers(lake: pd.DataFrame) -> list[str]:
    """Those of whom something was refunded late, a few others, and every made-up life."""
    bought = lake[~lake.customer_key.fillna("").str.startswith("life-")]
    refunded = bought[bought.interaction_type == "Order Refunded"].customer_key.value_counts().index[:5]
    lives = [f"life-{number}" for number in range(1, built.LIVES + 1)]
    return sorted({*refunded, "1", "9", "13", *lives} & set(lake.customer_key))


@pytest.fixture(scope="session")
def dna(world: Settings, lake: pd.DataFrame) -> Callable[[str, float], list[tuple[str, str, int, float]]]:
    """The genes of a product at a time: gene_id, locus, hash, weight."""
    table = built.published(world, "dim_product_dna")
    table = table[table.product_id.isin(lake.product_id.unique()) | (table.locus_id == "motive")]
    versions: dict[str, list[tuple[float, float, tuple[str, str, int, float]]]] = defaultdict(list)
    for product, gene_id, locus, gene_hash, weight, since, until in zip(
        table.product_id,
        table.gene_id,
        table.locus_id,
        table.gene_hash,
        table.weight,
        table.valid_from,
        table.valid_to,
        strict=True,
    ):
        end = math.inf if pd.isna(until) else days(until)
        versions[product].append((days(since), end, (gene_id, locus, gene_hash, weight)))

    @cache
    def of(product_id: str, at: float) -> list[tuple[str, str, int, float]]:
        return [gene for since, until, gene in versions.get(product_id, []) if since <= at < until]

    return of


@dataclass
class Gene:
    """The sums of one gene at one time, and the evidence that was ever added."""

    locus: str
    hash: int
    now: float = 0.0
    character: float = 0.0
    total_for: float = 0.0
    total_against: float = 0.0
    squares: float = 0.0
    added: float = 0.0
    pieces: int = 0
    last: float = -math.inf


@cache
def half_lives() -> dict[str, tuple[float, float]]:
    loci = pd.read_csv(SEEDS / "loci.csv")
    return {row.locus_id: (row.half_life_now_days, row.half_life_character_days) for row in loci.itertuples()}


def genes_at(pieces: list[Evidence], at: pd.Timestamp, dna: Any, *, by_local_day: bool) -> dict[str, Gene]:
    genes: dict[str, Gene] = {}
    t = days(at)
    for piece in pieces:
        # Label times are local midnights, where "before the instant" and "before the day" are the same.
        assert not by_local_day or at.tz_convert(ZONE).time().hour == 0
        if piece.available_at >= at:
            continue
        for gene_id, locus, gene_hash, weight in dna(piece.product_id, piece.since):
            gene = genes.setdefault(gene_id, Gene(locus, gene_hash))
            short, long = half_lives()[locus]
            now, character = 2.0 ** (-(t - piece.since) / short), 2.0 ** (-(t - piece.since) / long)
            gene.now += (piece.towards - piece.against) * weight * now
            gene.character += (piece.towards - piece.against) * weight * character
            gene.total_for += piece.towards * weight * character
            gene.total_against += piece.against * weight * character
            gene.squares += piece.squared * weight**2 * character**2
            gene.added += (abs(piece.towards) + piece.against) * weight * max(now, character)
            gene.pieces += 1 if piece.remaining is None else -1 if piece.remaining == 0 else 0
            gene.last = max(gene.last, piece.since)
    return {gene_id: gene for gene_id, gene in genes.items() if gene.pieces > 0}


def shares(genes: dict[str, Gene], what: str) -> dict[str, float | None]:
    totals: dict[str, float] = defaultdict(float)
    for gene in genes.values():
        totals[gene.locus] += max(0.0, getattr(gene, what))
    return {
        gene_id: max(0.0, getattr(gene, what)) / totals[gene.locus] if totals[gene.locus] > 0 else None
        for gene_id, gene in genes.items()
    }


def test_the_world_holds_the_cases_that_the_comparison_is_about(
    lake: pd.DataFrame, customers: list[str]
) -> None:
    kinds = lake.interaction_type.value_counts()
    assert kinds["Order Refunded"] >= 40
    assert kinds["Product Disliked"] >= 5
    assert (lake.received_at < lake.occurred_at).sum() >= 5
    assert (lake.received_at > lake.occurred_at + pd.Timedelta(days=30)).sum() >= 3
    assert (lake.product_id == "nobody-knows-it").sum() >= 2
    assert len(customers) >= 5 + built.LIVES
    lives = lake[lake.customer_key.isin(customers) & lake.customer_key.str.startswith("life-")]
    assert (lives.received_at > lives.occurred_at + pd.Timedelta(days=200)).sum() >= 20
    assert (lives.interaction_type == "Order Refunded").sum() >= 100


def test_affinities_shares_and_confidence_at_the_cut_off(
    world: Settings, lake: pd.DataFrame, customers: list[str], dna: Any
) -> None:
    table = built.published(world, "genome").set_index(["customer_id", "gene_id"])
    compared = 0
    for key in customers:
        pieces = evidence_of(lake[lake.customer_key == key])
        expected = genes_at(pieces, pd.Timestamp(built.NOW), dna, by_local_day=False)
        if not expected:
            assert f"household:{key}" not in table.index
            continue
        found = table.loc[f"household:{key}"]
        assert set(found.index) == set(expected)
        now, character = shares(expected, "now"), shares(expected, "character")
        for gene_id, gene in expected.items():
            row = found.loc[gene_id]
            # Relative to what was added: a sum that was taken back in part has lost digits, not evidence.
            assert row.affinity_now == pytest.approx(gene.now, abs=1e-9 * gene.added)
            assert row.affinity_character == pytest.approx(gene.character, abs=1e-9 * gene.added)
            n = (gene.total_for + gene.total_against) ** 2 / gene.squares
            assert row.confidence == pytest.approx(n, rel=1e-9)
            for value, share in ((row.share_now, now[gene_id]), (row.share_character, character[gene_id])):
                if share is None:
                    assert math.isnan(value)
                else:
                    assert value == pytest.approx(share, abs=1e-9)
            if now[gene_id] is None or character[gene_id] is None:
                assert math.isnan(row.trend)
            else:
                assert row.trend == pytest.approx(now[gene_id] - character[gene_id], abs=1e-9)
            assert days(row.last_at) == pytest.approx(gene.last, abs=1e-9)
            compared += 1
    assert compared > 1_000


def test_feature_rows_at_label_times_know_nothing_later(
    world: Settings, lake: pd.DataFrame, customers: list[str], dna: Any
) -> None:
    table = built.published(world, "feat_customer_genome")
    rows = table[table.customer_id.isin([f"household:{key}" for key in customers])]
    rows = rows[rows.valid_at < pd.Timestamp(built.NOW)].iloc[::2]
    assert len(rows) >= 10
    # A float holds 24 bits: what is compared here is the definition, rounded as the list rounds it.
    float32 = 2.0**-23
    for row in rows.itertuples():
        pieces = evidence_of(lake[lake.customer_key == row.customer_id.split(":")[1]])
        expected = genes_at(pieces, row.valid_at, dna, by_local_day=True)
        ordered = sorted(expected.items(), key=lambda item: item[1].hash)
        assert list(row.gene_hashes) == [gene.hash for _, gene in ordered]
        now, character = shares(expected, "now"), shares(expected, "character")
        for place, (gene_id, gene) in enumerate(ordered):
            tolerance = 1e-9 * gene.added
            assert row.affinities_now[place] == pytest.approx(gene.now, rel=float32, abs=tolerance)
            assert row.affinities_character[place] == pytest.approx(
                gene.character, rel=float32, abs=tolerance
            )
            for value, share in (
                (row.shares_now[place], now[gene_id]),
                (row.shares_character[place], character[gene_id]),
            ):
                if share is None:
                    assert math.isnan(value)
                else:
                    assert value == pytest.approx(share, rel=float32, abs=1e-9)
            assert row.last_at_days[place] == math.floor(gene.last)


def test_distinctiveness_against_everybody(
    world: Settings, lake: pd.DataFrame, customers: list[str], dna: Any
) -> None:
    version = pd.Timestamp("2017-12-01", tz=ZONE)
    # Everybody's evidence that was available when the month began.
    people: dict[str, Gene] = {}
    for _, rows in lake.groupby("customer_key"):
        for gene_id, gene in genes_at(evidence_of(rows), version, dna, by_local_day=True).items():
            total = people.setdefault(gene_id, Gene(gene.locus, gene.hash))
            total.total_for += gene.total_for
            total.total_against += gene.total_against
            total.squares += gene.squares
            total.character += gene.character
    # how many genes anybody had chosen by then
    in_locus = Counter(gene.locus for gene in people.values())
    locus_net: dict[str, float] = defaultdict(float)
    locus_all: dict[str, float] = defaultdict(float)
    locus_squares: dict[str, float] = defaultdict(float)
    for gene in people.values():
        locus_net[gene.locus] += max(0.0, gene.character)
        locus_all[gene.locus] += gene.total_for + gene.total_against
        locus_squares[gene.locus] += gene.squares
    table = built.published(world, "genome").set_index(["customer_id", "gene_id"])
    compared = 0
    for key in customers[:3]:
        mine = genes_at(
            evidence_of(lake[lake.customer_key == key]), pd.Timestamp(built.NOW), dna, by_local_day=False
        )
        share = shares(mine, "character")
        evidence: dict[str, float] = defaultdict(float)
        squares: dict[str, float] = defaultdict(float)
        for gene in mine.values():
            evidence[gene.locus] += gene.total_for + gene.total_against
            squares[gene.locus] += gene.squares
        for gene_id, gene in mine.items():
            locus = gene.locus
            n, everybody = evidence[locus] ** 2 / squares[locus], locus_all[locus] ** 2 / locus_squares[locus]
            theirs = people.get(gene_id)
            p = max(0.0, theirs.character) / locus_net[locus] if theirs else 0.0
            prior = PRIOR * (p * everybody + 1) / (everybody + in_locus[locus])
            if share[gene_id] is None:
                continue
            own, own_rest = share[gene_id] * n + prior, n + PRIOR - share[gene_id] * n - prior
            all_of, all_rest = p * everybody + prior, everybody + PRIOR - p * everybody - prior
            z = (math.log(own / own_rest) - math.log(all_of / all_rest)) / math.sqrt(
                1 / own + 1 / own_rest + 1 / all_of + 1 / all_rest
            )
            assert table.loc[f"household:{key}", gene_id].distinctiveness == pytest.approx(
                z, rel=1e-7, abs=1e-7
            )
            compared += 1
    assert compared > 500


def test_traits_from_orders_by_hand(world: Settings, lake: pd.DataFrame, customers: list[str]) -> None:
    table = built.published(world, "feat_customer_traits").set_index(["customer_id", "valid_at"])
    rows = [(customer, at) for customer, at in table.index if customer.split(":")[1] in customers]
    assert len(rows) >= 15
    for customer, at in rows:
        found = table.loc[(customer, at)]
        mine = lake[lake.customer_key == customer.split(":")[1]].copy()
        mine["available_at"] = mine[["occurred_at", "received_at"]].max(axis=1)
        mine["evidence_at"] = mine[["occurred_at", "received_at"]].min(axis=1)
        # an order is what was known of it by then
        lines = mine[(mine.interaction_type == "Order Completed") & (mine.available_at < at)].copy()
        lines["amount"] = lines.amount.astype(float)
        said = [json.loads(text) for text in lines.properties]
        lines["discount"] = [float(each.get("retail_discount", 0)) for each in said]
        lines["coupon"] = [float(each.get("coupon_discount", 0)) for each in said]
        orders = lines.groupby("session_id").agg(
            at=("evidence_at", "min"),
            amount=("amount", "sum"),
            discount=("discount", "sum"),
            lines=("amount", "size"),
            coupon_lines=("coupon", lambda values: int((values > 0).sum())),
        )
        age = np.array([days(at) - days(each) for each in orders["at"]])
        h180, h28 = 2.0 ** (-age / 180), 2.0 ** (-age / 28)
        assert found.order_count == len(orders)
        assert found.orders_h28_sum == pytest.approx(h28.sum(), rel=1e-9)
        assert found.amount_h180_sum == pytest.approx((orders.amount * h180).sum(), rel=1e-9)
        assert found.lines_h180_sum == pytest.approx((orders.lines * h180).sum(), rel=1e-9)
        assert found.coupon_lines_h180_sum == pytest.approx((orders.coupon_lines * h180).sum(), rel=1e-9)
        if len(orders):
            assert found.first_order_at == orders["at"].min()
            assert found.last_order_at == orders["at"].max()
            share = (orders.discount * h180).sum() / ((orders.amount + orders.discount) * h180).sum()
            assert found.retail_discount_h180_share == pytest.approx(share, rel=1e-9)
            local = orders["at"].dt.tz_convert(ZONE)
            assert found.sunday_h180_share == pytest.approx(
                h180[local.dt.dayofweek == 6].sum() / h180.sum(), abs=1e-9
            )
            evening = (local.dt.hour >= 18) & (local.dt.hour < 22)
            assert found.evening_h180_share == pytest.approx(h180[evening].sum() / h180.sum(), abs=1e-9)
            on = sorted(set(local.dt.date))
            gaps = [(later - earlier).days for earlier, later in itertools.pairwise(on)]
            if gaps:
                assert found.order_gap_mean_days == pytest.approx(np.mean(gaps), rel=1e-12)
        sends = mine[(mine.interaction_type == "Campaign Sent") & (mine.available_at < at)]
        assert found.campaign_count == len(sends)
        redeemed = mine[(mine.interaction_type == "Coupon Applied") & (mine.available_at < at)]
        assert found.redemption_count == len(redeemed)
        profiles = mine[(mine.interaction_type == "Profile Updated") & (mine.available_at < at)]
        known = json.loads(profiles.iloc[-1].properties).get("age_band") if len(profiles) else None
        assert (found.age_band if isinstance(found.age_band, str) else None) == known


def test_shares_add_up_to_one_or_are_not_said_and_nothing_is_infinite(world: Settings) -> None:
    genes = built.published(world, "genome")
    numbers = genes.select_dtypes("number")
    assert not np.isinf(numbers.to_numpy(np.float64)).any()
    for name in ("share_now", "share_character"):
        of_locus = genes.groupby(["customer_id", "locus_id"])[name]
        sums, said, all_of = of_locus.sum(min_count=1), of_locus.count(), of_locus.size()
        # Of one locus either every share is said or none is.
        assert ((said == 0) | (said == all_of)).all()
        assert np.allclose(sums.dropna(), 1.0, rtol=0, atol=1e-9)
        assert sums.notna().sum() > 300
        assert (sums.isna()).sum() >= 1
    for name in ("affinity_now", "affinity_character", "confidence"):
        assert genes[name].notna().all(), name
    assert (genes.confidence > 0).all()
