"""Evidence of single interactions, as sums by gene: the definition of the dbt models, in NumPy.

`weight × quantity/(quantity + k) × dna(product, gene)` for and against, and the square of both, decayed for two
half-lives to one instant (the epoch's cut-off), so that any two sums add up. A refund takes units of its
order's lines back, in the lines' order, at the lines' own time (int_evidence_weighed says the same in SQL; a
test holds the two against each other). Nothing here reads or writes; all sums may be added in any order.

What is left of a line depends only on how many units of its group (source key, order, product) were refunded
in all, so an interaction that comes later changes a group's evidence by a difference that can be added.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import mmh3
import numpy as np
import numpy.typing as npt

from genome.features.live import SUMS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[Any]

ALL_UNITS: Final = 1e15
"""The units of a refund that says no quantity: everything that is left."""
_DAY: Final = 86_400_000_000.0
FOREVER: Final = np.iinfo(np.int64).max
MOTIVE: Final = "\x1f"
"""Parts the interaction type from the sign, in kinds of evidence that words give."""

LINE: Final = np.dtype(
    [
        ("group", "<u8"),
        ("identity", "<u8"),
        ("order", "<f8"),
        ("quantity", "<f8"),
        ("at", "<i8"),
        ("product", "<i4"),
        ("kind", "<i4"),
    ]
)
"""An interaction that may be evidence. `group` is 0 where nothing can take it back; `order` is its line number
(infinite: none), `identity` breaks ties as interaction ids do; `at` is from when it fades, in microseconds;
`product` and `kind` are places in the parameters; of a refund `kind` is the refund's own and `group` its lines'."""

_EVIDENCE: Final = np.dtype(
    [
        ("key", "<i8"),
        ("product", "<i4"),
        ("count", "<i4"),
        ("at", "<i8"),
        ("towards", "<f8"),
        ("against", "<f8"),
        ("squared", "<f8"),
    ]
)


@dataclass(frozen=True)
class Dna:
    """Product DNA with its time: the genes of product `i` are rows `starts[i]` to `starts[i + 1]`.

    Attributes:
        products: product_id → its place.
        gene: gene_hash.
        locus: place of the locus in `half_now` and `half_character`.
        weight: of the product within the locus.
        since: from when the row holds, in microseconds since 1970.
        until: the first instant at which it no longer does.
    """

    products: Mapping[str, int]
    starts: Ints
    gene: Ints
    locus: Ints
    weight: Floats
    since: Ints
    until: Ints


@dataclass(frozen=True)
class Parameters:
    """What one build published: weights, half-lives, DNA. Places in the arrays are numbers of kinds and loci.

    Attributes:
        epoch: the publication.
        as_of: its cut-off, in microseconds since 1970; sums are decayed to it.
        kinds: interaction type → its place; with them the kinds that words of such a type give (`motive_kind`).
        towards: weight for.
        against: weight against.
        k: quantity at which half of a weight is earned.
        reverses: the place of the type whose evidence this one takes back, -1: none.
        half_now: days, by locus.
        half_character: days, by locus.
        dna: product DNA.
    """

    epoch: str
    as_of: int
    kinds: Mapping[str, int]
    towards: Floats
    against: Floats
    k: Floats
    reverses: Ints
    half_now: Floats
    half_character: Floats
    dna: Dna

    @property
    def named(self) -> frozenset[str]:
        """Types that take evidence back, or whose evidence is taken back."""
        types = list(self.kinds)
        pairs = [(at, int(back)) for at, back in enumerate(self.reverses) if back >= 0]
        return frozenset(types[at] for pair in pairs for at in pair)

    @property
    def reversible(self) -> frozenset[int]:
        """Types whose evidence some other type takes back."""
        return frozenset(int(each) for each in self.reverses if each >= 0)


def motive_kind(interaction_type: str, *, is_against: bool) -> str:
    """What `Parameters.kinds` calls it that words of such an interaction name a motive."""
    return f"{interaction_type}{MOTIVE}{'-' if is_against else '+'}"


def group_of(source_key: str, order: str, product_id: str, kind: str) -> int:
    """The number of a group of lines that refunds of one order and product take back; never 0."""
    text = "\x1f".join((source_key, order, product_id, kind))
    return int(mmh3.hash64(text.encode(errors="surrogatepass"), signed=False)[0]) or 1


def identity_of(interaction_id: str) -> int:
    """A number that sorts as the (hexadecimal) id does."""
    try:
        return int(interaction_id[:16], 16)
    except ValueError:
        return int.from_bytes(interaction_id.encode()[:8].ljust(8, b"\0"), "big")


History = Callable[[npt.NDArray[np.uint64], Ints], tuple[Ints, Rows]]
"""Gives, of groups and the keys that they are of, the lines and refunds counted before, and whose each is."""


def changes(
    keys: Ints, lines: Rows, refunded: npt.NDArray[np.uint64], history: History, parameters: Parameters
) -> tuple[Ints, Rows]:
    """What a batch of interactions adds to the sums, refunds and lines that refunds wait for included.

    Args:
        keys: whose each line is: a number of the caller's.
        lines: of `LINE`, in any order; each comes once.
        refunded: groups that had a refund before.
        history: asked only about groups that refunds touch.
        parameters: of the epoch.
    """
    owners, found = sums(keys, lines, parameters)
    is_refund = (parameters.reverses[lines["kind"]] >= 0) & (lines["group"] != 0)
    touched = np.union1d(refunded, lines["group"][is_refund])
    meets = np.isin(lines["group"], touched) & (lines["group"] != 0)
    if meets.any():
        old_keys, old = history(np.unique(lines["group"][meets]), np.unique(keys[meets]))
        more_owners, more = taken_back(old_keys, old, keys[meets], lines[meets], parameters)
        owners, found = added_up(np.concatenate([owners, more_owners]), np.concatenate([found, more]))
    return owners, found


def sums(keys: Ints, lines: Rows, parameters: Parameters) -> tuple[Ints, Rows]:
    """The evidence of new interactions, refunds left aside.

    Args:
        keys: whose each line is: a number of the caller's.
        lines: of `LINE`.
        parameters: of the epoch.

    Returns:
        Keys and sums (`SUMS`), one row for each key and gene, by key.
    """
    kind = lines["kind"]
    strength = _saturation(lines["quantity"], parameters.k[kind])
    counts = (parameters.reverses[kind] < 0) & (strength > 0) & (lines["product"] >= 0)
    evidence = np.empty(int(counts.sum()), _EVIDENCE)
    kind, strength = kind[counts], strength[counts]
    evidence["key"], evidence["product"], evidence["at"] = (
        keys[counts],
        lines["product"][counts],
        lines["at"][counts],
    )
    evidence["towards"] = parameters.towards[kind] * strength
    evidence["against"] = parameters.against[kind] * strength
    evidence["squared"] = ((parameters.towards[kind] + parameters.against[kind]) * strength) ** 2
    evidence["count"] = 1
    return expressed(evidence, parameters)


def taken_back(keys: Ints, old: Rows, new_keys: Ints, new: Rows, parameters: Parameters) -> tuple[Ints, Rows]:
    """What refunds change, of whole groups: `sums` has counted the new lines in full.

    Args:
        keys: whose each old line is.
        old: lines and refunds of these groups that were counted before.
        new_keys: whose each new line is.
        new: lines and refunds that came now.
        parameters: of the epoch.

    Returns:
        As `sums`; differences, which may be negative.
    """
    whole = np.concatenate([old, new])
    owners = np.concatenate([keys, new_keys])
    is_new = np.concatenate([np.zeros(len(old), bool), np.ones(len(new), bool)])
    is_refund = parameters.reverses[whole["kind"]] >= 0
    groups, place = np.unique(whole["group"], return_inverse=True)
    units = np.where(np.isnan(whole["quantity"]), ALL_UNITS, np.maximum(whole["quantity"], 0.0))
    refunded_before = np.bincount(
        place[is_refund & ~is_new], units[is_refund & ~is_new], minlength=len(groups)
    )
    refunded = np.bincount(place[is_refund], units[is_refund], minlength=len(groups))
    # A line that says no quantity cannot be taken back in part, and dbt takes back none of it.
    (at,) = np.nonzero(~is_refund & (whole["quantity"] > 0) & (whole["group"] != 0))
    at = at[np.lexsort((whole["identity"][at], whole["order"][at], place[at]))]
    lines, group = whole[at], place[at]
    counted_new = is_new[at]
    quantity = lines["quantity"]
    left = quantity - np.clip(refunded[group] - _before(group, quantity), 0.0, quantity)
    before = quantity - np.clip(
        refunded_before[group] - _before(group, np.where(counted_new, 0.0, quantity)), 0.0, quantity
    )
    before = np.where(counted_new, quantity, before)
    changed = (left != before) & (lines["product"] >= 0)
    lines, left, before, owner = lines[changed], left[changed], before[changed], owners[at][changed]
    kind = lines["kind"]
    k = parameters.k[kind]
    now, then = _saturation(left, k), _saturation(before, k)
    evidence = np.empty(len(lines), _EVIDENCE)
    evidence["key"], evidence["product"], evidence["at"] = owner, lines["product"], lines["at"]
    evidence["towards"] = parameters.towards[kind] * (now - then)
    evidence["against"] = parameters.against[kind] * (now - then)
    evidence["squared"] = (parameters.towards[kind] + parameters.against[kind]) ** 2 * (now**2 - then**2)
    evidence["count"] = (left > 0).astype(np.int32) - (before > 0).astype(np.int32)
    return expressed(evidence, parameters)


def expressed(evidence: Rows, parameters: Parameters) -> tuple[Ints, Rows]:
    """Evidence × product DNA, summed by key and gene."""
    dna = parameters.dna
    product = evidence["product"]
    sizes = dna.starts[product + 1] - dna.starts[product]
    row = np.repeat(np.arange(len(evidence)), sizes)
    first = np.cumsum(sizes) - sizes
    gene_at = np.arange(len(row)) - first[row] + dna.starts[product][row]
    at = evidence["at"][row]
    holds = (at >= dna.since[gene_at]) & (at < dna.until[gene_at])
    row, gene_at, at = row[holds], gene_at[holds], at[holds]
    found = np.empty(len(row), SUMS)
    weight, locus = dna.weight[gene_at], dna.locus[gene_at]
    days = (at - parameters.as_of) / _DAY
    found["gene"], found["locus"] = dna.gene[gene_at], locus
    found["count"], found["last"] = evidence["count"][row], at
    for name, half_life in (("now", parameters.half_now), ("character", parameters.half_character)):
        scale = np.exp2(days / half_life[locus]) * weight
        found[f"for_{name}"] = evidence["towards"][row] * scale
        found[f"against_{name}"] = evidence["against"][row] * scale
        found[f"squares_{name}"] = evidence["squared"][row] * scale * scale
    return added_up(evidence["key"][row], found)


def added_up(keys: Ints, rows: Rows) -> tuple[Ints, Rows]:
    """Sums of one key and gene as one row, ordered by both."""
    if not len(rows):
        return keys[:0], rows[:0]
    order = np.lexsort((rows["gene"], keys))
    keys, rows = keys[order], rows[order]
    gene = rows["gene"]
    starts = np.flatnonzero(np.concatenate([[True], (keys[1:] != keys[:-1]) | (gene[1:] != gene[:-1])]))
    result = rows[starts].copy()
    for name in SUMS.names or ():
        if name == "last":
            result[name] = np.maximum.reduceat(rows[name], starts)
        elif name not in ("gene", "locus"):
            result[name] = np.add.reduceat(rows[name], starts)
    return keys[starts], result


def _saturation(quantity: Floats, k: Floats) -> Floats:
    """q / (q + k); all of a weight where no quantity is said, nothing for a quantity of 0 or less."""
    with np.errstate(invalid="ignore", divide="ignore"):
        earned = quantity / (quantity + k)
    return np.where(np.isnan(quantity), 1.0, np.where(quantity > 0, earned, 0.0))


def _before(group: Ints, quantity: Floats) -> Floats:
    """The units of a group that lie before each line; lines are ordered by group."""
    if not len(group):
        return quantity
    running = np.cumsum(quantity) - quantity
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    sizes = np.diff(np.append(starts, len(group)))
    return np.asarray(running - np.repeat(running[starts], sizes))
