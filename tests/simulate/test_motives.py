"""The table of recognised motives: counts by hand, and the mall's own sentences."""

import numpy as np
import pyarrow as pa

from genome.simulate.motives import Recognised, table
from genome.simulate.text import MOTIVE_NAMES, letters, sentences
from genome.vocabulary import motives


def test_precision_and_recall_by_hand() -> None:
    rows = {
        row.motive: row
        for row in table(
            ["price", "price", "praise", "average", "quality"],
            ["price", None, "quality service", "-price", "quality price"],
        )
    }
    assert rows["price"] == Recognised("price", ("price",), true=2, recognised=3, both=1)
    assert rows["price"].precision == 1 / 3
    assert rows["price"].recall == 0.5
    assert rows["quality"] == Recognised("quality", ("quality", "praise"), true=2, recognised=2, both=2)
    assert rows["delivery"].recall is None
    assert rows["service"].cells()[1] == "(none in the mall)"


def test_the_mall_s_sentences_are_recognised() -> None:
    random = np.random.default_rng(3)
    motive = random.integers(0, len(MOTIVE_NAMES), 2_000)
    category = pa.array(random.choice(["milk", "frozen_pizza", "gift_sets", "yoga", "cleaning"], 2_000))
    for write in (sentences, letters):
        found = motives().said_of_all(write(motive, category, random)).to_pylist()
        rows = {row.motive: row for row in table([MOTIVE_NAMES[each] for each in motive], found)}
        for name in ("price", "quality", "delivery", "availability", "being_left_in_peace", "no_pressure"):
            assert (rows[name].recall or 0) > 0.95, rows[name]
            assert (rows[name].precision or 0) > 0.9, rows[name]
