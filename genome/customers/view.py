"""The genome of one customer, for people: strongest genes by locus, what is singular, traits in words.

Pure functions over what the online store holds. Ages are computed here, at reading time, and never stored.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from genome.api.published import Catalogue, Singular
from genome.customers.live import LiveView
from genome.features.live import Live

SINGULAR_Z = 1.96
"""From this z-score on a gene is called distinctive (95 % of chance lies below)."""

MOVED = 4 / 3
"""A share that grew by this factor is called rising, one that shrank by it falling."""

LEAST_MOVE = 0.005
"""Below this difference of shares a trend is noise, whatever its factor."""

SINGULAR_PER_LOCUS = 2
"""So many distinctive genes of one locus are named: a favourite yoghurt shows in category, type and brand."""

_EPOCH = date(1970, 1, 1)
_NOT_TRAITS = frozenset({"model_name", "model_version"})
"""Scalars beside the traits in the serving service: they say who scored, not who the customer is."""

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYPARTS = {
    "morning": "in the morning",
    "midday": "around midday",
    "afternoon": "in the afternoon",
    "evening": "in the evening",
    "night": "at night",
}
_DEMOGRAPHICS = {
    "age_band": "age {}",
    "income_band": "income {}",
    "household_size": "household of {}",
    "kids_count": "{} at home",
    "marital_status": "{}",
    "home_ownership": "{}",
}

Direction = Literal["rising", "falling", "steady"]


class Frozen(BaseModel):
    """A value that does not change."""

    model_config = ConfigDict(frozen=True)


class GeneView(Frozen):
    """One gene of one customer."""

    gene_id: str
    locus_id: str
    label: str
    share_now: float | None = Field(description="share of its locus in the last weeks; null: nothing recent")
    share_character: float | None = Field(description="share of its locus over months")
    trend: float | None = Field(description="share now minus share of character")
    direction: Direction | None = Field(description="the trend in a word")
    confidence: float | None = Field(description="effective number of pieces of evidence, n = (Σe)²/Σe²")
    distinctiveness: float | None = Field(
        description="z-score against the population; from 1.96 on it is singular"
    )
    last_on: date | None = Field(description="day of the last evidence, UTC")


class LocusView(Frozen):
    """The strongest genes of one locus."""

    locus_id: str
    label: str
    gene_count: int = Field(description="how many genes of the locus the customer has")
    genes: tuple[GeneView, ...]


class GenomeView(Frozen):
    """The genome of one customer."""

    customer_id: str
    as_of: AwareDatetime = Field(description="the time up to which interactions are in it")
    age_hours: float = Field(description="how long ago that is")
    genome_epoch: str | None = Field(description="the publication that labels come from")
    loci: tuple[LocusView, ...]
    distinctive: tuple[GeneView, ...]
    in_words: tuple[str, ...] = Field(description="traits in plain words")
    traits: Mapping[str, Any]
    live: LiveView | None = Field(None, description="what has happened since; its evidence is in the genes")


def build(
    catalogue: Catalogue,
    customer_id: str,
    features: Mapping[str, Any],
    singular: Mapping[int, Singular],
    *,
    as_of: datetime,
    now: datetime,
    by_locus: int = 8,
    distinctive: int = 8,
    live: Live | None = None,
) -> GenomeView:
    """Make the view.

    Args:
        catalogue: labels of the genes.
        customer_id: whose.
        features: the customer's online features: aligned gene lists, and the traits beside them.
        singular: confidence and distinctiveness by gene_hash.
        as_of: the features' own time.
        now: for ages.
        by_locus: at most so many genes of each locus.
        distinctive: at most so many singular genes.
        live: what has happened since the build; the features hold its evidence.
    """
    traits = {
        name: value for name, value in features.items() if name not in _NOT_TRAITS and not _is_list(value)
    }
    genes = _genes(catalogue, features, singular)
    loci = []
    for locus_id in catalogue.index.locus_ids:
        mine = [gene for gene in genes if gene.locus_id == locus_id]
        if mine:
            mine.sort(key=lambda gene: (-_strength(gene), gene.gene_id))
            loci.append(
                LocusView(
                    locus_id=locus_id,
                    label=locus_id.replace("_", " "),
                    gene_count=len(mine),
                    genes=tuple(mine[:by_locus]),
                )
            )
    loci.sort(key=lambda locus: catalogue.locus_order[locus.locus_id])
    own = [gene for gene in genes if (gene.distinctiveness or 0.0) >= SINGULAR_Z]
    own.sort(key=lambda gene: (-(gene.distinctiveness or 0.0), gene.gene_id))
    named: Counter[str] = Counter()
    varied = []
    for gene in own:
        named[gene.locus_id] += 1
        if named[gene.locus_id] <= SINGULAR_PER_LOCUS:
            varied.append(gene)
    return GenomeView(
        customer_id=customer_id,
        as_of=as_of,
        age_hours=round((now - as_of) / timedelta(hours=1), 3),
        genome_epoch=catalogue.epoch,
        loci=tuple(loci),
        distinctive=tuple(varied[:distinctive]),
        in_words=tuple(in_words(traits, as_of, now)),
        traits=dict(sorted(traits.items())),
        live=LiveView.of(live),
    )


def _genes(
    catalogue: Catalogue, features: Mapping[str, Any], singular: Mapping[int, Singular]
) -> list[GeneView]:
    hashes = features.get("gene_hashes")
    if hashes is None:
        return []
    columns = [features.get(name) for name in ("shares_now", "shares_character", "last_at_days")]
    lists = [column if column is not None else [None] * len(hashes) for column in columns]
    genes = []
    for gene_hash, at, now, character, day in zip(
        hashes, catalogue.index.positions(np.asarray(hashes, dtype=np.int64)), *lists, strict=True
    ):
        if at < 0:
            continue  # a gene of a build that is not published yet: it has no label
        share_now, share_character = _number(now), _number(character)
        both = share_now is not None and share_character is not None
        trend = float(share_now or 0.0) - float(share_character or 0.0) if both else None
        also = singular.get(int(gene_hash))
        genes.append(
            GeneView(
                gene_id=catalogue.gene_ids[at],
                locus_id=catalogue.index.locus_ids[int(catalogue.index.loci[at])],
                label=catalogue.labels[at],
                share_now=share_now,
                share_character=share_character,
                trend=trend,
                direction=_direction(share_now, share_character),
                confidence=also.confidence if also else None,
                distinctiveness=also.distinctiveness if also else None,
                last_on=None if day is None else _EPOCH + timedelta(days=int(day)),
            )
        )
    return genes


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _direction(now: float | None, character: float | None) -> Direction | None:
    if now is None or character is None:
        return None
    if abs(now - character) < LEAST_MOVE:
        return "steady"
    return "rising" if now >= character * MOVED else "falling" if now * MOVED <= character else "steady"


def _strength(gene: GeneView) -> float:
    return gene.share_character if gene.share_character is not None else gene.share_now or 0.0


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) or hasattr(value, "tolist")


def in_words(traits: Mapping[str, Any], as_of: datetime, now: datetime) -> list[str]:
    """What a person would say first about this customer; what is unknown is left out."""
    return [
        sentence
        for say in (_orders, _money, _rhythm, _prices, _coupons, _breadth, _household)
        if (sentence := say(_Known(traits), as_of, now))
    ]


class _Known(dict[str, Any]):
    """Traits that have a value: a null or a nan is not there."""

    def __init__(self, traits: Mapping[str, Any]) -> None:
        super().__init__(
            (name, value)
            for name, value in traits.items()
            if value is not None and not (isinstance(value, float) and math.isnan(value))
        )


def _orders(traits: _Known, _: datetime, now: datetime) -> str:
    if "first_order_at" not in traits or "last_order_at" not in traits:
        return "No order yet."
    since = now - traits["last_order_at"]
    said = f"Customer since {traits['first_order_at']:%B %Y}; last order {ago(since)}"
    mean, spread = traits.get("order_gap_mean_days"), traits.get("order_gap_spread_days", 0.0)
    if mean is None:
        return said + "."
    said += f", usually every {mean:.0f} days" if mean >= 1.5 else ", usually every day"
    late = since.days > mean + 2 * spread and since.days > 7
    return said + (": overdue." if late else ".")


def _money(traits: _Known, as_of: datetime, now: datetime) -> str:
    now_sum, character = traits.get("amount_h28_sum"), traits.get("amount_h180_sum")
    if not now_sum or not character:
        return ""
    # A steady r a day, decayed with half-life h, adds up to r·h/ln 2; the sum itself fades as time goes.
    days = max(0.0, (now - as_of) / timedelta(days=1))
    week_now, week_character = (
        7 * math.log(2) / half_life * total * 2 ** (-days / half_life)
        for half_life, total in ((28, now_sum), (180, character))
    )
    return f"Spends about {week_now:,.0f} a week lately, {week_character:,.0f} over the months."


def _rhythm(traits: _Known, _: datetime, __: datetime) -> str:
    day, day_share = _largest(traits, _WEEKDAYS)
    part, part_share = _largest(traits, _DAYPARTS)
    # An even week has 14 % on each day: twice that is a habit.
    said = [f"on {day.capitalize()}s ({day_share:.0%})"] if day_share >= 2 / 7 else []
    said += [f"{_DAYPARTS[part]} ({part_share:.0%})"] if part_share >= 0.4 else []
    return f"Mostly shops {' and '.join(said)}." if said else ""


def _prices(traits: _Known, _: datetime, __: datetime) -> str:
    said = []
    if "private_brand_share" in traits:
        said.append(f"{traits['private_brand_share']:.0%} of the choices are the store's own brands")
    level = traits.get("price_tier_level")
    if level is not None:
        words = "low-priced" if level < 0.4 else "high-priced" if level > 0.6 else "middle-priced"
        said.append(f"within a category the choices are mostly {words}")
    if traits.get("retail_discount_h180_share", 0.0) >= 0.01:
        said.append(f"{traits['retail_discount_h180_share']:.0%} saved by shelf discounts")
    return f"{_capital('; '.join(said))}." if said else ""


def _coupons(traits: _Known, _: datetime, __: datetime) -> str:
    campaigns, redeemed = traits.get("campaign_count", 0), traits.get("redemption_count", 0)
    if not campaigns:
        return "Never received a campaign."
    times = "campaign" if campaigns == 1 else "campaigns"
    if not redeemed:
        return f"Received {campaigns} {times} and redeemed no coupon."
    return f"Redeemed {redeemed} coupon{'s' if redeemed > 1 else ''} in {campaigns} {times} received."


def _breadth(traits: _Known, _: datetime, __: datetime) -> str:
    if not traits.get("category_count"):
        return ""
    said = f"Has bought from {traits['category_count']:,} categories"
    if "category_entropy" in traits:
        # The exponential of an entropy is the number of equal choices that would be as varied.
        said += f", as varied as {math.exp(traits['category_entropy']):.0f} equal ones"
    return said + "."


def _household(traits: _Known, _: datetime, __: datetime) -> str:
    told = dict(traits)
    if "kids_count" in told:
        told["kids_count"] = {"0": "no kids", "1": "1 kid"}.get(
            str(told["kids_count"]), f"{told['kids_count']} kids"
        )
    said = [words.format(told[name]) for name, words in _DEMOGRAPHICS.items() if name in told]
    return f"By their own account: {', '.join(said)}." if said else ""


def _largest(traits: _Known, names: Iterable[str]) -> tuple[str, float]:
    shares = {name: float(traits.get(f"{name}_h180_share", 0.0)) for name in names}
    best = max(shares, key=lambda name: shares[name])
    return best, shares[best]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def ago(age: timedelta) -> str:
    """An age in words: today, yesterday, 5 days ago, 3 months ago."""
    days = age.days
    if days < 1:
        return "today"
    if days == 1:
        return "yesterday"
    if days < 60:
        return f"{days} days ago"
    return f"{days // 30} months ago"
