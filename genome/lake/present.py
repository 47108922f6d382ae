"""What moves with the clock in a published table, and rows brought forward to a publication's cut-off.

A row stays as the build made it that last had a reason to. A *cut-off row* describes the customer at that build's
cut-off; at a later one it says: the same instants, counts and shares, sums that have faded by half for each half-life,
and lists without what has become too old. Rows of label times describe the past and stand. Which columns do what is
said in the dbt contract (`meta: {fades: …}`, `meta: {lasts: …}`); this module is the one place that does it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

VALID_AT: Final = "valid_at"
"""A table that has this column holds rows of label times, too."""
STAMPS: Final = (VALID_AT, "known_at", "as_of")
"""Columns that say of which instant a row is."""
_DAY: Final = 86_400_000_000
_UNIX_DAY: Final = date(1970, 1, 1)
_UNIX: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True)
class Lasts:
    """How long something is told.

    Attributes:
        days: so many, counting the cut-off's own.
        by: the list of days (since 1970) by which a list loses elements; None: the column is an instant, and the row
            goes.
    """

    days: int
    by: str | None = None


@dataclass(frozen=True)
class Fading:
    """What moves with the clock in one table, and up to when.

    Attributes:
        as_of: the cut-off, as ISO 8601.
        day: its date by the retailer's clock, in days since 1970.
        key: whose rows they are.
        stamps: the columns that say of which instant a row is.
        fades: column → half-life in days, or the column of the loci that holds the half-life of an element's gene.
        genes: the column of gene hashes that such columns are aligned with.
        lasts: column → how long it, or its row, is told.
    """

    as_of: str
    day: int
    key: str
    stamps: tuple[str, ...] = ()
    fades: Mapping[str, float | str] = field(default_factory=dict)
    genes: str | None = None
    lasts: Mapping[str, Lasts] = field(default_factory=dict)

    @staticmethod
    def at(as_of: str, timezone: str, key: str, **rules: Any) -> "Fading":
        """What moves up to a cut-off of a retailer's time zone."""
        local = datetime.fromisoformat(as_of).astimezone(ZoneInfo(timezone)).date()
        return Fading(as_of, (local - _UNIX_DAY).days, key, **rules)

    @staticmethod
    def read(document: Mapping[str, Any]) -> "Fading":
        """From the pointer."""
        lasts = {name: Lasts(**each) for name, each in document["lasts"].items()}
        return Fading(**{**document, "stamps": tuple(document["stamps"]), "lasts": lasts})

    def document(self) -> dict[str, Any]:
        """As the pointer holds it."""
        return {**asdict(self), "stamps": list(self.stamps)}

    @property
    def moving(self) -> frozenset[str]:
        """Columns that a reader sees otherwise than they were written."""
        lists = {name for name, each in self.lasts.items() if each.by}
        return frozenset(self.stamps) | self.fades.keys() | lists

    def needs(self, columns: Iterable[str]) -> tuple[str, ...]:
        """These columns, and those by which they move."""
        wanted = dict.fromkeys(columns)
        asked = tuple(wanted)
        if VALID_AT in self.stamps:
            wanted[VALID_AT] = None
        for name in asked:
            if name in self.fades:
                wanted |= dict.fromkeys(self.stamps[:1])
                if isinstance(self.fades[name], str) and self.genes is not None:
                    wanted[self.genes] = None
        for name, lasts in self.lasts.items():
            if lasts.by is None:
                wanted[name] = None
            elif name in asked:
                wanted[lasts.by] = None
        return tuple(wanted)

    def same_rules(self, other: "Fading") -> bool:
        """Whether both move in the same way, whenever they were made."""
        return replace(other, as_of=self.as_of, day=self.day) == self


@dataclass(frozen=True)
class HalfLives:
    """The half-life of every gene in one view of the past, short or long.

    Attributes:
        usual: days, of most genes.
        genes: gene hashes that have another, ascending.
        days: those others.
    """

    usual: float
    genes: npt.NDArray[np.int64]
    days: npt.NDArray[np.float64]

    @staticmethod
    def of_loci(genes: "pa.Table", loci: "pa.Table", column: str) -> "HalfLives":
        """From the genes (`gene_hash`, `locus_id`) and the loci with their half-lives."""
        import pyarrow as pa
        import pyarrow.compute as pc

        place = pc.index_in(genes.column("locus_id"), value_set=loci.column("locus_id").combine_chunks())
        days = loci.column(column).cast(pa.float64()).take(place).to_numpy()
        if not len(days):
            return HalfLives(1.0, np.empty(0, np.int64), np.empty(0, np.float64))
        values, counts = np.unique(days, return_counts=True)
        usual = float(values[np.argmax(counts)])
        hashes = genes.column("gene_hash").to_numpy().astype(np.int64)
        other = np.flatnonzero(days != usual)
        other = other[np.argsort(hashes[other])]
        return HalfLives(usual, hashes[other], days[other])

    def of(self, hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Of each of some genes."""
        found = np.full(len(hashes), self.usual)
        if len(self.genes):
            at = np.minimum(np.searchsorted(self.genes, hashes), len(self.genes) - 1)
            is_other = self.genes[at] == hashes
            found[is_other] = self.days[at[is_other]]
        return found


def micros(instant: str) -> int:
    """An instant in ISO 8601, in microseconds since 1970."""
    return (datetime.fromisoformat(instant) - _UNIX) // timedelta(microseconds=1)


def instants(column: "pa.ChunkedArray") -> npt.NDArray[np.int64]:
    """A column of instants without nulls, in microseconds since 1970."""
    import pyarrow as pa

    return np.asarray(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(), np.int64)


def forward(
    rows: "pa.Table", fading: Fading, half_lives: Callable[[str], HalfLives], moves: npt.NDArray[np.bool_]
) -> "pa.Table":
    """Rows as they are at the cut-off.

    Args:
        rows: with the columns that `Fading.needs` names; columns that are not there are not moved.
        fading: what moves, and up to when.
        half_lives: of the genes, by the column of the loci that holds them.
        moves: which rows are cut-off rows.
    """
    import pyarrow as pa

    now, there = micros(fading.as_of), set(rows.column_names)
    rows, moves = _without_old_rows(rows, fading, now, moves)
    first = next((name for name in fading.stamps if name in there), None)
    if not len(rows) or not moves.any():
        return rows
    # Lists are written from the lists that they are aligned with, as those were.
    changed: dict[str, pa.Array] = {}
    if first is not None:
        days = np.where(moves, (now - instants(rows.column(first))) / _DAY, 0.0)
        if days.any():
            for name in fading.fades.keys() & there:
                changed[name] = _faded(rows, name, fading, half_lives, days)
    for name, lasts in fading.lasts.items():
        if lasts.by is not None and name in there:
            changed[name] = _without_old_items(rows, name, lasts.by, fading.day + 1 - lasts.days, moves)
    for name in there.intersection(fading.stamps):
        stamps = np.where(moves, now, instants(rows.column(name)))
        changed[name] = pa.array(stamps, pa.timestamp("us", "UTC"))
    for name, values in changed.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), values.cast(rows.schema.field(at).type))
    return rows


def _without_old_rows(
    rows: "pa.Table", fading: Fading, now: int, moves: npt.NDArray[np.bool_]
) -> "tuple[pa.Table, npt.NDArray[np.bool_]]":
    import pyarrow as pa

    for name, lasts in fading.lasts.items():
        if lasts.by is None and len(rows):
            stays = ~moves | (now - instants(rows.column(name)) < lasts.days * _DAY)
            if not stays.all():
                rows, moves = rows.filter(pa.array(stays)), moves[stays]
    return rows, moves


def _faded(
    rows: "pa.Table",
    name: str,
    fading: Fading,
    half_lives: Callable[[str], HalfLives],
    days: npt.NDArray[np.float64],
) -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    column = rows.column(name).combine_chunks()
    half_life: str | float | npt.NDArray[np.float64] = fading.fades[name]
    is_list = pa.types.is_list(column.type)
    hashes = (
        rows.column(fading.genes).combine_chunks() if fading.genes and isinstance(half_life, str) else None
    )
    if is_list:
        days = np.repeat(days, _lengths(column))
        hashes = pc.list_flatten(hashes) if hashes is not None else None
    if isinstance(half_life, str):
        half_life = half_lives(half_life).of(np.asarray(hashes, np.int64))
    left = pa.array(np.exp2(-days / half_life))
    if not is_list:
        return pc.multiply(column, left)
    values = pc.multiply(pc.list_flatten(column).cast(pa.float64()), left)
    return _lists(column, values.cast(column.type.value_type), _lengths(column))


def _without_old_items(
    rows: "pa.Table", name: str, by: str, since: int, moves: npt.NDArray[np.bool_]
) -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    column, by_day = rows.column(name).combine_chunks(), rows.column(by).combine_chunks()
    lengths = _lengths(column)
    parents = np.repeat(np.arange(len(column)), lengths)
    stays = (pc.list_flatten(by_day).to_numpy(zero_copy_only=False) >= since) | ~moves[parents]
    if stays.all():
        return column
    values = pc.list_flatten(column).filter(pa.array(stays))
    return _lists(column, values, np.bincount(parents[stays], minlength=len(column)))


def _lengths(lists: "pa.Array") -> npt.NDArray[np.int64]:
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0), np.int64)


def _lists(like: "pa.Array", values: "pa.Array", lengths: npt.NDArray[np.int64]) -> "pa.Array":
    """Lists of these lengths, null where those of `like` are."""
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = like.is_null() if like.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=like.type, mask=mask)
