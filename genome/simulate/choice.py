"""Who takes which product: a category by the taste of the week, then a product by brand and tier."""

import numpy as np

from genome.simulate.people import People
from genome.simulate.randomness import Bools, Floats, Ints
from genome.simulate.world import World


def pick(cumulated: Floats, draw: Floats) -> Ints:
    """For each row the first column whose cumulated chance reaches the draw."""
    return np.minimum((draw[:, None] > cumulated).sum(axis=1), cumulated.shape[1] - 1)


def _groups(order: Ints, key: Ints) -> list[Ints]:
    """The rows of each key, where `order` sorts the keys."""
    if len(order) == 0:
        return []
    return np.split(order, np.flatnonzero(np.diff(key[order])) + 1)


class Choice:
    """The choices of one block; keeps the cumulated chances of products, which do not move with time."""

    def __init__(self, world: World, people: People, weeks: int) -> None:
        self.world, self.people, self.weeks = world, people, weeks
        self._products: dict[int, Floats] = {}

    def categories(self, person: Ints, seller: Ints, day: Ints, random: np.random.Generator) -> Ints:
        """A category for each line."""
        chosen = np.zeros(len(person), dtype=np.int64)
        draw = random.random(len(person), dtype=np.float32)
        group = seller * 1000 + day // 7
        order = np.argsort(group, kind="stable")
        for rows in _groups(order, group):
            shop, week = divmod(int(group[rows[0]]), 1000)
            weight = self.people.choice_weights(self.world, shop, week, self.weeks)
            cumulated = np.cumsum(weight, axis=1).astype(np.float32)
            own = self.world.categories_of(shop)
            chosen[rows] = own[pick(cumulated[person[rows]], draw[rows])]
        return chosen

    def products(
        self,
        person: Ints,
        category: Ints,
        day: Ints,
        random: np.random.Generator,
        unavailable: Bools | None = None,
    ) -> Ints:
        """A product of the category that is on sale that day.

        Args:
            person: who chooses, for each line.
            category: of which category.
            day: on which day.
            random: the stream to draw from.
            unavailable: (line, product) that cannot be had (a store's empty shelf); only for few lines.
        """
        world = self.world
        chosen = np.zeros(len(person), dtype=np.int64)
        draw = random.random((len(person), 2), dtype=np.float32)
        order = np.argsort(category, kind="stable")
        for rows in _groups(order, category):
            number = int(category[rows[0]])
            inside = world.products_of(number)
            cumulated = self._cumulated(number)[person[rows]]
            product = inside.start + pick(cumulated, draw[rows, 0])
            for attempt in (1, 2):
                wrong = (world.launched_day[product] > day[rows]) | (world.retired_day[product] <= day[rows])
                if unavailable is not None:
                    wrong |= unavailable[rows, product]
                if not wrong.any():
                    break
                # Once more; then the category's best seller, which is always on sale.
                again = inside.start + pick(cumulated[wrong], draw[rows[wrong], 1])
                product[wrong] = again if attempt == 1 else inside.start
            chosen[rows] = product
        return chosen

    def _cumulated(self, category: int) -> Floats:
        if category not in self._products:
            weight = self.people.product_weights(self.world, category)
            self._products[category] = np.cumsum(weight, axis=1).astype(np.float32)
        return self._products[category]
