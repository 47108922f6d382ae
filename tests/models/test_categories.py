"""What customers buy next, by category: the protocol, the rankers, and that only validation chooses."""

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import pytest
from support import built

from genome.settings import Settings
from models import categories
from models.categories import Baskets

T0 = (categories.VALIDATION - date(1970, 1, 1)).days


def baskets(rows: list[tuple[int, int, int]], evidence: float = 0.5) -> Baskets:
    """Rows are (customer, category, days from the cut-off)."""
    customer, category, day = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return Baskets(
        customer,
        category,
        day + T0,
        np.full(len(rows), evidence),
        tuple(f"c{n}" for n in range(customer.max() + 1)),
        tuple(f"category:{n}" for n in range(12)),
    )


def by_index(bought: Baskets, _: int) -> np.ndarray:
    return np.tile(-np.arange(12.0), (len(bought.customers), 1))


def test_recall_and_ndcg_by_hand_over_those_who_bought_before_and_behind_the_cut_off() -> None:
    found = categories.judge(
        baskets(
            [
                (0, 3, -5),
                (0, 1, 0),  # second of the ranking
                (0, 11, 27),  # twelfth: beyond ten
                (0, 2, 28),  # behind the window
                (1, 4, 3),  # nothing before the cut-off: does not count
                (2, 4, -3),  # nothing behind it: does not count
            ]
        ),
        categories.VALIDATION,
        by_index,
    )
    assert found.recall.tolist() == [0.5]
    ideal = 1 + 1 / np.log2(3)
    assert found.ndcg.tolist() == [pytest.approx((1 / np.log2(3)) / ideal)]


def test_days_are_counted_and_fade_and_the_population_is_the_prior() -> None:
    bought = baskets([(0, 5, -120), (0, 6, -1), (0, 7, -1), (0, 7, -2), (1, 8, -1), (1, 8, -2)])
    scores = categories.genome(120.0, 0.0)(bought, T0)
    assert scores[0, 5] == pytest.approx(0.5)
    assert scores[0, 7] == pytest.approx(2 ** (-1 / 120) + 2 ** (-2 / 120))
    assert scores[0, 8] == 0.0
    with_prior = categories.genome(120.0, 1.0)(bought, T0)
    assert with_prior[0, 8] == pytest.approx(
        1.0
    )  # the most bought of the last 28 days, by nobody of one's own
    assert with_prior[0, 6] == pytest.approx(scores[0, 6] + 0.5)


def test_tifu_knn_weighs_groups_of_baskets_and_mixes_the_neighbours() -> None:
    # Six baskets make three groups of two; a category in one basket of the oldest group: 0.9²/2 of a third.
    rows = [(0, 0, -60)] + [(0, 1, -day) for day in (60, 50, 40, 30, 20, 10)] + [(1, 2, -10), (2, 2, -9)]
    scores = categories.tifu_knn(k=1, own=1.0)(baskets(rows), T0)
    assert scores[0, 0] == pytest.approx(0.9**2 / 2 / 3)
    assert scores[0, 1] == pytest.approx((0.9**2 + 0.9 + 1) / 3)
    mixed = categories.tifu_knn(k=1, own=0.7)(baskets(rows), T0)
    assert mixed[1, 2] == pytest.approx(0.7 + 0.3)  # the neighbour is the customer who bought the same


def test_only_the_validation_window_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[date] = []
    judge = categories.judge

    def watched(every: Baskets, at: date, ranker: categories.Ranker) -> categories.Window:
        asked.append(at)
        return judge(every, at, ranker)

    monkeypatch.setattr(categories, "judge", watched)
    random = np.random.default_rng(0)
    rows = [(int(c), int(g), int(d)) for c, g, d in random.integers([0, 0, -200], [30, 12, 60], (3_000, 3))]
    chosen = categories.choose(baskets(rows))
    assert set(asked) == {categories.VALIDATION}
    assert max(chosen.tried, key=lambda each: each[2])[:2] == (chosen.half_life, chosen.prior)
    # What happens behind the window changes nothing.
    later = baskets([row for row in rows if row[2] < categories.WINDOW_DAYS])
    assert categories.choose(later).tried == chosen.tried


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    yield from built.read_only(tmp_path_factory.getbasetemp())


def test_baskets_come_from_the_published_history_by_the_retailers_day(world: Settings) -> None:
    found = categories.read(world)
    lines = built.first_deliveries(world).query("interaction_type == 'Order Completed'")
    lines = lines[~(lines.quantity <= 0)]  # a till that says no quantity has sold something
    products = (
        built.catalog(world, "products").drop_duplicates("product_id", keep="last").set_index("product_id")
    )
    known = lines[lines.product_id.isin(products.index)]
    known = known.assign(
        department=products.department.reindex(known.product_id).to_numpy(),
        category=products.category.reindex(known.product_id).to_numpy(),
        at=known[["occurred_at", "received_at"]].min(axis=1),
    )
    known = known[known.category.notna() & ~known.department.isin(categories.IGNORED_DEPARTMENTS)]
    known = known[known.received_at < built.NOW]
    day = known["at"].dt.tz_convert("America/New_York").dt.date
    expected = set(zip("household:" + known.customer_key, "category:" + known.category, day, strict=True))
    got = {
        (found.customers[customer], found.categories[category], date(1970, 1, 1) + timedelta(days=int(at)))
        for customer, category, at in zip(found.customer, found.category, found.day, strict=True)
    }
    assert got == expected
    assert len(got) > 2_000
