"""Clusters of genomes: groups of customers who choose alike, named by what is most distinctive of each.

A customer is a point by the shares of one locus: their square roots, so that the distance between two customers is
Hellinger's, in which a gene of 1 % counts beside one of 20 %. The points are brought to a few dimensions (truncated
SVD) and grouped by mini-batch k-means, all with fixed seeds.

How many clusters there are is not known; it is chosen by stability (after Lange, Roth, Braun and Buhmann 2004,
"Stability-based validation of clustering solutions"): everybody is split into two random halves, each half is
clustered by itself, and both results are used to name everybody. What is really there is found in both. Of the
numbers of clusters the one with the highest agreement (mean adjusted Rand index) is taken.

A name quotes the genes that tell the cluster from everybody else: z-scores of log-odds with an informative Dirichlet
prior (Monroe et al. 2008), as distinctiveness is for one customer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, Field

from genome.api.published import Catalogue
from genome.customers import segments
from genome.customers.view import Frozen
from genome.errors import UsageError
from genome.settings import Settings

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NUMBERS = tuple(range(3, 13))
"""So many clusters are tried."""
SPLITS = 8
"""Pairs of random halves for each number."""
DIMENSIONS = 16
QUOTED = 3
LEAST = 2.0
"""A gene of a smaller z-score names nothing: by chance alone one in forty would have it."""
HEAVY = 50.0
"""Nobody's choices count for more than so many pieces of evidence: else the heaviest buyers name a cluster."""
FEWEST_GENES = 5
"""Whoever shows fewer genes of the locus belongs to no cluster: there is too little to tell by."""


class Distinctive(Frozen):
    """A gene that tells a cluster from everybody else."""

    gene_id: str
    label: str
    z: float = Field(description="of the log-odds against all others")
    share: float = Field(description="mean share in the cluster")
    others: float = Field(description="mean share of all others")


class Cluster(Frozen):
    """Customers who choose alike."""

    name: str
    customers: int
    part: float = Field(description="of all that were grouped")
    genes: tuple[Distinctive, ...] = Field(description="the most distinctive ones first")


class Tried(Frozen):
    """How stable a number of clusters was."""

    number: int
    agreement: float = Field(description="adjusted Rand index of two halves, mean over the splits")
    spread: float = Field(description="its standard deviation")


class Clusters(Frozen):
    """The clusters of one publication."""

    locus_id: str
    as_of: AwareDatetime
    seed: int
    grouped: int
    left_out: int = Field(description="who shows too few genes of the locus")
    tried: tuple[Tried, ...]
    clusters: tuple[Cluster, ...] = Field(description="the largest first")


@dataclass(frozen=True)
class People:
    """Who is grouped, by the genes of one locus.

    Attributes:
        ids: customers.
        shares: (customer, gene), rows add up to 1.
        weight: of each customer, pieces of evidence, at most `HEAVY`.
        gene_ids: of the columns.
        labels: of the columns.
        left_out: how many showed too little.
        as_of: the cut-off.
    """

    ids: Sequence[str]
    shares: "csr_array"
    weight: Floats
    gene_ids: Sequence[str]
    labels: Sequence[str]
    left_out: int
    as_of: Any


def find(
    settings: Settings,
    catalogue: Catalogue,
    *,
    locus_id: str = "category",
    number: int | None = None,
    seed: int = 1,
) -> tuple[Clusters, dict[str, str]]:
    """Group the customers of the current publication.

    Args:
        settings: where the publication is.
        catalogue: its genes.
        locus_id: by which genes.
        number: so many clusters; None: the most stable number.
        seed: of everything that is drawn.

    Returns:
        The clusters, and the name of each grouped customer's.

    Raises:
        GenomeError: nothing is published yet.
        UsageError: there is no such locus, or too few customers show anything of it.
    """
    return group(_read(settings, catalogue, locus_id), locus_id, number, seed)


def group(people: People, locus_id: str, number: int | None, seed: int) -> tuple[Clusters, dict[str, str]]:
    """As `find`, of people who have been read."""
    points = _points(people.shares, seed)
    numbers = (number,) if number is not None else NUMBERS
    if len(people.ids) < 10 * max(numbers):
        raise UsageError(
            f"{len(people.ids)} customers show at least {FEWEST_GENES} genes of '{locus_id}': too few for "
            f"{max(numbers)} clusters.",
            "Ask for fewer clusters (--number), or take a locus of which more is known.",
        )
    tried = tuple(_tried(points, each, seed) for each in numbers)
    best = max(tried, key=lambda each: (each.agreement, -each.number)).number
    label = _grouped(points, points, best, seed)
    by_size = np.argsort(-np.bincount(label, minlength=best), kind="stable")
    label = np.argsort(by_size)[label]
    found = _named(people, label, best)
    names = [each.name for each in found]
    return (
        Clusters(
            locus_id=locus_id,
            as_of=people.as_of,
            seed=seed,
            grouped=len(people.ids),
            left_out=people.left_out,
            tried=tried,
            clusters=found,
        ),
        {customer: names[place] for customer, place in zip(people.ids, label.tolist(), strict=True)},
    )


def _read(settings: Settings, catalogue: Catalogue, locus_id: str) -> People:
    from scipy.sparse import csr_array

    if locus_id not in catalogue.alleles:
        raise UsageError(f"There is no locus '{locus_id}'.", f"Choose one of {', '.join(catalogue.alleles)}.")
    everybody = segments.read(settings, catalogue)
    table = everybody.publication.read(
        "genome",
        columns=["customer_id", "gene_hash", "share_character", "confidence"],
        filters=[("locus_id", "=", locus_id), ("share_character", ">", 0)],
    )
    customers = table.column("customer_id").combine_chunks().dictionary_encode()
    person = customers.indices.to_numpy().astype(np.int64)
    genes, gene = np.unique(table.column("gene_hash").to_numpy(), return_inverse=True)
    share = table.column("share_character").to_numpy()
    confidence = table.column("confidence").to_numpy()
    size = len(customers.dictionary)
    # In the order of the ids, so that the same publication gives the same clusters.
    names = np.array(customers.dictionary.to_pylist(), object)
    order = np.argsort(names.astype(str), kind="stable")
    person = np.argsort(order)[person]
    many = np.bincount(person, minlength=size) >= FEWEST_GENES
    kept = many[person]
    row = (np.cumsum(many) - 1)[person[kept]]
    shares = csr_array((share[kept], (row, gene[kept])), shape=(int(many.sum()), len(genes)))
    evidence = np.bincount(row, confidence[kept], minlength=int(many.sum()))
    place = {int(each): at for at, each in enumerate(catalogue.index.hashes)}
    at = [place[int(each)] for each in genes]
    return People(
        ids=names[order][many].tolist(),
        shares=shares,
        weight=np.minimum(evidence, HEAVY),
        gene_ids=[catalogue.gene_ids[each] for each in at],
        labels=[catalogue.labels[each] for each in at],
        left_out=len(everybody) - int(many.sum()),
        as_of=everybody.as_of,
    )


def _points(shares: "csr_array", seed: int) -> Floats:
    """Customers in a few dimensions of Hellinger's space."""
    from sklearn.decomposition import TruncatedSVD

    roots = shares.sqrt()
    dimensions = min(DIMENSIONS, min(shares.shape) - 1)
    points: Floats = TruncatedSVD(dimensions, random_state=seed).fit_transform(roots)
    return points


def _grouped(learned: Floats, points: Floats, number: int, seed: int) -> Ints:
    """The cluster of each of `points`, as k-means finds them in `learned`."""
    from sklearn.cluster import MiniBatchKMeans

    made = MiniBatchKMeans(number, random_state=seed, n_init=10, batch_size=4_096).fit(learned)
    found: Ints = made.predict(points).astype(np.int64)
    return found


def _tried(points: Floats, number: int, seed: int) -> Tried:
    from sklearn.metrics import adjusted_rand_score

    random = np.random.default_rng([seed, number])
    agreements = []
    for split in range(SPLITS):
        order = random.permutation(len(points))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        one, other = (_grouped(points[half], points, number, seed + split) for half in halves)
        agreements.append(adjusted_rand_score(one, other))
    return Tried(number=number, agreement=float(np.mean(agreements)), spread=float(np.std(agreements)))


def _named(people: People, label: Ints, number: int) -> tuple[Cluster, ...]:
    from scipy.sparse import csr_array

    count = len(people.ids)
    belongs = csr_array((np.ones(count), (label, np.arange(count))), shape=(number, count))
    weighed = csr_array((people.weight, (np.arange(count), np.arange(count))), shape=(count, count))
    counts = (belongs @ weighed @ people.shares).toarray()
    sizes = np.bincount(label, minlength=number)
    sums = (belongs @ people.shares).toarray()
    found = []
    for place in range(number):
        others = counts.sum(axis=0) - counts[place]
        z = _z(counts[place], others)
        order = [at for at in np.argsort(-z)[:QUOTED] if z[at] >= LEAST]
        genes = tuple(
            Distinctive(
                gene_id=people.gene_ids[at],
                label=people.labels[at],
                z=float(z[at]),
                share=float(sums[place, at] / sizes[place]),
                others=float((sums[:, at].sum() - sums[place, at]) / max(1, count - sizes[place])),
            )
            for at in order
        )
        said = ", ".join(each.label for each in genes[:-1]) + (" and " if len(genes) > 1 else "")
        found.append(
            Cluster(
                name=said + genes[-1].label if genes else "nothing singular",
                customers=int(sizes[place]),
                part=float(sizes[place] / count),
                genes=genes,
            )
        )
    return tuple(found)


def _z(mine: Floats, others: Floats) -> Floats:
    """z-scores of log-odds; the prior is everybody's choices, as strong as a hundredth of them."""
    prior = (mine + others + 1.0) / (mine + others + 1.0).sum() * max(1.0, (mine + others).sum() / 100)
    total, rest, strength = mine.sum(), others.sum(), prior.sum()
    with_prior, without = mine + prior, total + strength - mine - prior
    theirs, not_theirs = others + prior, rest + strength - others - prior
    odds = np.log(with_prior / without) - np.log(theirs / not_theirs)
    scores: Floats = odds / np.sqrt(1 / with_prior + 1 / theirs)
    return scores


# For people --------------------------------------------------------------------------------------------


def in_words(found: Clusters) -> str:
    """How the clusters came about."""
    best = max(found.tried, key=lambda each: each.agreement)
    tried = ", ".join(f"{each.number}: {each.agreement:.2f}" for each in found.tried)
    return (
        f"{found.grouped:,} customers by their {found.locus_id} genes; {found.left_out:,} show fewer than "
        f"{FEWEST_GENES} and are left out. Two random halves agree by {best.agreement:.2f} (adjusted Rand index, "
        f"1 is perfect, 0 is chance) on {len(found.clusters)} clusters. Tried: {tried}."
    )


def page(found: Clusters) -> str:
    """The clusters as a page of the docs."""
    lines = [
        "# Clusters of genomes",
        "<!-- Made by `genome clusters --to docs`; edit the code instead. -->",
        "",
        "Customers who choose alike, and what is most distinctive of them: `genome clusters`. How it is done, and",
        "how the number is chosen, stands at the head of `genome/customers/clusters.py`. From Complete Journey:",
        "",
        "| cluster | customers | of all | distinctive gene | share here | elsewhere | z |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for each in found.clusters:
        head = f"| **{each.name}** | {each.customers:,} | {each.part:.0%} "
        for place, gene in enumerate(each.genes):
            lead = head if place == 0 else "| | | "
            lines.append(f"{lead}| `{gene.gene_id}` | {gene.share:.1%} | {gene.others:.1%} | {gene.z:.0f} |")
        if not each.genes:
            lines.append(f"{head}| | | | |")
    return "\n".join([*lines, "", in_words(found), ""])
