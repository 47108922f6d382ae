"""`python -m models.categories`: what customers buy next, by category, ranked by their genome alone.

No ML model: a ranking is a formula over the history of evidence (`lake/genome_history`), beside the baselines of
the literature. Everything is chosen on the validation window; the test windows are reported. Writes
docs/genome-quality.md.

Protocol: rows with a quantity and a category, without fuel, miscellany and coupons; a basket is one customer and
day on the retailer's clock; a customer counts who has bought before the cut-off and buys within 28 days behind it;
the truth is the set of categories bought in those days; NDCG@10 and Recall@10 are means over customers, ties are
broken by the category's name.
"""

import itertools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from genome.errors import GenomeError
from genome.lake import publish
from genome.settings import PROJECT_ROOT, Settings, load
from models.metrics import DRAWS, Interval, interval

PAGE = PROJECT_ROOT / "docs" / "genome-quality.md"
VALIDATION = date(2017, 10, 9)
TESTS = (date(2017, 11, 6), date(2017, 12, 4))
WINDOW_DAYS = 28
AT = 10
IGNORED_DEPARTMENTS = ("FUEL", "MISCELLANEOUS", "COUPON")

HALF_LIVES = (28.0, 60.0, 90.0, 120.0, 180.0, 270.0)
PRIORS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)

PUBLISHED: Mapping[str, tuple[tuple[float, float], ...]] = {
    "popularity, last 28 days": ((0.200, 0.551), (0.203, 0.551)),
    "personal frequency": ((0.257, 0.649), (0.260, 0.642)),
    "frequency, half-life 90 d": ((0.257, 0.650), (0.258, 0.639)),
    "TIFU-KNN": ((0.261, 0.657), (0.264, 0.652)),
}
"""Recall@10 and NDCG@10 on the two test windows, as an independent script found them."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Baskets:
    """One row for each customer, category and day with a purchase.

    Attributes:
        customer: place in `customers`.
        category: place in `categories`.
        day: days since 1970-01-01 on the retailer's clock.
        evidence: Σ quantity/(quantity + k) of the day's lines.
        customers: source keys.
        categories: category gene ids, ascending.
    """

    customer: Ints
    category: Ints
    day: Ints
    evidence: Floats
    customers: tuple[str, ...]
    categories: tuple[str, ...]

    def before(self, day: int, days: int | None = None) -> "Baskets":
        """What was bought before a day (in the last `days` before it)."""
        return self._only((self.day < day) & (self.day >= (day - days if days else -(10**9))))

    def within(self, day: int, days: int) -> "Baskets":
        """What was bought from a day on."""
        return self._only((self.day >= day) & (self.day < day + days))

    def sums(self, values: Floats) -> Floats:
        """Sums of a row's values by customer and category, dense."""
        shape = (len(self.customers), len(self.categories))
        flat = np.bincount(self.customer * shape[1] + self.category, values, shape[0] * shape[1])
        return flat.reshape(shape).astype(np.float64)

    def _only(self, mask: Bools) -> "Baskets":
        return Baskets(
            self.customer[mask],
            self.category[mask],
            self.day[mask],
            self.evidence[mask],
            self.customers,
            self.categories,
        )


Ranker = Callable[[Baskets, int], Floats]
"""Purchases before a day, and that day → a score for each customer and category."""


def read(settings: Settings) -> Baskets:
    """The purchases of the current publication, by category and day.

    Raises:
        GenomeError: nothing is published.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    publication = publish.current(settings, "genome")
    if publication is None:
        raise GenomeError("Nothing is published yet.", "Run `make demo`.")
    bought = publication.read(
        "genome_history",
        columns=["source_key", "product_id", "evidence_at", "evidence_for"],
        filters=(pc.field("interaction_type") == "Order Completed")
        & (pc.field("evidence_for") > 0)
        & pc.field("takes_back_id").is_null(),
    )
    genes = publication.read(
        "dim_product_dna",
        columns=["product_id", "gene_id", "locus_id"],
        filters=[("locus_id", "in", ["category", "department"])],
    )
    # A product's last category and department: the year's catalogue changes neither.
    by_locus: dict[str, dict[str, str]] = {}
    for locus in ("category", "department"):
        rows = genes.filter(pc.field("locus_id") == locus)
        by_locus[locus] = dict(
            zip(rows.column("product_id").to_pylist(), rows.column("gene_id").to_pylist(), strict=True)
        )
    ignored = {f"department:{name}" for name in IGNORED_DEPARTMENTS}
    category_of = {
        product: category
        for product, category in by_locus["category"].items()
        if by_locus["department"].get(product) not in ignored
    }
    products = bought.column("product_id").combine_chunks().dictionary_encode()
    names = [category_of.get(product) for product in products.dictionary.to_pylist()]
    categories = sorted({name for name in names if name is not None})
    place = {name: at for at, name in enumerate(categories)}
    code = np.array([-1 if name is None else place[name] for name in names], np.int64)
    category = code[products.indices.to_numpy(zero_copy_only=False)]
    keys = bought.column("source_key").combine_chunks().dictionary_encode()
    zone = ZoneInfo(settings.business_timezone)
    local = pc.cast(
        pc.local_timestamp(bought.column("evidence_at").cast(pa.timestamp("us", str(zone)))), pa.date32()
    )
    day = local.cast(pa.int32()).to_numpy().astype(np.int64)
    customer = keys.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    kept = category >= 0
    columns = np.stack([customer[kept], category[kept], day[kept]])
    distinct, where = np.unique(columns, axis=1, return_inverse=True)
    evidence = np.bincount(where.ravel(), bought.column("evidence_for").to_numpy()[kept], distinct.shape[1])
    return Baskets(
        distinct[0],
        distinct[1],
        distinct[2],
        evidence.astype(np.float64),
        tuple(keys.dictionary.to_pylist()),
        tuple(categories),
    )


def popularity(bought: Baskets, day: int) -> Floats:
    """How many customers and days the last 28 days saw, by category."""
    recent = bought.before(day, WINDOW_DAYS)
    return recent.sums(np.ones(len(recent.day))).sum(axis=0)


def frequency(half_life: float | None) -> Ranker:
    """Days on which a category was bought, decayed; popularity breaks ties."""

    def rank(bought: Baskets, day: int) -> Floats:
        weights = np.ones(len(bought.day)) if half_life is None else np.exp2(-(day - bought.day) / half_life)
        people = popularity(bought, day)
        return bought.sums(weights) + 1e-9 * people / max(1.0, people.max())

    return rank


def affinity(half_life: float) -> Ranker:
    """The genome's affinity as it stands: evidence, decayed."""

    def rank(bought: Baskets, day: int) -> Floats:
        return bought.sums(bought.evidence * np.exp2(-(day - bought.day) / half_life))

    return rank


def genome(half_life: float, prior: float) -> Ranker:
    """Days on which a gene was revealed, decayed, and the population as a prior.

    `Σ_days 2^(−(t − day)/h) + prior · p_g / max p`: with little evidence of their own a customer is ranked as
    everybody, with much as themselves. Days are counted and not lines: six yoghurts of one basket are one
    decision to buy yoghurt.
    """

    def rank(bought: Baskets, day: int) -> Floats:
        people = popularity(bought, day)
        own = bought.sums(np.exp2(-(day - bought.day) / half_life))
        return own + prior * people / max(1.0, people.max())

    return rank


def tifu_knn(
    k: int = 100, groups: int = 3, within: float = 1.0, between: float = 0.9, own: float = 0.7
) -> Ranker:
    """TIFU-KNN (Hu et al., SIGIR 2020): a decayed mean of basket groups, mixed with that of the neighbours."""

    def rank(bought: Baskets, day: int) -> Floats:  # noqa: ARG001 - it knows order, not time
        baskets = np.unique(np.stack([bought.customer, bought.day]), axis=1)
        first = np.searchsorted(baskets[0], baskets[0])
        number = np.arange(baskets.shape[1]) - first
        count = np.bincount(baskets[0])[baskets[0]]
        size = np.ceil(count / groups)
        last_group = np.ceil(count / size) - 1
        group = np.floor(number / size)
        in_group = np.where(group == last_group, count - last_group * size, size)
        position = number - group * size
        weight = within ** (in_group - 1 - position) / in_group
        weight *= between ** (last_group - group) / (last_group + 1)
        span = int(bought.day.max()) + 1
        place = np.searchsorted(baskets[0] * span + baskets[1], bought.customer * span + bought.day)
        vectors = bought.sums(weight[place])
        active = np.flatnonzero(vectors.any(axis=1))
        known = vectors[active]
        squares = (known**2).sum(axis=1)
        distance = squares[:, None] + squares[None] - 2 * known @ known.T
        np.fill_diagonal(distance, np.inf)
        nearest = np.argpartition(distance, min(k, len(active) - 1), axis=1)[:, :k]
        neighbours = np.zeros_like(vectors)
        neighbours[active] = known[nearest].mean(axis=1)
        return own * vectors + (1 - own) * neighbours

    return rank


@dataclass(frozen=True)
class Window:
    """Figures of one ranker on one window, a value for each customer."""

    recall: Floats
    ndcg: Floats


def judge(baskets: Baskets, at: date, ranker: Ranker) -> Window:
    """Rank on what was bought before a date, and hold it against the 28 days from it on."""
    day = (at - date(1970, 1, 1)).days
    history, future = baskets.before(day), baskets.within(day, WINDOW_DAYS)
    truth: Bools = future.sums(np.ones(len(future.day))) > 0
    counted = truth.any(axis=1)
    counted &= np.bincount(history.customer, minlength=len(baskets.customers)) > 0
    scores, truth = ranker(history, day)[counted], truth[counted]
    best = np.argsort(-scores, axis=1, kind="stable")[:, :AT]
    hits = np.take_along_axis(truth, best, axis=1)
    positives = truth.sum(axis=1)
    gains = 1 / np.log2(np.arange(2, AT + 2))
    ideal = np.cumsum(gains)[np.minimum(positives, AT) - 1]
    return Window(hits.sum(axis=1) / positives, (hits * gains).sum(axis=1) / ideal)


def lead(one: Window, other: Window, seed: int = 0) -> Interval:
    """The difference of NDCG@10, with its bootstrap interval over customers (paired)."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(one.ndcg), (DRAWS, len(one.ndcg)))
    own, theirs = one.ndcg[drawn].mean(axis=1), other.ndcg[drawn].mean(axis=1)
    return interval(own, theirs, float(one.ndcg.mean() - other.ndcg.mean()))


@dataclass(frozen=True)
class Choice:
    """What the validation window chose, and everything it chose from."""

    half_life: float
    prior: float
    tried: tuple[tuple[float, float, float], ...]
    """Half-life, prior, NDCG@10 on validation."""


def choose(baskets: Baskets, at: date = VALIDATION) -> Choice:
    """The half-life and prior with the best NDCG@10 on the validation window."""
    tried = tuple(
        (half_life, prior, float(judge(baskets, at, genome(half_life, prior)).ndcg.mean()))
        for half_life, prior in itertools.product(HALF_LIVES, PRIORS)
    )
    half_life, prior, _ = max(tried, key=lambda each: each[2])
    return Choice(half_life, prior, tried)


def page(baskets: Baskets) -> str:
    """The document."""
    chosen = choose(baskets)
    rankers: dict[str, Ranker] = {
        "popularity, last 28 days": lambda bought, day: np.tile(
            popularity(bought, day), (len(bought.customers), 1)
        ),
        "personal frequency": frequency(None),
        "frequency, half-life 90 d": frequency(90.0),
        "TIFU-KNN": tifu_knn(),
        "affinity, half-life 28 d": affinity(28.0),
        "affinity, half-life 180 d": affinity(180.0),
        "the genome's ranking": genome(chosen.half_life, chosen.prior),
    }
    windows = (VALIDATION, *TESTS)
    judged = {name: [judge(baskets, at, ranker) for at in windows] for name, ranker in rankers.items()}
    lines = [
        "<!-- Made by `python -m models.categories` from the published history. -->",
        "# How good the genome is by itself",
        "",
        "What does a customer buy in the next 28 days, by product category, ranked without any ML model?",
        (__doc__ or "").split("\n\n", 2)[2].replace("\n", " ").strip(),
        "",
        f"The genome's ranking is `Σ_days 2^(−(t − day)/h) + prior · p_g / max p` over its history, with h = "
        f"{chosen.half_life:g} days and a prior of {chosen.prior:g}, chosen on the window of {VALIDATION}.",
        "",
        "Recall@10 / NDCG@10; in parentheses what an independent script found.",
        "",
        f"| ranker | validation {VALIDATION} | test {TESTS[0]} | test {TESTS[1]} |",
        "|---|---|---|---|",
    ]
    for name, found in judged.items():
        cells = []
        for place, window in enumerate(found):
            published = PUBLISHED.get(name, ())[place - 1 : place] if place else ()
            said = f"{window.recall.mean():.3f} / {window.ndcg.mean():.3f}"
            cells.append(said + "".join(f" ({recall:.3f} / {ndcg:.3f})" for recall, ndcg in published))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "Lead of the genome's ranking in NDCG@10, with its 95 % interval over customers:", ""]
    lines += [f"| over | {' | '.join(f'test {at}' for at in TESTS)} |", "|---|---|---|"]
    own = judged["the genome's ranking"]
    for name in ("personal frequency", "frequency, half-life 90 d", "TIFU-KNN"):
        leads = [lead(own[place], judged[name][place]).document() for place in (1, 2)]
        cells = [f"{each['difference']:+.4f} ({each['low']:+.4f} … {each['high']:+.4f})" for each in leads]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "## How half-life and prior were chosen",
        f"NDCG@10 on the validation window of {VALIDATION}, by half-life (rows) and prior (columns):",
        "",
        f"| days | {' | '.join(f'{prior:g}' for prior in PRIORS)} |",
        f"|---|{'---|' * len(PRIORS)}",
    ]
    for half_life in HALF_LIVES:
        row = [f"{ndcg:.4f}" for tried, _, ndcg in chosen.tried if tried == half_life]
        lines.append(f"| {half_life:g} | {' | '.join(row)} |")
    lines += [
        "",
        "## What the table teaches",
        "Affinity adds up evidence line by line, which is right for *how much* of a customer's choices a gene is, and "
        "ranks *whether* a category is bought next worse than a count of days does: who buys six kinds of yoghurt at "
        "once does not come back for yoghurt six times as often. The history holds the days, so both can be read "
        "from it.",
        "",
    ]
    return "\n".join(lines)


def main(path: Path = PAGE) -> Path:
    """Write the page."""
    path.write_text(page(read(load())))
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{main()}\n")
