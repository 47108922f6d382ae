"""Does the genome find the taste? Affinities of a built mall beside the latent tastes that made it.

Evidence is given to the person who truly acted (the truth says who held the card, the phone, the browser), so that
this measures the mathematics of the genome and not the resolution of identities.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.stats import rankdata

from genome.errors import GenomeError
from genome.lake import layout, publish
from genome.lake.manifest import Manifest
from genome.settings import Settings
from genome.simulate.randomness import Floats, Ints
from genome.simulate.truth import Truth

BINS = ((1, 9), (10, 29), (30, 99), (100, 10**9), (1, 10**9))
"""Purchase lines of a person: by how much evidence the table is divided; the last is everybody."""

MEASURES = (
    "affinity, half-life 180 d",
    "affinity, half-life 28 d",
    "lines bought",
    "recency, frequency, money",
)


@dataclass(frozen=True)
class Row:
    """Mean Spearman correlation over the people of one amount of evidence."""

    at_least: int
    at_most: int
    people: int
    correlation: dict[str, float]
    error: dict[str, float]
    """Standard errors of `correlation`."""

    def cells(self) -> list[str]:
        """As tables show it: the span of lines, people, and a correlation for each of `MEASURES`."""
        span = f"{self.at_least}–{self.at_most}" if self.at_most < 10**6 else f"{self.at_least} and more"
        said = (f"{self.correlation[name]:.3f} ± {self.error[name]:.3f}" for name in MEASURES)
        return [span, f"{self.people:,}", *said]


def compare(settings: Settings, out: Path) -> list[Row]:
    """Correlate what a built mall says of each person's categories with the taste that made it.

    Args:
        settings: the installation that ingested and built the mall's files.
        out: the folder that `genome simulate` wrote.

    Raises:
        GenomeError: nothing is built yet.
    """
    truth = Truth(out)
    seen = _seen(settings, truth)
    people, tastes = _tastes(truth, seen.categories)
    lines = seen.sums(seen.is_line.astype(np.float64))
    now = seen.now
    scores = {
        MEASURES[0]: seen.sums(seen.net * np.exp2(-(now - seen.day) / 180.0)),
        MEASURES[1]: seen.sums(seen.net * np.exp2(-(now - seen.day) / 28.0)),
        MEASURES[2]: lines,
        MEASURES[3]: _rfm(seen, lines),
    }
    place = np.searchsorted(people, np.arange(len(lines)))
    known = np.isin(np.arange(len(lines)), people)
    count = lines.sum(axis=1)
    rows = []
    for least, most in BINS:
        chosen = np.flatnonzero(known & (count >= least) & (count <= most))
        if not len(chosen):
            continue
        ranks = rankdata(tastes[place[chosen]], axis=1)
        found = {name: _spearman(values[chosen], ranks) for name, values in scores.items()}
        rows.append(
            Row(
                least,
                most,
                len(chosen),
                {name: float(values.mean()) for name, values in found.items()},
                {name: float(values.std() / np.sqrt(len(values))) for name, values in found.items()},
            )
        )
    return rows


@dataclass(frozen=True)
class _Seen:
    """One row for each piece of evidence and category: whose, when, how much."""

    person: Ints
    category: Ints
    day: Floats
    net: Floats
    amount: Floats
    is_line: np.ndarray
    people: int
    categories: tuple[str, ...]
    now: float

    def sums(self, values: Floats) -> Floats:
        """(person, category) sums."""
        width = len(self.categories)
        flat = np.bincount(self.person * width + self.category, values, self.people * width)
        return flat.reshape(self.people, width).astype(np.float64)


def _seen(settings: Settings, truth: Truth) -> _Seen:
    publication = publish.current(settings, "genome")
    if publication is None:
        raise GenomeError("Nothing is published yet.", "Run `genome demo --data mall`.")
    actors = _actors(settings, truth)
    history = publication.read(
        "genome_history",
        columns=[
            *("interaction_id", "interaction_type", "takes_back_id", "product_id"),
            *("evidence_at", "evidence_for", "evidence_against"),
        ],
    ).join(actors, "interaction_id", join_type="inner")
    dna = publication.read(
        "dim_product_dna",
        columns=["product_id", "gene_id"],
        filters=[("locus_id", "=", "category")],
    )
    # A product's category does not change in a mall; its price tier does.
    dna = dna.group_by("product_id").aggregate([("gene_id", "max")])
    table = history.join(dna, "product_id", join_type="inner").combine_chunks()
    genes = table.column("gene_id_max").combine_chunks().dictionary_encode()
    day = table.column("evidence_at").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy() / 8.64e10
    line = pc.and_(pc.equal(table["interaction_type"], "Order Completed"), pc.is_null(table["takes_back_id"]))
    person = table.column("person_id").to_numpy().astype(np.int64)
    return _Seen(
        person=person,
        category=genes.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        day=day,
        net=table.column("evidence_for").to_numpy() - table.column("evidence_against").to_numpy(),
        amount=pc.fill_null(table.column("amount"), 0.0).to_numpy().astype(np.float64),
        is_line=line.to_numpy(),
        people=int(person.max()) + 1,
        categories=tuple(name.partition(":")[2] for name in genes.dictionary.to_pylist()),
        now=_days(settings.now) if settings.now else float(day.max()),
    )


def _actors(settings: Settings, truth: Truth) -> pa.Table:
    """interaction_id → person_id and amount: by session, else by the card that was shown, else by the key."""
    acted = pa.concat_tables(
        pq.read_table(
            path, columns=["interaction_id", "channel", "session_id", "customer_key", "product_id", "amount"]
        )
        for path in Manifest.read(settings, layout.INTERACTIONS).files()
    )
    acted = acted.filter(pc.is_valid(acted["product_id"])).drop_columns(["product_id"])
    acted = acted.set_column(
        acted.schema.get_field_index("amount"), "amount", acted["amount"].cast(pa.float64())
    )
    own = truth.read("identifiers")
    own = own.filter(pc.equal(own["relation"], "own")).select(["identifier", "person_id"])
    # A name that two people own (a phone handed on) says nothing about who acted.
    own = own.group_by("identifier").aggregate([("person_id", "min"), ("person_id", "max")])
    own = own.filter(pc.equal(own["person_id_min"], own["person_id_max"]))
    own = own.select(["identifier", "person_id_min"]).rename_columns(["identifier", "person_id"])
    owners = truth.read("owners").rename_columns(["channel", "session_id", "by_session"])
    shown = pa.concat_tables(
        pq.read_table(path, columns=["interaction_id", "identifier_type", "identifier"])
        for path in Manifest.read(settings, layout.INTERACTIONS).identifiers()
    )
    shown = shown.filter(pc.equal(shown["identifier_type"], "loyalty_card"))
    shown = shown.join(own, "identifier", join_type="inner").group_by("interaction_id")
    cards = shown.aggregate([("person_id", "min")]).rename_columns(["interaction_id", "by_card"])
    table = (
        acted.join(owners, ["channel", "session_id"])
        .join(cards, "interaction_id")
        .join(own.rename_columns(["customer_key", "by_key"]), "customer_key")
    )
    person = pc.coalesce(table["by_session"], table["by_card"], table["by_key"])
    found = pa.table(
        {"interaction_id": table["interaction_id"], "person_id": person, "amount": table["amount"]}
    )
    return found.filter(pc.is_valid(found["person_id"]))


def _tastes(truth: Truth, categories: tuple[str, ...]) -> tuple[Ints, Floats]:
    """People, ascending, and their shares of each category in the end."""
    table = truth.read("people", ["person_id", "categories", "category_share_end"]).sort_by("person_id")
    names = table["categories"][0].as_py()
    shares = np.stack(table["category_share_end"].to_numpy())
    where = {name: at for at, name in enumerate(names)}
    columns = [where.get(name, -1) for name in categories]
    chosen = np.where(np.array(columns) >= 0, shares[:, columns], 0.0)
    return table["person_id"].to_numpy().astype(np.int64), chosen


def _rfm(seen: _Seen, lines: Floats) -> Floats:
    """Mean of the ranks of recency, frequency and money among a person's categories."""
    last = np.full(lines.shape, -np.inf)
    np.maximum.at(last, (seen.person[seen.is_line], seen.category[seen.is_line]), seen.day[seen.is_line])
    money = seen.sums(np.where(seen.is_line, seen.amount, 0.0))
    ranks: Floats = sum(rankdata(values, axis=1) for values in (last, lines, money)) / 3
    return ranks


def _spearman(scores: Floats, truth_ranks: Floats) -> Floats:
    """By person: the correlation of ranks over categories; 0 where the scores do not differ."""
    own = rankdata(scores, axis=1)
    own = own - own.mean(axis=1, keepdims=True)
    other = truth_ranks - truth_ranks.mean(axis=1, keepdims=True)
    spread = np.sqrt((own**2).sum(axis=1) * (other**2).sum(axis=1))
    found: Floats = np.divide((own * other).sum(axis=1), spread, out=np.zeros(len(own)), where=spread > 0)
    return found


def _days(instant: datetime) -> float:
    return instant.timestamp() / 86_400
