"""The genome of one customer at any time, as it was known at any later time.

`lake/genome_history/` holds every piece of evidence with the time from which it counts (valid time) and the time
at which the platform could know it (known time). A state is a sum over the rows before both, times the product
DNA that held when the evidence was given; so no state is stored, none is ever changed, and a backfill moves only
what is asked for with a known time behind it. Pure NumPy over one customer's rows; the definitions are those of
`dbt_project/models/genome`, and a test holds this against what dbt says of the cut-off.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, Field

from genome.api.published import Catalogue, Singular
from genome.customers.view import Frozen, GeneView, LocusView, build
from genome.errors import GenomeError, UsageError
from genome.lake import publish
from genome.lake.publish import Publication
from genome.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_DAY = 86_400_000_000.0
_FOREVER = np.iinfo(np.int64).max
_QUIET = timedelta(days=45)
"""A gene that fades has stopped when its last evidence is older than this."""


@dataclass(frozen=True)
class Pieces:
    """Evidence × product DNA of one customer: one row for each piece and gene, ordered by time.

    Attributes:
        gene: gene_hash.
        locus: locus_number.
        at: valid time, microseconds since 1970.
        known: known time, likewise.
        towards: evidence for, times the gene's weight.
        against: the same, against.
        squared: the square of both.
        count: 1, or −1 where all of it is taken back, or 0.
        row: which row of `evidence` it comes from.
        key: which of the customer's source keys it came under, as a place in `Membership.key`'s names.
        evidence: interaction_id, takes_back_id, interaction_type, channel and product_id of the pieces.
    """

    gene: Ints
    locus: Ints
    at: Ints
    known: Ints
    towards: Floats
    against: Floats
    squared: Floats
    count: Ints
    row: Ints
    key: Ints
    evidence: "pa.Table"


@dataclass(frozen=True)
class Membership:
    """When a source key was believed to be the customer's: microseconds since 1970, half-open.

    Attributes:
        names: the source keys that ever were.
        key: of each belief, which of them.
        since: from when on it was believed.
        until: until when.
    """

    names: tuple[str, ...]
    key: Ints
    since: Ints
    until: Ints

    def at(self, known: int) -> npt.NDArray[np.bool_]:
        """Of each source key, whether it was believed to be the customer's at a known time."""
        found = np.zeros(len(self.names), bool)
        found[self.key[(self.since <= known) & (known < self.until)]] = True
        return found


@dataclass(frozen=True)
class Parameters:
    """Half-lives in days by locus number, and what distinctiveness rests on."""

    half_life_now: dict[int, float]
    half_life_character: dict[int, float]
    prior: float


@dataclass(frozen=True)
class State:
    """The genes that a customer had, one row each, ordered by gene_hash.

    Attributes:
        gene: gene_hash.
        locus: locus_number.
        affinity_now: Σ (for − against), decayed with the short half-life.
        affinity_character: the same, long half-life.
        share_now: of its locus; nan where the locus' total is 0.
        share_character: the same, long half-life.
        evidence: Σe, for and against, long half-life.
        squares: Σe², likewise.
        first: valid time of the first evidence, microseconds since 1970.
        last: of the last.
    """

    gene: Ints
    locus: Ints
    affinity_now: Floats
    affinity_character: Floats
    share_now: Floats
    share_character: Floats
    evidence: Floats
    squares: Floats
    first: Ints
    last: Ints

    @property
    def confidence(self) -> Floats:
        """(Σe)²/Σe²."""
        return _ratio(self.evidence**2, self.squares)


class PastGenome(Frozen):
    """A genome at a time. It depends on nothing that became known after `known_at`."""

    customer_id: str
    as_of: AwareDatetime = Field(description="valid time: interactions before it count")
    known_at: AwareDatetime = Field(description="known time: only what was known before it")
    loci: tuple[LocusView, ...]
    distinctive: tuple[GeneView, ...]


class Contribution(Frozen):
    """One interaction behind an affinity."""

    occurred_at: AwareDatetime = Field(description="from when on it counts")
    known_at: AwareDatetime
    interaction_id: str
    interaction_type: str
    channel: str | None
    product_id: str
    product: str = Field(description="what people call it")
    takes_back: str | None = Field(description="the interaction whose evidence a refund takes back")
    evidence: float = Field(description="for minus against, when it was given")
    now: float = Field(description="what is left of it by the short half-life")
    character: float = Field(description="what is left of it by the long half-life")


class Why(Frozen):
    """An affinity and the interactions that it is made of; they add up to it."""

    customer_id: str
    gene_id: str
    label: str
    as_of: AwareDatetime
    known_at: AwareDatetime
    affinity_now: float
    affinity_character: float
    share_now: float | None
    share_character: float | None
    confidence: float | None
    by_channel: dict[str, float] = Field(description="evidence left by the long half-life, by channel")
    contributions: tuple[Contribution, ...] = Field(description="the heaviest first, by the long half-life")


class Change(Frozen):
    """What became of one gene between two times."""

    gene_id: str
    locus_id: str
    label: str
    kind: str = Field(description="new, rising, falling, or gone")
    share_before: float | None
    share_after: float | None
    since: date = Field(description="of a new gene its first evidence; of one that fades its last")
    in_words: str


class Diff(Frozen):
    """How a genome changed from one time to another."""

    customer_id: str
    before: AwareDatetime
    after: AwareDatetime
    known_at: AwareDatetime
    changes: tuple[Change, ...] = Field(description="the largest first, by the change of the share")


def instant(settings: Settings, text: str) -> datetime:
    """A time as people write it: a date is its first moment on the retailer's clock.

    Raises:
        UsageError: it is no time.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"'{text}' is no time.", "Write 2017-07-01, or 2017-07-01T12:00 with +02:00 or Z behind it."
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(settings.business_timezone))).astimezone(
        UTC
    )


class Course(Frozen):
    """How the strongest genes of a locus went, and which channels the evidence came through."""

    locus_id: str
    months: tuple[date, ...] = Field(description="first days of months, the last one is the present")
    shares: dict[str, tuple[float | None, ...]] = Field(description="label → share over months, at each")
    channels: dict[str, float] = Field(description="what is left of the evidence, by channel, adding up to 1")


class History:
    """One customer's history, read once from the current publication."""

    def __init__(self, settings: Settings, catalogue: Catalogue, customer_id: str) -> None:
        """Read it.

        Raises:
            GenomeError: nothing is published yet, or nobody of this id has evidence.
        """
        publication = publish.current(settings, "genome")
        if publication is None:
            raise GenomeError("Nothing is published yet.", "Run `genome build`, or `make demo`.")
        self.customer_id = customer_id
        self._zone = ZoneInfo(settings.business_timezone)
        self._publication = publication
        self._catalogue = catalogue
        self.parameters = _parameters(publication)
        self.membership = _membership(publication, customer_id)
        self.pieces = _read(publication, self.membership)

    def state(self, as_of: datetime, known_at: datetime) -> State:
        """The genes at `as_of`, from what was known before `known_at`."""
        mine, at = self._chosen(as_of, known_at), _micros(as_of)
        pieces = self.pieces
        genes, place = np.unique(pieces.gene[mine], return_inverse=True)

        def total(values: Floats | Ints) -> Floats:
            return np.bincount(place, values, len(genes)).astype(np.float64)

        locus = np.zeros(len(genes), np.int64)
        locus[place] = pieces.locus[mine]
        now, character = self._decay(mine, at)
        towards, against = pieces.towards[mine], pieces.against[mine]
        count = np.rint(total(pieces.count[mine])).astype(np.int64)
        first = np.full(len(genes), _FOREVER, np.int64)
        np.minimum.at(first, place, pieces.at[mine])
        last = np.zeros(len(genes), np.int64)
        np.maximum.at(last, place, pieces.at[mine])
        # Where all evidence was taken back, what is left of the sums is rounding: no evidence, no gene.
        kept = count > 0
        affinity_now = total((towards - against) * now)[kept]
        affinity_character = total((towards - against) * character)[kept]
        evidence = total((towards + against) * character)[kept]
        squares = total(pieces.squared[mine] * character**2)[kept]
        genes, locus, first, last = genes[kept], locus[kept], first[kept], last[kept]
        return State(
            gene=genes,
            locus=locus,
            affinity_now=affinity_now,
            affinity_character=affinity_character,
            share_now=_shares(affinity_now, locus),
            share_character=_shares(affinity_character, locus),
            evidence=evidence,
            squares=squares,
            first=first,
            last=last,
        )

    def genome(self, as_of: datetime, known_at: datetime, *, by_locus: int = 8) -> PastGenome:
        """The state for people: strongest genes by locus, and what was singular."""
        state = self.state(as_of, known_at)
        singular = {
            int(gene): Singular(_number(confidence), _number(z))
            for gene, confidence, z in zip(
                state.gene,
                state.confidence,
                self.distinctiveness(state, min(as_of, known_at)),
                strict=True,
            )
        }
        seen = build(
            self._catalogue,
            self.customer_id,
            {
                "gene_hashes": state.gene,
                "shares_now": state.share_now,
                "shares_character": state.share_character,
                "last_at_days": (state.last // _DAY).astype(np.int64),
            },
            singular,
            as_of=as_of,
            now=as_of,
            by_locus=by_locus,
        )
        return PastGenome(
            customer_id=self.customer_id,
            as_of=as_of,
            known_at=known_at,
            loci=seen.loci,
            distinctive=seen.distinctive,
        )

    def course(
        self, now: datetime, *, locus_id: str = "category", months: int = 13, genes: int = 6
    ) -> Course | None:
        """Shares of the presently strongest genes of a locus when each of the last months began, and now.

        Known time is now throughout: it is what we know today about then. None where nothing was revealed.
        """
        numbers = {each: number for number, each in enumerate(self._catalogue.index.locus_ids)}
        pieces = self.pieces
        if locus_id not in numbers:
            return None
        known = self._catalogue.index.positions(pieces.gene)
        mine = (known >= 0) & (self._catalogue.index.loci[np.maximum(known, 0)] == numbers[locus_id])
        mine &= (pieces.known < _micros(now)) & self.membership.at(_micros(now))[pieces.key]
        if not mine.any():
            return None
        names, place = np.unique(pieces.gene[mine], return_inverse=True)
        net, at, locus = (pieces.towards - pieces.against)[mine], pieces.at[mine], pieces.locus[mine]
        half_life = _by_locus(self.parameters.half_life_character, locus)

        def shares(when: datetime) -> Floats:
            past = at < _micros(when)
            left = net[past] * np.exp2(-(_micros(when) - at[past]) / _DAY / half_life[past])
            sums = np.maximum(np.bincount(place[past], left, len(names)), 0.0)
            # A rounding error of a gene that was taken back is no share.
            sums[sums < 1e-12] = 0.0
            return _ratio(sums, np.full(len(names), sums.sum()))

        first = now.astimezone(self._zone).date().replace(day=1)
        begins = [first]
        while len(begins) < months - 1:
            begins.append((begins[-1] - timedelta(days=1)).replace(day=1))
        begins.reverse()
        instants = [datetime(day.year, day.month, 1, tzinfo=self._zone) for day in begins]
        table = np.array([shares(when) for when in (*instants, now)])
        best = np.argsort(-np.nan_to_num(table[-1]), kind="stable")[:genes]
        labels = {
            self._catalogue.labels[int(self._catalogue.index.positions(names[gene : gene + 1])[0])]: tuple(
                _number(value) for value in table[:, gene].tolist()
            )
            for gene in best
            if table[-1][gene] > 0
        }
        left = np.abs(net) * np.exp2(-(_micros(now) - at) / _DAY / half_life)
        channel = pieces.evidence.column("channel").take(pieces.row[mine]).to_pylist()
        sums: dict[str, float] = {}
        for name in dict.fromkeys(channel):
            held = np.array([each == name for each in channel])
            sums[name or "unknown"] = float(left[held].sum() / left.sum())
        return Course(
            locus_id=locus_id,
            months=(*begins, now.astimezone(self._zone).date()),
            shares=labels,
            channels=dict(sorted(sums.items(), key=lambda item: -item[1])),
        )

    def why(self, gene_id: str, as_of: datetime, known_at: datetime) -> Why:
        """The interactions behind an affinity, with what is left of each.

        Raises:
            UsageError: there is no such gene, or the customer never showed it.
        """
        at = self._places.get(gene_id)
        if at is None:
            raise UsageError(
                f"There is no gene '{gene_id}'.", "A gene is <locus>:<allele>, as `genome show --json` lists."
            )
        gene_hash = int(self._catalogue.index.hashes[at])
        mine = self._chosen(as_of, known_at)
        mine &= self.pieces.gene == gene_hash
        if not mine.any():
            raise UsageError(
                f"{self.customer_id} had shown no evidence of '{gene_id}' by then.",
                "`genome show` lists the genes that there are.",
            )
        pieces = self.pieces
        now, character = self._decay(mine, _micros(as_of))
        net = pieces.towards[mine] - pieces.against[mine]
        order = np.argsort(-np.abs(net * character), kind="stable")
        rows = pieces.evidence.take(pieces.row[mine][order]).to_pylist()
        contributions = tuple(
            Contribution(
                occurred_at=_instant(at),
                known_at=_instant(known),
                interaction_id=row["interaction_id"],
                interaction_type=row["interaction_type"],
                channel=row["channel"],
                product_id=row["product_id"],
                product=self._label(
                    f"product:{row['product_id']}", self._label(row["product_id"], row["product_id"])
                ),
                takes_back=row["takes_back_id"],
                evidence=evidence,
                now=left_now,
                character=left,
            )
            for row, at, known, evidence, left_now, left in zip(
                rows,
                pieces.at[mine][order].tolist(),
                pieces.known[mine][order].tolist(),
                net[order].tolist(),
                (net * now)[order].tolist(),
                (net * character)[order].tolist(),
                strict=True,
            )
        )
        by_channel: dict[str, float] = {}
        for each in contributions:
            name = each.channel or "unknown"
            by_channel[name] = by_channel.get(name, 0.0) + each.character
        state = self.state(as_of, known_at)
        place = np.flatnonzero(state.gene == gene_hash)
        return Why(
            customer_id=self.customer_id,
            gene_id=gene_id,
            label=self._label(gene_id, gene_id),
            as_of=as_of,
            known_at=known_at,
            affinity_now=float((net * now).sum()),
            affinity_character=float((net * character).sum()),
            share_now=_number(state.share_now[place[0]]) if len(place) else None,
            share_character=_number(state.share_character[place[0]]) if len(place) else None,
            confidence=_number(state.confidence[place[0]]) if len(place) else None,
            by_channel=dict(sorted(by_channel.items(), key=lambda item: -abs(item[1]))),
            contributions=contributions,
        )

    def diff(self, before: datetime, after: datetime, known_at: datetime, *, least: float = 0.01) -> Diff:
        """What changed between two times, in words.

        Args:
            before: the earlier time.
            after: the later one.
            known_at: for both: only what was known before it.
            least: changes of a share below it are left out.

        Raises:
            UsageError: `before` is not the earlier.
        """
        if before >= after:
            raise UsageError(
                f"{before.isoformat()} is not before {after.isoformat()}.", "Give the earlier time first."
            )
        old, new = self.state(before, known_at), self.state(after, known_at)
        genes = np.union1d(old.gene, new.gene)
        shares = [_aligned(genes, each.gene, each.share_character) for each in (old, new)]
        first = _aligned(genes, new.gene, new.first.astype(np.float64))
        last = _aligned(genes, new.gene, new.last.astype(np.float64))
        moved = np.nan_to_num(shares[1]) - np.nan_to_num(shares[0])
        positions = self._catalogue.index.positions(genes)
        changes = []
        for place in np.argsort(-np.abs(moved), kind="stable"):
            if abs(moved[place]) < least or positions[place] < 0:
                continue
            changes.append(
                self._change(
                    int(positions[place]),
                    _number(shares[0][place]),
                    _number(shares[1][place]),
                    _number(first[place]),
                    _number(last[place]),
                    before,
                    after,
                )
            )
        return Diff(
            customer_id=self.customer_id,
            before=before,
            after=after,
            known_at=known_at,
            changes=tuple(changes),
        )

    def _change(
        self,
        at: int,
        share_before: float | None,
        share_after: float | None,
        first: float | None,
        last: float | None,
        before: datetime,
        after: datetime,
    ) -> Change:
        label = self._catalogue.labels[at]
        locus = self._catalogue.index.locus_ids[int(self._catalogue.index.loci[at])]
        began = _instant(int(first)) if first is not None else before
        ended = _instant(int(last)) if last is not None else before
        percent = f"{share_before or 0.0:.1%} → {share_after or 0.0:.1%}"
        if not share_before and began >= before:
            kind, since, words = "new", began, f"new in {_month(began, self._zone)} ({share_after:.1%})"
        elif not share_after:
            kind, since, words = "gone", ended, f"gone since {_month(ended, self._zone)} ({percent})"
        elif (share_after or 0.0) > (share_before or 0.0):
            kind, since, words = "rising", began, f"rising ({percent})"
        else:
            kind, since = "falling", ended
            quiet = after - ended > _QUIET
            words = f"fading{f' since {_month(ended, self._zone)}' if quiet else ''} ({percent})"
        return Change(
            gene_id=self._catalogue.gene_ids[at],
            locus_id=locus,
            label=label,
            kind=kind,
            share_before=share_before,
            share_after=share_after,
            since=since.astimezone(self._zone).date(),
            in_words=f"{label}: {words}",
        )

    def _chosen(self, as_of: datetime, known_at: datetime) -> npt.NDArray[np.bool_]:
        known = _micros(known_at)
        mine = (self.pieces.at < _micros(as_of)) & (self.pieces.known < known)
        return np.asarray(mine & self.membership.at(known)[self.pieces.key])

    def _decay(self, mine: npt.NDArray[np.bool_], at: int) -> tuple[Floats, Floats]:
        """What is left of each chosen piece at a time, by the two half-lives."""
        days = (at - self.pieces.at[mine]) / _DAY
        loci = self.pieces.locus[mine]
        now = _by_locus(self.parameters.half_life_now, loci)
        character = _by_locus(self.parameters.half_life_character, loci)
        return np.exp2(-days / now), np.exp2(-days / character)

    def _label(self, gene_id: str, otherwise: str) -> str:
        at = self._places.get(gene_id)
        return otherwise if at is None else self._catalogue.labels[at]

    @cached_property
    def _places(self) -> dict[str, int]:
        """gene_id → its place in the catalogue."""
        return {name: at for at, name in enumerate(self._catalogue.gene_ids)}

    def distinctiveness(self, state: State, known_at: datetime) -> Floats:
        """Log-odds against the population of the month, as z-scores (Monroe et al. 2008); nan where there is none."""
        month = known_at.astimezone(self._zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        people = _population(self._publication, month)
        genes, locus, share = state.gene, state.locus, state.share_character
        prior = self.parameters.prior
        own_total = _sums_of(state.evidence, locus) ** 2 / _sums_of(state.squares, locus)
        everybody = np.array([people.evidence.get(int(each), np.nan) for each in locus])
        sizes = np.array([people.genes.get(int(each), 0) for each in locus], np.float64)
        at = np.searchsorted(people.gene, genes)
        at = np.minimum(at, max(0, len(people.gene) - 1))
        known_gene = people.gene[at] == genes if len(people.gene) else np.zeros(len(genes), bool)
        theirs = np.where(known_gene, people.share[at] if len(people.gene) else 0.0, 0.0) * everybody
        # Genes that nobody had chosen before get one imagined choice each, or their prior would be 0.
        prior_count = (theirs + 1) / (everybody + sizes) * prior
        own_with = share * own_total + prior_count
        own_without = own_total + prior - own_with
        all_with = theirs + prior_count
        all_without = everybody + prior - all_with
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (np.log(own_with / own_without) - np.log(all_with / all_without)) / np.sqrt(
                1 / own_with + 1 / own_without + 1 / all_with + 1 / all_without
            )
        # Where a locus has one gene only, nothing can be distinct in it.
        # Rounded, because an engine adds up a population in any order: the last digits are not knowledge, and a
        # state that is asked for again must be the same to the byte.
        sayable = (own_without > 1e-9) & (all_without > 1e-9)
        return np.asarray(np.round(np.where(sayable, z, np.nan), 6), dtype=np.float64)


@dataclass(frozen=True)
class _Population:
    """Shares of everybody before a month: gene_hash ascending, evidence and number of genes by locus."""

    gene: Ints
    share: Floats
    evidence: dict[int, float]
    genes: dict[int, int]


def _population(publication: Publication, month: datetime) -> _Population:
    months = publication.read("gene_months", filters=[("month_date", "<", month.date())])
    gene, place = np.unique(months.column("gene_hash").to_numpy(), return_inverse=True)

    size = len(gene)

    def total(name: str) -> Floats:
        return np.bincount(place, months.column(name).to_numpy(), size).astype(np.float64)

    locus = np.zeros(len(gene), np.int64)
    locus[place] = months.column("locus_number").to_numpy()
    # What was taken back of everybody was chosen by nobody.
    chosen = total("evidence_count") > 0
    gene, locus = gene[chosen], locus[chosen]
    towards, against, squares = (
        total(name)[chosen] for name in ("for_character", "against_character", "squares_character")
    )
    loci, counts = np.unique(locus, return_counts=True)
    evidence = {
        int(each): float((towards + against)[locus == each].sum() ** 2 / squares[locus == each].sum())
        for each in loci
    }
    share = np.nan_to_num(_shares(towards - against, locus))
    return _Population(gene, share, evidence, dict(zip(loci.tolist(), counts.tolist(), strict=True)))


def _loci(publication: Publication) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = publication.read("loci").to_pylist()
    return rows


def _parameters(publication: Publication) -> Parameters:
    loci = _loci(publication)
    numbers = publication.read("genome_parameters").to_pylist()[0]
    return Parameters(
        half_life_now={row["locus_number"]: float(row["half_life_now_days"]) for row in loci},
        half_life_character={row["locus_number"]: float(row["half_life_character_days"]) for row in loci},
        prior=float(numbers["distinctiveness_prior"]),
    )


def _membership(publication: Publication, customer_id: str) -> Membership:
    keys = publication.read(
        "fct_customer_keys", ["source_key", "known_at", "known_to"], [("customer_id", "=", customer_id)]
    ).sort_by([("source_key", "ascending"), ("known_at", "ascending")])
    if not keys.num_rows:
        raise GenomeError(
            f"Nobody is called '{customer_id}' in what is published.",
            "Look for the customer with GET /v1/customers?identifier=…",
        )
    names = keys.column("source_key").combine_chunks().dictionary_encode()
    return Membership(
        names=tuple(names.dictionary.to_pylist()),
        key=names.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        since=_column(keys, "known_at"),
        until=_column(keys, "known_to"),
    )


def _read(publication: Publication, membership: Membership) -> Pieces:
    import pyarrow as pa
    import pyarrow.compute as pc

    evidence = publication.read(
        "genome_history", filters=[("source_key", "in", list(membership.names))]
    ).sort_by([(name, "ascending") for name in ("evidence_at", "interaction_id", "takes_back_id")])
    key = pc.index_in(evidence.column("source_key"), value_set=pa.array(membership.names, pa.string()))
    products = evidence.column("product_id").combine_chunks().dictionary_encode()
    dna = publication.read(
        "dim_product_dna",
        columns=["product_id", "gene_hash", "locus_id", "weight", "valid_from", "valid_to"],
        filters=pc.field("product_id").isin(products.dictionary.cast(pa.string())),
    )
    numbers = {row["locus_id"]: row["locus_number"] for row in _loci(publication)}
    place = {name: at for at, name in enumerate(products.dictionary.to_pylist())}
    dna_product = np.array([place[name] for name in dna.column("product_id").to_pylist()], np.int64)
    order = np.argsort(dna_product, kind="stable")
    starts = np.searchsorted(dna_product[order], np.arange(len(place) + 1))
    # Each piece meets every version of its product's genes; those that held at its time are kept.
    codes = products.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    lengths = starts[codes + 1] - starts[codes]
    row = np.repeat(np.arange(len(codes)), lengths)
    within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    match = order[np.repeat(starts[codes], lengths) + within]
    at = _column(evidence, "evidence_at")
    since, until = _column(dna, "valid_from"), _column(dna, "valid_to")
    holds = (at[row] >= since[match]) & (at[row] < until[match])
    row, match = row[holds], match[holds]
    weight = dna.column("weight").to_numpy()[match]
    loci = np.array([numbers[name] for name in dna.column("locus_id").to_pylist()], np.int64)
    return Pieces(
        gene=dna.column("gene_hash").to_numpy()[match],
        locus=loci[match],
        at=at[row],
        known=_column(evidence, "available_at")[row],
        towards=evidence.column("evidence_for").to_numpy()[row] * weight,
        against=evidence.column("evidence_against").to_numpy()[row] * weight,
        squared=evidence.column("evidence_squared").to_numpy()[row] * weight**2,
        count=evidence.column("evidence_count").to_numpy()[row].astype(np.int64),
        row=row,
        key=key.combine_chunks().to_numpy(zero_copy_only=False).astype(np.int64)[row],
        evidence=evidence.select(
            ["interaction_id", "takes_back_id", "interaction_type", "channel", "product_id"]
        ),
    )


def _column(table: "pa.Table", name: str) -> Ints:
    """Instants in microseconds since 1970; a null is for ever."""
    import pyarrow as pa
    import pyarrow.compute as pc

    micros = pc.fill_null(table.column(name).cast(pa.timestamp("us", "UTC")).cast(pa.int64()), _FOREVER)
    found: Ints = micros.to_numpy()
    return found


def _shares(values: Floats, locus: Ints) -> Floats:
    """What is positive, over its locus' total; nan where that is 0."""
    positive = np.maximum(values, 0.0)
    return _ratio(positive, _sums_of(positive, locus))


def _sums_of(values: Floats, locus: Ints) -> Floats:
    """The sum of each row's locus."""
    if not len(locus):
        return values
    return np.bincount(locus, values, int(locus.max()) + 1).astype(np.float64)[locus]


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below != 0)


def _by_locus(values: dict[int, float], locus: Ints) -> Floats:
    table = np.zeros(max(values) + 1)
    table[list(values)] = list(values.values())
    found: Floats = table[locus]
    return found


def _aligned(genes: Ints, own: Ints, values: Floats) -> Floats:
    found = np.full(len(genes), np.nan)
    found[np.searchsorted(genes, own)] = values
    return found


def _number(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _micros(instant: datetime) -> int:
    return round((instant - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def _instant(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def _month(instant: datetime, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%B %Y}"
