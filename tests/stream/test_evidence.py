"""Live evidence against its definition: any order, any batches, late lines, refunds before and after them."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genome.features.live import SUMS
from genome.stream.evidence import FOREVER, LINE, Dna, Parameters, changes, group_of, identity_of

DAY = 86_400_000_000
AS_OF = 20_000 * DAY
KINDS = {"Order Completed": 0, "Order Refunded": 1, "Product Viewed": 2, "Product Disliked": 3}
NOW, CHARACTER = (28.0, 14.0), (180.0, 90.0)
# product → (gene, locus, weight, since, until)
DNA: dict[str, list[tuple[int, int, float, int, int]]] = {
    "p": [(11, 0, 0.75, -FOREVER, FOREVER), (12, 0, 0.25, -FOREVER, FOREVER), (21, 1, 1.0, -FOREVER, AS_OF)],
    # its second gene changes at the cut-off: what happened before keeps the old one
    "q": [(12, 0, 1.0, -FOREVER, FOREVER), (21, 1, 1.0, -FOREVER, AS_OF), (22, 1, 1.0, AS_OF, FOREVER)],
}


def parameters() -> Parameters:
    rows = [row for product in DNA for row in DNA[product]]
    columns = list(zip(*rows, strict=True))
    sizes = np.cumsum([0] + [len(DNA[product]) for product in DNA])
    return Parameters(
        epoch="e",
        as_of=AS_OF,
        kinds=KINDS,
        towards=np.array([1.0, np.nan, 0.15, 0.0]),
        against=np.array([0.0, np.nan, 0.0, 1.0]),
        k=np.array([1.0, np.nan, 0.0, 0.0]),
        reverses=np.array([-1, 0, -1, -1]),
        half_now=np.array(NOW),
        half_character=np.array(CHARACTER),
        dna=Dna(
            {product: at for at, product in enumerate(DNA)},
            sizes,
            np.array(columns[0]),
            np.array(columns[1]),
            np.array(columns[2]),
            np.array(columns[3]),
            np.array(columns[4]),
        ),
    )


@dataclass(frozen=True)
class Event:
    kind: str
    key: str
    product: str
    order: str | None
    quantity: float | None
    at: int
    number: int | None
    identity: str

    def line(self) -> tuple[Any, ...]:
        group = 0
        if self.order is not None and self.kind.startswith("Order"):
            group = group_of(self.key, self.order, self.product, "Order Completed")
        return (
            group,
            identity_of(self.identity),
            math.inf if self.number is None else self.number,
            math.nan if self.quantity is None else self.quantity,
            self.at,
            {"p": 0, "q": 1}.get(self.product, -1),
            KINDS[self.kind],
        )


class Log:
    """What the consumer keeps, in memory."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, int], np.ndarray[Any, Any]] = {}
        self.lines: list[tuple[str, tuple[Any, ...]]] = []
        self.refunded: set[int] = set()

    def feed(self, batch: Sequence[Event]) -> None:
        names = sorted({event.key for event in batch})
        keys = np.array([names.index(event.key) for event in batch])
        lines = np.array([event.line() for event in batch], LINE)

        def history(
            groups: np.ndarray[Any, Any], _: Any
        ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            wanted = set(groups.tolist())
            found = [(key, line) for key, line in self.lines if line[0] in wanted]
            return np.array([names.index(key) for key, _ in found], np.int64), np.array(
                [line for _, line in found], LINE
            )

        refunded = np.array(sorted(self.refunded), np.uint64)
        owners, rows = changes(keys, lines, refunded, history, parameters())
        for owner, row in zip(owners, rows, strict=True):
            at = (names[owner], int(row["gene"]))
            if at in self.sums:
                held = self.sums[at]
                for name in SUMS.names or ():
                    if name == "last":
                        held[name] = max(held[name], row[name])
                    elif name not in ("gene", "locus"):
                        held[name] += row[name]
            else:
                self.sums[at] = row.copy()
        self.lines += [(event.key, event.line()) for event in batch]
        self.refunded |= {event.line()[0] for event in batch if event.kind == "Order Refunded"} - {0}


def brute_force(events: Sequence[Event]) -> dict[tuple[str, int], dict[str, float]]:
    """The definition, one piece of evidence after the other."""

    def saturated(quantity: float | None, k: float) -> float:
        return 1.0 if quantity is None else quantity / (quantity + k) if quantity > 0 else 0.0

    weights = {
        "Order Completed": (1.0, 0.0, 1.0),
        "Product Viewed": (0.15, 0.0, 0.0),
        "Product Disliked": (0.0, 1.0, 0.0),
    }
    found: dict[tuple[str, int], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    left = {event.identity: event.quantity for event in events}
    groups: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
    back: dict[tuple[str, str, str], float] = defaultdict(float)
    for event in events:
        if event.order is not None:
            place = (event.key, event.order, event.product)
            if event.kind == "Order Completed" and event.quantity:
                groups[place].append(event)
            if event.kind == "Order Refunded":
                back[place] += math.inf if event.quantity is None else event.quantity
    for place, units in back.items():
        rest = units
        for line in sorted(
            groups[place], key=lambda e: (math.inf if e.number is None else e.number, e.identity)
        ):
            taken = min(rest, line.quantity or 0.0)
            rest -= taken
            left[line.identity] = (line.quantity or 0.0) - taken
    for event in events:
        if event.kind not in weights or event.product not in DNA:
            continue
        towards, against, k = weights[event.kind]
        strength, whole = saturated(left[event.identity], k), saturated(event.quantity, k)
        for gene, locus, weight, since, until in DNA[event.product]:
            if not since <= event.at < until or not whole:
                continue
            sums = found[event.key, gene]
            for name, half in (("now", NOW[locus]), ("character", CHARACTER[locus])):
                scale = 2.0 ** ((event.at - AS_OF) / DAY / half) * weight
                sums[f"for_{name}"] += towards * strength * scale
                sums[f"against_{name}"] += against * strength * scale
                sums[f"squares_{name}"] += ((towards + against) * strength * scale) ** 2
                sums["added"] += (towards + against) * whole * scale * 4 + scale**2
            sums["count"] += 1 if strength else 0
    return found


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    count = draw(st.integers(0, 24))
    return [
        Event(
            kind=draw(st.sampled_from([*KINDS, "Order Completed", "Order Refunded"])),
            key=draw(st.sampled_from("xy")),
            product=draw(st.sampled_from("ppqz")),
            order=draw(st.sampled_from(["o1", "o2", None])),
            quantity=draw(st.sampled_from([None, 0.0, 0.5, 1.0, 2.0, 3.0])),
            at=AS_OF + draw(st.integers(-400 * DAY, 40 * DAY)),
            number=draw(st.sampled_from([None, 1, 2, 3])),
            identity=f"{number:016x}" + "0" * 16,
        )
        for number in draw(st.permutations(range(count)))
    ]


@settings(max_examples=200)
@given(events(), st.data())
def test_any_order_and_any_batches_give_the_sums_of_the_definition(drawn: list[Event], data: Any) -> None:
    expected = brute_force(drawn)
    log, rest = Log(), list(data.draw(st.permutations(drawn)))
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        log.feed(rest[:size])
        rest = rest[size:]
    assert {at for at, sums in expected.items() if sums["added"]} == set(log.sums)
    for at, sums in expected.items():
        if at not in log.sums:
            continue
        for name in SUMS.names or ():
            if name in ("gene", "locus", "last"):
                continue
            assert float(log.sums[at][name]) == pytest.approx(sums[name], abs=1e-9 * sums["added"])


def test_a_refund_comes_before_its_line() -> None:
    order = Event("Order Completed", "x", "p", "o1", 3.0, AS_OF, 1, "1" * 32)
    refund = Event("Order Refunded", "x", "p", "o1", 2.0, AS_OF + DAY, None, "2" * 32)
    for batches in ([[order], [refund]], [[refund], [order]], [[refund, order]]):
        log = Log()
        for batch in batches:
            log.feed(batch)
        # 3/(3+1) became 1/(1+1), at the line's own time
        assert float(log.sums["x", 11]["for_now"]) == pytest.approx(0.5 * 0.75, abs=1e-12)
        assert int(log.sums["x", 11]["count"]) == 1
        assert int(log.sums["x", 11]["last"]) == AS_OF


def test_nothing_is_nan_or_infinite_at_any_time_scale() -> None:
    log = Log()
    log.feed(
        [
            Event(
                "Product Viewed", "x", "q", None, None, AS_OF + years * 365 * DAY, None, f"{years + 99:032x}"
            )
            for years in (-50, -1, 0, 1, 10)
        ]
    )
    for row in log.sums.values():
        assert all(np.isfinite(row[name]) for name in SUMS.names or ())
