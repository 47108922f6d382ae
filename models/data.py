"""What an ML model learns from: who could have used which offer, what they did, and what was known before.

    published fct_offer_outcomes ─► campaigns (labels) ─┐
    feature service (Feast, point in time) ─────────────┴─► one labelled rectangle for each campaign

Customers' features are asked for once for each distinct (customer, instant), offers' for each (offer,
instant); every join on labels asserts that rows stay unique, because a doubled label looks like skill.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from genome.errors import GenomeError
from genome.lake.publish import Publication, current
from genome.match import GeneIndex
from genome.settings import Settings
from models.features import Rectangle

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SERVICE = "next_best_offer_v1"
"""The feature service that training and scoring read."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_SPINE_ROWS = 20_000
"""Customers' rows asked of Feast at once: their lists take about 15 kB each."""


@dataclass(frozen=True)
class Campaign:
    """One campaign that has ended: whom it reached, what it offered, what they did.

    Attributes:
        campaign_id: the campaign.
        label_at: the instant before which everything known may be used.
        ends_at: the instant at which its outcome was known.
        customers: ids, ascending.
        offers: ids, ascending.
        redeemed: customers × offers, whether the offer was redeemed.
        bought: customers × offers, whether anything that it covers was bought.
        baselines: customers × offers, what simple rankers say, by name.
    """

    campaign_id: str
    label_at: "pd.Timestamp"
    ends_at: "pd.Timestamp"
    customers: npt.NDArray[Any]
    offers: npt.NDArray[Any]
    redeemed: Bools
    bought: Bools
    baselines: Mapping[str, Floats]

    @property
    def shape(self) -> tuple[int, int]:
        """Customers, offers."""
        return len(self.customers), len(self.offers)


@dataclass(frozen=True)
class LabelledRectangle:
    """A campaign and the features of its customers and offers as known at its label time."""

    campaign: Campaign
    rectangle: Rectangle


def publication(settings: Settings) -> Publication:
    """What is published now.

    Raises:
        GenomeError: nothing is.
    """
    found = current(settings, "genome")
    if found is None:
        raise GenomeError("Nothing is published yet.", "Run `genome build`.")
    return found


def gene_index(published: Publication) -> GeneIndex:
    """The genes of a publication."""
    genes = read(published, "dim_genes", ["gene_hash", "locus_id"])
    return GeneIndex.of(genes["gene_hash"].to_numpy(), genes["locus_id"].to_pylist())


def read(published: Publication, table: str, columns: Sequence[str]) -> "pa.Table":
    """Columns of a published table."""
    return published.read(table, columns)


def campaigns(published: Publication) -> list[Campaign]:
    """Every campaign with a known outcome, in the order of their label times.

    Raises:
        GenomeError: the outcomes of a campaign are not one row for each customer and offer.
    """
    outcomes = read(
        published,
        "fct_offer_outcomes",
        ["campaign_id", "label_at", "customer_id", "offer_id", "is_redeemed", "is_bought"],
    )
    inputs = ("own_day_count", "own_days_h90_sum", "customers_d90_count")
    simple = read(published, "fct_offer_baselines", ["campaign_id", "customer_id", "offer_id", *inputs])
    offers = read(published, "dim_offers", ["campaign_id", "ends_at"]).to_pandas()
    ends = offers.groupby("campaign_id")["ends_at"].max()
    of_outcomes, of_simple = _by_campaign(outcomes), _by_campaign(simple)
    found = []
    for campaign_id, table in of_outcomes.items():
        customers, rows = _distinct(table["customer_id"])
        offer_ids, columns = _distinct(table["offer_id"])
        shape = (len(customers), len(offer_ids))
        cells = rows * shape[1] + columns
        _check_whole(cells, shape, f"fct_offer_outcomes, campaign {campaign_id}")
        label_at = table["label_at"].combine_chunks().unique().to_pandas()
        if len(label_at) != 1:
            raise GenomeError(
                f"Campaign {campaign_id} has {len(label_at)} label times.",
                "Mend fct_campaign_sends: a campaign starts once.",
            )
        beside = of_simple[campaign_id]
        same_customers, beside_rows = _distinct(beside["customer_id"])
        same_offers, beside_columns = _distinct(beside["offer_id"])
        baseline_cells = (
            np.searchsorted(customers, same_customers)[beside_rows] * shape[1]
            + np.searchsorted(offer_ids, same_offers)[beside_columns]
        )
        _check_whole(baseline_cells, shape, f"fct_offer_baselines, campaign {campaign_id}")
        found.append(
            Campaign(
                campaign_id=campaign_id,
                label_at=label_at[0],
                ends_at=ends[campaign_id],
                customers=customers,
                offers=offer_ids,
                redeemed=_grid(cells, _column(table["is_redeemed"]), shape),
                bought=_grid(cells, _column(table["is_bought"]), shape),
                baselines={
                    name: _grid(baseline_cells, _column(beside[name]).astype(np.float64), shape)
                    for name in inputs
                },
            )
        )
    return sorted(found, key=lambda each: (each.label_at, each.campaign_id))


def _by_campaign(table: "pa.Table") -> dict[str, "pa.Table"]:
    names, codes = _distinct(table["campaign_id"])
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return {str(name): table.take(order[edges[place] : edges[place + 1]]) for place, name in enumerate(names)}


def _distinct(column: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The distinct texts, ascending, and for each row its place among them."""
    encoded = column.combine_chunks().dictionary_encode()
    names = np.asarray(encoded.dictionary.to_pylist(), dtype=str)
    order = np.argsort(names)
    places = np.empty(len(names), dtype=np.int64)
    places[order] = np.arange(len(names))
    return names[order], places[np.asarray(encoded.indices)]


def _column(column: Any) -> npt.NDArray[Any]:
    return np.asarray(column.to_numpy())


def _grid(cells: npt.NDArray[Any], values: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    grid = np.zeros(shape[0] * shape[1], dtype=values.dtype)
    grid[cells] = values
    return grid.reshape(shape)


def _check_whole(cells: npt.NDArray[Any], shape: tuple[int, int], what: str) -> None:
    """One row for each cell: a cell that comes twice would be a label counted twice."""
    expected = shape[0] * shape[1]
    if len(cells) != expected or len(np.unique(cells)) != expected:
        raise GenomeError(
            f"{what}: {len(cells)} rows, {len(np.unique(cells))} of them distinct, for {shape[0]} customers × "
            f"{shape[1]} offers.",
            "Mend int_offer_pairs: each customer whom a campaign reached meets each of its offers once.",
        )


@dataclass(frozen=True)
class Windows:
    """How campaigns are divided by time: what suits a year of history is too long for a season of it.

    Attributes:
        history_days: a campaign teaches when at least so many days of history lie before it.
        validation_days: the length of each rehearsal's window.
        test_days: campaigns that began within so many days before now are for reporting only.
        min_redemptions: redeemed offers that a rehearsal needs to learn from, and to be judged by.
    """

    history_days: int
    validation_days: int
    test_days: int
    min_redemptions: int

    @classmethod
    def of(cls, settings: Settings) -> "Windows":
        """As this installation sets them."""
        return cls(
            settings.training_history_days,
            settings.training_validation_days,
            settings.training_test_days,
            settings.training_min_redemptions,
        )


@dataclass(frozen=True)
class Fold:
    """One rehearsal: learn from campaigns that were over before the held-out ones began."""

    train: tuple[Campaign, ...]
    held_out: tuple[Campaign, ...]


@dataclass(frozen=True)
class Split:
    """Which campaigns teach, which choose, which report.

    Attributes:
        folds: rehearsals, latest first; everything is chosen on their held-out campaigns.
        train: what the released one learns from: all that was over before `test` began.
        test: looked at once for each change; decides nothing.
    """

    folds: tuple[Fold, ...]
    train: tuple[Campaign, ...]
    test: tuple[Campaign, ...]

    @property
    def validation(self) -> tuple[Campaign, ...]:
        """The held-out campaigns of all folds, in the order of the folds."""
        return tuple(each for fold in self.folds for each in fold.held_out)

    def document(self) -> dict[str, Any]:
        """Ids of the campaigns, as MLflow holds them."""

        def ids(some: Sequence[Campaign]) -> list[str]:
            return [each.campaign_id for each in some]

        return {
            "folds": [{"train": ids(fold.train), "held_out": ids(fold.held_out)} for fold in self.folds],
            "train": ids(self.train),
            "test": ids(self.test),
        }


def split(
    found: Sequence[Campaign], first_order_at: "pd.Timestamp", now: "pd.Timestamp", windows: Windows
) -> Split:
    """Divide campaigns by time: tests are the latest, rehearsals walk back from them window by window.

    Raises:
        GenomeError: there are too few campaigns with a known outcome.
    """
    import pandas as pd

    begin = first_order_at + pd.Timedelta(days=windows.history_days)
    known = [each for each in found if each.label_at >= begin and each.ends_at <= now]
    test = [each for each in known if each.label_at >= now - pd.Timedelta(days=windows.test_days)]
    cut = min((each.label_at for each in test), default=now)
    train = [each for each in known if each.ends_at <= cut]
    folds: list[Fold] = []
    end = cut
    while any(each.label_at < end for each in train):
        start = end - pd.Timedelta(days=windows.validation_days)
        held_out = [each for each in train if start <= each.label_at < end]
        first = min((each.label_at for each in held_out), default=start)
        before = [each for each in train if each.ends_at <= first]
        if min(_positives(held_out), _positives(before)) >= windows.min_redemptions:
            folds.append(Fold(tuple(before), tuple(held_out)))
        end = start
    if not folds:
        raise GenomeError(
            f"Too few campaigns to learn from and choose on: {len(found)} have ended, {len(known)} of them after "
            f"{windows.history_days} days of history, with {_positives(known)} redeemed offers.",
            "Ingest more history (until then the last champion serves), or look at the settings training_*.",
        )
    return Split(tuple(folds), tuple(train), tuple(test))


def _positives(some: Sequence[Campaign]) -> int:
    return sum(int(each.redeemed.sum()) for each in some)


def first_order_at(published: Publication) -> "pd.Timestamp":
    """When history begins."""
    import pyarrow.compute as pc

    found = pc.min(read(published, "feat_customer_traits", ["first_order_at"])["first_order_at"]).as_py()
    if found is None:
        raise GenomeError("There is no order in the published features.", "Ingest orders and build again.")
    import pandas as pd

    return pd.Timestamp(found)


def labelled(
    settings: Settings, published: Publication, wanted: Sequence[Campaign], index: GeneIndex | None = None
) -> Iterator[LabelledRectangle]:
    """Join features to campaigns as they were known at each label time, some campaigns at once."""
    index = index or gene_index(published)
    for some in _batches(wanted):
        customers = _features(settings, "customer_id", [(each.customers, each.label_at) for each in some])
        offers = _features(settings, "offer_id", [(each.offers, each.label_at) for each in some])
        for each in some:
            yield LabelledRectangle(
                each,
                Rectangle(
                    at=each.label_at,
                    timezone=settings.business_timezone,
                    index=index,
                    customers=customers.rows(each.customers, each.label_at),
                    offers=offers.rows(each.offers, each.label_at),
                ),
            )


def rectangles_at(
    settings: Settings,
    index: GeneIndex,
    customers: npt.NDArray[Any],
    campaigns: Sequence[npt.NDArray[Any]],
    at: "pd.Timestamp",
) -> Iterator[tuple[Rectangle, npt.NDArray[Any]]]:
    """The same customers × the offers of each campaign at one instant, through the same join as training."""
    of_customers = _features(settings, "customer_id", [(customers, at)]).rows(customers, at)
    of_offers = _features(settings, "offer_id", [(offers, at) for offers in campaigns])
    for offers in campaigns:
        yield (
            Rectangle(
                at=at,
                timezone=settings.business_timezone,
                index=index,
                customers=of_customers,
                offers=of_offers.rows(offers, at),
            ),
            offers,
        )


@dataclass(frozen=True)
class _Features:
    """Features of distinct (entity, instant)."""

    table: "pa.Table"
    places: Mapping[tuple[str, Any], int]

    def rows(self, ids: npt.NDArray[Any], at: "pd.Timestamp") -> "pa.Table":
        return self.table.take([self.places[(str(each), at)] for each in ids]).combine_chunks()


def _features(
    settings: Settings, key: str, asked: Sequence[tuple[npt.NDArray[Any], "pd.Timestamp"]]
) -> _Features:
    import pandas as pd

    from feature_repo.training import historical_table

    spine = pd.concat(
        [pd.DataFrame({key: ids.astype(object), "label_at": at}) for ids, at in asked], ignore_index=True
    ).drop_duplicates(ignore_index=True)
    table = historical_table(settings, spine, SERVICE)
    lists = "gene_hashes"
    missing = int(table[lists].null_count)
    if missing:
        raise GenomeError(
            f"{missing} of {len(spine)} {key} have no features at their instant.",
            "The build makes a row for every customer whom a campaign reached and every offer: run `genome build`.",
        )
    places = {pair: place for place, pair in enumerate(zip(spine[key], spine["label_at"], strict=True))}
    return _Features(table, places)


def _batches(wanted: Sequence[Campaign]) -> Iterator[list[Campaign]]:
    batch: list[Campaign] = []
    for each in wanted:
        if batch and sum(len(one.customers) for one in [*batch, each]) > _SPINE_ROWS:
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch
