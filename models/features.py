"""What an ML model is told of a pair: the one place where customer and offer become numbers.

Training, evaluation and scoring call the same function on the same kind of input: rows of the feature service
for some customers and some offers at one instant. What moves with the clock (ages, decays) is computed here,
from stored instants, days and sums. Columns are made one after the other and only those asked for are kept,
so memory is that of the result and a few columns.

A column's name says what it is:
    own_*     days, products and money of the customer on what the offer covers
    match_*   Match by locus (genome/match.py): share of the customer × DNA of the offer
    pull_*    the same with affinity in place of share: how much, not only which
    since_*   days since the customer last chose any gene of the offer, by locus
    customer_*, offer_*, campaign_*   what is the same for all offers, all customers, all pairs
    top_*     the column over its maximum in the group;   rank_*   its rank in the group, 1 is best
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from genome.errors import GenomeError
from genome.match import GeneIndex, GeneVectors, match_all

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

VERSION = 1
"""Counts up when a column's formula changes under the same name: `feature_hash` covers it."""

Floats = npt.NDArray[np.float64]
Column = npt.NDArray[np.floating[Any]]

_DAY_US = 86_400_000_000
_NEVER = 999.0
"""Days since something that never happened."""

_RECENT = ("brand", "category", "product_type")
"""Loci whose last choice is told."""

_OWN_HALF_LIVES = (28, 90, 180)
_AMOUNT_HALF_LIVES = (60, 180)

_ALONE = {"own_gap_days", "own_due", "own_head_ratio"}
"""Columns of the own purchases that say nothing by their place in the group."""

_TRAITS = (
    "order_count",
    "order_day_count",
    "orders_h28_sum",
    "orders_h180_sum",
    "lines_h28_sum",
    "lines_h180_sum",
    "amount_h28_sum",
    "amount_h180_sum",
    "order_gap_mean_days",
    "order_gap_spread_days",
    "coupon_orders_h180_sum",
    "coupon_lines_h180_sum",
    "retail_discount_h180_share",
    "coupon_discount_h180_share",
    "campaign_count",
    "campaigns_h180_sum",
    "redemption_count",
    "redeemed_campaign_count",
    "redemptions_h180_sum",
    "store_count",
    "home_store_h180_share",
    "category_count",
    "product_count",
    "category_entropy",
    "brand_entropy",
    "private_brand_share",
    "price_tier_level",
)
_INSTANTS = (
    "first_order_at",
    "last_order_at",
    "last_coupon_order_at",
    "last_campaign_at",
    "last_redemption_at",
)
_BANDS = ("age_band", "income_band", "household_size", "kids_count")
"""Demographics with an order: the first number in their text."""

_CAMPAIGN_TYPES = ("Type A", "Type B", "Type C")


@dataclass(frozen=True)
class Rectangle:
    """Some customers × some offers at one instant, as the feature service gives them.

    Attributes:
        at: the instant.
        timezone: the retailer's, by which purchase days are dated.
        index: the genes.
        customers: rows of the service's customer views.
        offers: rows of its offer view.
    """

    at: "pd.Timestamp"
    timezone: str
    index: GeneIndex
    customers: "pa.Table"
    offers: "pa.Table"

    @property
    def shape(self) -> tuple[int, int]:
        """Customers, offers."""
        return self.customers.num_rows, self.offers.num_rows

    @property
    def utc_day(self) -> float:
        """The instant in days since 1970-01-01 UTC."""
        return float(self.at.value / 1000 / _DAY_US)

    @property
    def local_day(self) -> float:
        """The same on the retailer's clock."""
        local = self.at.tz_convert(self.timezone).tz_localize(None)
        return float(local.value / 1000 / _DAY_US)

    @cached_property
    def dna(self) -> GeneVectors:
        """The offers' DNA; every covered product counts alike."""
        return self._vectors(self.offers, "gene_weights")

    @cached_property
    def sales_dna(self) -> GeneVectors:
        """The offers' DNA; covered products count as they sell."""
        return self._vectors(self.offers, "gene_sales_weights")

    def shares(self, half_life: str) -> GeneVectors:
        """The customers' shares: `now` or `character`."""
        return self._vectors(self.customers, f"shares_{half_life}")

    def affinities(self) -> GeneVectors:
        """The customers' affinities in the long run."""
        return self._vectors(self.customers, "affinities_character")

    def _vectors(self, table: "pa.Table", values: str) -> GeneVectors:
        return GeneVectors.from_arrow(self.index, table["gene_hashes"], table[values])


@dataclass(frozen=True)
class PairFeatures:
    """A list of columns by name; its hash says whether a stored ML model still gets what it was trained on."""

    names: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Of the names, their order and the version of their formulas."""
        said = json.dumps({"version": VERSION, "names": self.names}).encode()
        return hashlib.sha256(said).hexdigest()[:16]

    def matrix(
        self, rectangle: Rectangle, rows: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """The columns of a rectangle's pairs (row `c · offers + o`), or of some of them.

        Raises:
            GenomeError: the list names a column that is not made.
        """
        customers, offers = rectangle.shape
        places = {name: place for place, name in enumerate(self.names)}
        count = customers * offers if rows is None else len(rows)
        result = np.empty((count, len(places)), dtype=np.float32)
        left = dict(places)
        for name, column in columns(rectangle, places.__contains__):
            place = left.pop(name, None)
            if place is not None:
                flat = np.broadcast_to(column, (customers, offers)).reshape(-1)
                result[:, place] = flat if rows is None else flat[rows]
        if left:
            raise GenomeError(
                f"The ML model asks for columns that are not made: {', '.join(sorted(left))}.",
                "Train anew: `genome train --force`.",
            )
        return result


def columns(
    rectangle: Rectangle, wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[str, Column]]:
    """Every column (customers × offers, or what broadcasts to it) with its name.

    Args:
        rectangle: what to describe.
        wanted: columns that it refuses may be left out, with the work for them.
    """
    for name, column, is_relative in _absolute(rectangle, wanted):
        yield name, column
        if is_relative:
            if wanted(f"top_{name}"):
                yield f"top_{name}", _over_maximum(column)
            if wanted(f"rank_{name}"):
                yield f"rank_{name}", _rank(column, ascending=name.startswith(("since_", "own_since")))


def _absolute(rectangle: Rectangle, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Column, bool]]:
    for name, column in _own(rectangle):
        yield name, column, name.startswith("own_") and name not in _ALONE
    for name, column in _matches(rectangle):
        yield name, column, True
    for name, column in _since(rectangle, wanted):
        yield name, column, True
    for name, values in _of_customers(rectangle):
        yield name, values[:, None], False
    for name, values in _of_offers(rectangle):
        yield name, values[None, :], False
    yield "campaign_offer_count", np.array([[float(rectangle.shape[1])]]), False


# What the customer bought of what the offer covers


def _own(rectangle: Rectangle) -> Iterator[tuple[str, Column]]:
    customers, offers = shape = rectangle.shape
    cells = customers * offers
    customer, product, age, amount, totals = _covered_purchases(rectangle)
    covering = _covering(rectangle)
    # Each purchase once for every offer that covers its product.
    counts = np.diff(covering.indptr)[product]
    again = np.repeat(np.arange(len(product)), counts)
    starts = np.repeat(covering.indptr[product], counts)
    within = np.arange(len(again)) - np.repeat(np.cumsum(counts) - counts, counts)
    offer = covering.indices[starts + within]
    cell = customer[again] * np.int64(offers) + offer
    age, amount, product = age[again], amount[again], product[again]

    def total(weights: Any, places: Any = cell) -> Column:
        return np.asarray(np.bincount(places, weights, minlength=cells), dtype=np.float64).reshape(shape)

    _, first = np.unique(np.column_stack([cell, product]), axis=0, return_index=True)
    yield "own_product_count", total(np.ones(len(first)), cell[first])
    day_key = cell * np.int64(4096) + np.minimum(np.floor(age), 4095).astype(np.int64)
    _, first = np.unique(day_key, return_index=True)
    day_cell, day_age = cell[first], age[first]
    days = total(np.ones(len(first)), day_cell)
    yield "own_day_count", days
    for half_life in _OWN_HALF_LIVES:
        yield f"own_days_h{half_life}", total(np.exp2(-day_age / half_life), day_cell)
    units = np.column_stack([cell, product, np.floor(age).astype(np.int64)])
    _, first = np.unique(units, axis=0, return_index=True)
    for half_life in _OWN_HALF_LIVES:
        held = total(np.exp2(-age[first] / half_life), cell[first])
        yield f"own_units_h{half_life}", held
        if half_life == 180:
            yield "own_units_share", held / np.maximum(totals["units_h180"], 1e-9)[:, None]
    yield "own_unit_count", total(np.ones(len(first)), cell[first])
    for half_life in _AMOUNT_HALF_LIVES:
        spent = total(amount * np.exp2(-age / half_life))
        yield f"own_amount_h{half_life}", spent
        if half_life == 180:
            yield "own_amount_share", spent / np.maximum(totals["amount_h180"], 1.0)[:, None]
            sixteenth = _nth_largest(spent, 16)
            yield "own_head_ratio", spent / np.maximum(sixteenth, 0.5)[:, None]
            yield "customer_campaign_amount", np.broadcast_to(spent.sum(axis=1)[:, None], shape)
            yield "customer_campaign_best", np.broadcast_to(spent.max(axis=1)[:, None], shape)
            yield "customer_campaign_owned", np.broadcast_to((spent > 0).sum(axis=1)[:, None], shape)
    yield "own_amount", total(amount)
    last = np.full(cells, _NEVER)
    np.minimum.at(last, day_cell, day_age)
    oldest = np.zeros(cells)
    np.maximum.at(oldest, day_cell, day_age)
    since = last.reshape(shape)
    yield "own_since", since
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.where(days > 1, (oldest.reshape(shape) - since) / (days - 1), np.nan)
        yield "own_gap_days", gap
        yield "own_due", since / gap


def _covered_purchases(
    rectangle: Rectangle,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats, Floats, dict[str, Floats]]:
    """Purchases of products that any of the offers covers: customer, gene, age in days, money; and totals."""
    import pyarrow.compute as pc

    hashes = rectangle.customers["purchase_hashes"].combine_chunks()
    customer = np.asarray(pc.list_parent_indices(hashes), dtype=np.int64)
    days = pc.list_flatten(rectangle.customers["purchase_days"].combine_chunks()).to_numpy()
    amounts = pc.list_flatten(rectangle.customers["purchase_amounts"].combine_chunks()).to_numpy()
    age = np.maximum(rectangle.local_day - days.astype(np.float64), 0.0)
    amount = amounts.astype(np.float64)
    count = rectangle.shape[0]
    weight = np.exp2(-age / 180)
    totals: dict[str, Floats] = {
        name: np.asarray(np.bincount(customer, values, minlength=count), dtype=np.float64)
        for name, values in (("units_h180", weight), ("amount_h180", amount * weight))
    }
    gene = rectangle.index.positions(pc.list_flatten(hashes).to_numpy().astype(np.int64))
    covered = np.zeros(len(rectangle.index.hashes) + 1, dtype=bool)
    covered[np.unique(rectangle.dna.matrix.indices)] = True
    keep = covered[gene] & (gene >= 0)
    return customer[keep], gene[keep], age[keep], amount[keep], totals


def _covering(rectangle: Rectangle) -> Any:
    """CSR genes × offers: which offers cover a product."""
    from scipy import sparse

    dna = rectangle.dna.matrix.tocoo()
    locus = rectangle.index.locus_ids.index("product")
    product = rectangle.index.loci[dna.col] == locus
    shape = (len(rectangle.index.hashes), rectangle.shape[1])
    ones = np.ones(int(product.sum()), dtype=np.int8)
    return sparse.csr_array((ones, (dna.col[product], dna.row[product])), shape=shape)


# Genome and DNA


def _matches(rectangle: Rectangle) -> Iterator[tuple[str, Column]]:
    loci = rectangle.index.locus_ids
    for half_life in ("now", "character"):
        shares = rectangle.shares(half_life)
        for name, dna in (("", rectangle.dna), ("_sales", rectangle.sales_dna)):
            by_locus = match_all(shares, dna)
            for place, locus in enumerate(loci):
                yield f"match_{half_life}{name}_{locus}", by_locus[:, :, place]
            del by_locus
    by_locus = match_all(rectangle.affinities(), rectangle.sales_dna)
    for place, locus in enumerate(loci):
        yield f"pull_{locus}", by_locus[:, :, place]


def _since(rectangle: Rectangle, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Column]]:
    last = rectangle._vectors(rectangle.customers, "last_at_days")
    dna = rectangle.dna.matrix
    for locus in _RECENT:
        name = f"since_{locus}"
        if not any(wanted(prefix + name) for prefix in ("", "top_", "rank_")):
            continue
        place = rectangle.index.locus_ids.index(locus)
        ours = np.flatnonzero(rectangle.index.loci == place)
        offers = dna[:, ours].tocsr()
        genes = np.unique(offers.indices)
        # One more column, of never, for offers without a gene in this locus.
        held = np.full((rectangle.shape[0], len(genes) + 1), -np.inf)
        found = last.matrix[:, ours[genes]].tocoo()
        held[found.row, found.col] = found.data
        result = np.empty(rectangle.shape)
        for offer in range(rectangle.shape[1]):
            of_offer = offers.indices[offers.indptr[offer] : offers.indptr[offer + 1]]
            chosen = np.searchsorted(genes, of_offer) if len(of_offer) else np.array([len(genes)])
            result[:, offer] = held[:, chosen].max(axis=1)
        yield name, np.clip(rectangle.utc_day - result, 0.0, _NEVER)


# What is the same for all offers, or for all customers


def _of_customers(rectangle: Rectangle) -> Iterator[tuple[str, Floats]]:
    table = rectangle.customers
    for trait in _TRAITS:
        yield f"customer_{trait}", _numbers(table[trait])
    for instant in _INSTANTS:
        yield f"customer_since_{instant.removesuffix('_at')}", _days_since(rectangle, table[instant])
    redeemed, received = _numbers(table["redeemed_campaign_count"]), _numbers(table["campaign_count"])
    yield "customer_redeemed_share", (redeemed + 0.1) / (received + 1.0)
    orders = _numbers(table["orders_h180_sum"])
    with np.errstate(invalid="ignore", divide="ignore"):
        yield "customer_order_amount", _numbers(table["amount_h180_sum"]) / orders
        yield "customer_order_trend", _numbers(table["orders_h28_sum"]) / orders
    for band in _BANDS:
        yield f"customer_{band}", _first_number(table[band].to_pylist())


def _of_offers(rectangle: Rectangle) -> Iterator[tuple[str, Floats]]:
    table = rectangle.offers
    for column in ("product_count", "popularity_h28_sum", "popularity_h180_sum"):
        yield f"offer_{column}", _numbers(table[column])
    redemptions, sends = _numbers(table["redemption_count"]), _numbers(table["send_count"])
    yield "offer_redemption_count", redemptions
    yield "offer_redemption_rate", (redemptions + 0.05) / (sends + 20.0)
    index, dna = rectangle.index, rectangle.dna.matrix.tocoo()
    for locus in ("brand", "category", "product_type"):
        here = index.loci[dna.col] == index.locus_ids.index(locus)
        yield f"offer_{locus}_count", np.bincount(dna.row[here], minlength=rectangle.shape[1]).astype(float)
    sales = rectangle.sales_dna.matrix
    for gene, name in (("brand_type:Private", "private"), ("price_tier:upper", "upper_price")):
        place = index.positions(np.array([gene_hash(gene)]))
        weight = sales[:, place].toarray()[:, 0] if place[0] >= 0 else np.zeros(rectangle.shape[1])
        yield f"offer_{name}_weight", weight
    kinds = table["campaign_type"].to_pylist()
    known = {kind: float(number) for number, kind in enumerate(_CAMPAIGN_TYPES)}
    yield "campaign_type", np.array([known.get(kind, np.nan) for kind in kinds])
    starts, ends = (_instants(table[name]) for name in ("starts_at", "ends_at"))
    yield "campaign_days", (ends - starts) / _DAY_US


def gene_hash(gene_id: str) -> int:
    """A gene's hash, as the dbt macro `hash_bigint` makes it."""
    return int(hashlib.md5(gene_id.encode(), usedforsecurity=False).hexdigest()[:15], 16)


def _numbers(column: Any) -> Floats:
    import pyarrow as pa

    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _instants(column: Any) -> Floats:
    """Microseconds since 1970; `nan` where there is none."""
    import pyarrow as pa

    return _numbers(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()))


def _days_since(rectangle: Rectangle, column: Any) -> Floats:
    return np.asarray(np.nan_to_num(rectangle.utc_day - _instants(column) / _DAY_US, nan=_NEVER))


def _first_number(texts: Sequence[str | None]) -> Floats:
    """`35-44` → 35, `Under 15K` → 0 (below the number it names), `None` → nan."""

    def number(text: str | None) -> float:
        if text is None or text.lower().startswith("under"):
            return float("nan") if text is None else 0.0
        digits = "".join(letter if letter.isdigit() else " " for letter in text).split()
        return float(digits[0]) if digits else float("nan")

    return np.array([number(text) for text in texts], dtype=np.float64)


# Within the group


def _over_maximum(column: Column) -> Column:
    best = np.nanmax(np.nan_to_num(column, nan=0.0), axis=1, keepdims=True)
    return np.asarray(column / np.where(best > 0, best, 1.0))


def _rank(column: Column, *, ascending: bool) -> npt.NDArray[np.float32]:
    """1 + how many of the group are better; what is unknown comes last."""
    key = np.nan_to_num(column if ascending else -column, nan=np.inf)
    order = np.argsort(key, axis=1, kind="stable")
    ordered = np.take_along_axis(key, order, axis=1)
    places = np.broadcast_to(np.arange(key.shape[1]), key.shape)
    new = np.ones(key.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(new, places, 0), axis=1)
    result = np.empty(key.shape, dtype=np.float32)
    np.put_along_axis(result, order, (first + 1).astype(np.float32), axis=1)
    return result


def _nth_largest(column: Column, n: int) -> Column:
    n = min(n, column.shape[1])
    return np.asarray(-np.partition(-column, n - 1, axis=1)[:, n - 1])


# Which columns the learners read


def _with_place(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(prefix + name for name in names for prefix in ("", "top_", "rank_"))


_LOCI = (
    "brand",
    "brand_type",
    "category",
    "department",
    "pack_size",
    "price_tier",
    "product",
    "product_type",
)
_TELLING = ("brand", "category", "product", "product_type")
"""Loci whose place in the group helps to say which offer."""

_OWN = (
    *_with_place(
        (
            "own_product_count",
            "own_day_count",
            "own_days_h28",
            "own_days_h90",
            "own_days_h180",
            "own_units_h28",
            "own_units_h90",
            "own_units_h180",
            "own_units_share",
            "own_unit_count",
            "own_amount_h60",
            "own_amount_h180",
            "own_amount_share",
            "own_amount",
            "own_since",
        )
    ),
    "own_head_ratio",
    "own_gap_days",
    "own_due",
)
_OFFER = (
    "offer_product_count",
    "offer_popularity_h28_sum",
    "offer_popularity_h180_sum",
    "offer_redemption_count",
    "offer_redemption_rate",
    "offer_brand_count",
    "offer_category_count",
    "offer_product_type_count",
    "offer_private_weight",
    "offer_upper_price_weight",
    "campaign_type",
    "campaign_days",
    "campaign_offer_count",
)
_GROWING = {
    "order_count",
    "order_day_count",
    "campaign_count",
    "redemption_count",
    "redeemed_campaign_count",
    "store_count",
    "category_count",
    "product_count",
    "category_entropy",
    "brand_entropy",
    "first_order_at",
}
"""Counts over all of history: they only grow, so next month's customers would look like nobody seen so far."""

_CUSTOMER = (
    *(f"customer_{trait}" for trait in _TRAITS if trait not in _GROWING),
    *(f"customer_since_{instant.removesuffix('_at')}" for instant in _INSTANTS if instant not in _GROWING),
    "customer_redeemed_share",
    "customer_order_amount",
    "customer_order_trend",
    *(f"customer_{band}" for band in _BANDS),
    "customer_campaign_amount",
    "customer_campaign_best",
    "customer_campaign_owned",
)
_MATCH = (
    *(
        f"match_{half_life}{sales}_{locus}"
        for half_life in ("now", "character")
        for sales in ("", "_sales")
        for locus in _LOCI
    ),
    *(f"pull_{locus}" for locus in _LOCI),
)
_SINCE = tuple(f"since_{locus}" for locus in _RECENT)

WHO: tuple[str, ...] = (*_OWN, *_MATCH, *_with_place(_SINCE), *_CUSTOMER, *_OFFER)
"""What the learner of *who redeems* reads."""

WHICH: tuple[str, ...] = (
    *_OWN,
    *(
        f"{place}_{kind}_{locus}"
        for kind in ("match_character_sales", "pull")
        for locus in _TELLING
        for place in ("top", "rank")
    ),
    *(f"{place}_{name}" for name in _SINCE for place in ("top", "rank")),
    *_OFFER,
)
"""What the learner of *which offer* reads: nothing that is the same for all candidates of a customer."""

PLAIN: tuple[str, ...] = (
    "own_day_count",
    "own_days_h90",
    "own_unit_count",
    "own_units_h90",
    "own_since",
    "offer_popularity_h180_sum",
    "offer_product_count",
    "customer_order_day_count",
    "customer_orders_h28_sum",
    "customer_orders_h180_sum",
    "customer_amount_h28_sum",
    "customer_amount_h180_sum",
    "customer_since_last_order",
    "customer_since_first_order",
    "customer_order_amount",
    "customer_campaign_count",
    "customer_redemption_count",
    "customer_redeemed_share",
    "customer_coupon_lines_h180_sum",
    "campaign_offer_count",
    "campaign_type",
)
"""Recency, frequency and money: what an ML model without a genome would be told."""
