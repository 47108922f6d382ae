"""Segments: whom the typed rules of genome/rules describe, of everybody at once and of one customer as they are now.

Both read the same values: the published feature rows (`feat_customer_genome`, `feat_customer_traits`), a column for
each field that a rule asks for; and one customer's row of the online store, whose genes include what is live. A trait
`days_since_<name>` is the age of the instant `<name>_at`, computed on reading: it is stored nowhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from genome import clock
from genome.api.published import Catalogue, Published
from genome.errors import GenomeError, UsageError
from genome.lake import publish
from genome.rules.conditions import (
    AllOf,
    AnyOf,
    Column,
    Compare,
    Condition,
    Field,
    Not,
    column_of,
    compiled,
    mask,
)
from genome.rules.rules import SegmentRule, own_file, segments
from genome.settings import Settings

GENOME: Final = "feat_customer_genome"
TRAITS: Final = "feat_customer_traits"
MEASURES: Final = {
    "share_now": "shares_now",
    "share_character": "shares_character",
    "affinity_now": "affinities_now",
    "affinity_character": "affinities_character",
}
_SINCE: Final = "days_since_"
_DAY: Final = 86_400.0


@dataclass
class Population:
    """Everybody at the present cut-off, column by column.

    Attributes:
        customers: their ids, in the order of every column.
        now: the instant to which ages are counted.
        genes: gene_id → its hash, of all genes that there are.
        publication: what they were read from.
    """

    customers: pa.ChunkedArray
    now: datetime
    genes: Mapping[str, int]
    publication: publish.Publication
    _genome: pa.Table
    _traits: pa.Table
    _columns: dict[Field, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.customers)

    def members(self, where: Condition) -> npt.NDArray[np.bool_]:
        """Which of them satisfy a condition."""
        return mask(where, self.column, len(self))

    @property
    def as_of(self) -> datetime:
        """The cut-off that the rows describe."""
        found: datetime = pc.max(self._genome.column("valid_at")).as_py()
        return found

    def knowing(self, hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Of whom any of these genes has a share (a locus in which somebody revealed nothing has none)."""
        genes, parents = self._flat
        shares = pc.list_flatten(self._genome.column("shares_character")).to_numpy()
        found = np.zeros(len(self), bool)
        found[parents[np.isin(genes, hashes) & ~np.isnan(shares)]] = True
        return found

    def column(self, wanted: Field) -> Column:
        """A field's values for all of them, and which of them are there."""
        if wanted not in self._columns:
            self._columns[wanted] = self._gene(wanted) if wanted.kind == "gene" else self._trait(wanted.name)
        return self._columns[wanted]

    def _trait(self, name: str) -> Column:
        since = _instant_of(name)
        if (since or name) not in self._traits.column_names:
            raise UsageError(
                f"There is no trait '{name}'.",
                f"Traits are {', '.join(self._traits.column_names)}, and days_since_… of those that end in _at.",
            )
        if since is None:
            return column_of(self._traits.column(name))
        at = self._traits.column(since).cast(pa.timestamp("us", "UTC")).combine_chunks()
        there = ~at.is_null().to_numpy(zero_copy_only=False)
        micros = at.cast(pa.int64()).fill_null(0).to_numpy()
        return (round(self.now.timestamp() * 1e6) - micros) / (_DAY * 1e6), there

    def _gene(self, wanted: Field) -> Column:
        if wanted.measure == "trend":
            now, has_now = self._gene(Field("gene", wanted.name, "share_now"))
            character, has_character = self._gene(Field("gene", wanted.name, "share_character"))
            return now - character, has_now & has_character
        values = np.full(len(self), np.nan)
        gene = self.genes.get(wanted.name)
        if gene is not None:
            hashes, parents = self._flat
            at = np.flatnonzero(hashes == gene)
            flat = pc.list_flatten(self._genome.column(MEASURES[wanted.measure]))
            values[parents[at]] = flat.take(pa.array(at)).to_numpy().astype(np.float64)
        return values, ~np.isnan(values)

    @cached_property
    def _flat(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The hashes of all genes of all people, and whose each is."""
        lists = self._genome.column("gene_hashes").combine_chunks()
        return (
            np.asarray(pc.list_flatten(lists), np.int64),
            np.asarray(pc.list_parent_indices(lists), np.int64),
        )


def read(settings: Settings, catalogue: Catalogue) -> Population:
    """Everybody of the current publication.

    Raises:
        GenomeError: nothing is published yet.
    """
    current = publish.current(settings, "genome")
    if current is None:
        raise GenomeError("Nothing is published yet.", "Run `genome build`, or `make demo`.")
    columns = ["customer_id", "valid_at", "gene_hashes", *MEASURES.values()]
    genome = _present(current.read(GENOME, columns))
    traits = _present(current.read(TRAITS))
    # Aligned by customer; who has no row of traits has none of them.
    traits = (
        genome.select(["customer_id"])
        .append_column("place", pa.array(np.arange(len(genome))))
        .join(traits.drop_columns(["valid_at", "known_at"]), "customer_id", join_type="left outer")
        .sort_by("place")
    )
    genes = dict(zip(catalogue.gene_ids, catalogue.index.hashes.tolist(), strict=True))
    return Population(
        genome.column("customer_id"),
        clock.now(settings),
        genes,
        current,
        genome,
        traits.drop_columns(["customer_id", "place"]),
    )


def _present(table: pa.Table) -> pa.Table:
    """The rows of the cut-off, without those of label times."""
    newest = pc.max(table.column("valid_at"))
    return table.filter(pc.equal(table.column("valid_at"), newest))


def facts(values: Mapping[str, Any], genes: Mapping[str, int], wanted: Sequence[Field], now: datetime) -> Any:
    """One customer's row of the online store as the facts that conditions ask for.

    Args:
        values: the row: traits by name, genes as aligned lists.
        genes: gene_id → its hash.
        wanted: the fields that are asked for; others are left out.
        now: the instant to which ages are counted.
    """
    traits: dict[str, Any] = {}
    found: dict[str, dict[str, float]] = {}
    hashes = np.asarray(values.get("gene_hashes") if values.get("gene_hashes") is not None else [], np.int64)
    for each in wanted:
        if each.kind == "trait":
            since = _instant_of(each.name)
            value = values.get(since or each.name)
            if since is not None and value is not None:
                value = (now - value).total_seconds() / _DAY
            traits[each.name] = value
        elif each.kind == "gene" and each.name in genes:
            (at,) = np.nonzero(hashes == genes[each.name])
            if len(at):
                measures = {name: float(values[column][at[0]]) for name, column in MEASURES.items()}
                measures["trend"] = measures["share_now"] - measures["share_character"]
                found[each.name] = measures
    return {"trait": traits, "gene": found}


def segments_of(
    rules: Sequence[SegmentRule], values: Mapping[str, Any], genes: Mapping[str, int], now: datetime
) -> tuple[str, ...]:
    """The segments that one customer's row is in, in the rules' order."""
    wanted = [each for rule in rules for each in fields_of(rule.where)]
    told = facts(values, genes, wanted, now)
    return tuple(rule.id for rule in rules if compiled(rule.where)(told))


def fields_of(where: Condition) -> Iterator[Field]:
    """Every field that a condition asks for."""
    match where:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from fields_of(part)
        case Not(part):
            yield from fields_of(part)
        case Compare():
            yield where.field


@dataclass(frozen=True)
class Size:
    """One segment and how many it describes."""

    rule: SegmentRule
    members: int
    share: float


def sizes(settings: Settings) -> tuple[Size, ...]:
    """Every segment in force, with its size."""
    people = read(settings, Published(settings).catalogue())
    found = []
    for rule in segments(own_file(settings, "segments")):
        count = int(people.members(rule.where).sum())
        found.append(Size(rule, count, count / len(people) if len(people) else 0.0))
    return tuple(found)


def members(settings: Settings, segment: str) -> list[str]:
    """Whom a segment describes, by id.

    Raises:
        UsageError: there is no such segment.
    """
    rule = named(settings, segment)
    people = read(settings, Published(settings).catalogue())
    return sorted(people.customers.filter(pa.array(people.members(rule.where))).to_pylist())


def named(settings: Settings, segment: str) -> SegmentRule:
    """The segment rule of that name.

    Raises:
        UsageError: there is none.
    """
    rules = segments(own_file(settings, "segments"))
    found = next((rule for rule in rules if rule.id == segment), None)
    if found is None:
        raise UsageError(
            f"There is no segment '{segment}'.", f"Choose one of {', '.join(r.id for r in rules)}."
        )
    return found


def _instant_of(trait: str) -> str | None:
    """The instant whose age a trait is; None of every other trait."""
    return f"{trait.removeprefix(_SINCE)}_at" if trait.startswith(_SINCE) else None
