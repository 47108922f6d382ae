"""Match: `Σ share(customer, gene) · dna(offer, gene)`, by locus. The one implementation of it.

ML models eat these numbers (training and scoring) and explanations quote them (decisions), so both must
come from the same lines of code. Genes travel as aligned lists (`gene_hashes[i]` belongs to `values[i]`), the
shape in which the features tables, Feast and the online store hold them.

A locus in which either side has nothing known is `nan`, not 0: "we never saw this person choose a brand" is
no "this person avoids the brand".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BLOCK_CELLS = 8_000_000
"""Cells of the dense customers × offers × loci block held at once (64 MB)."""


@dataclass(frozen=True)
class GeneIndex:
    """Which genes exist, and the locus of each: made from the published `dim_genes`.

    Attributes:
        hashes: every `gene_hash`, ascending.
        loci: for each gene, the position of its locus in `locus_ids`.
        locus_ids: names of the loci, ascending; the order of the last axis of every result.
    """

    hashes: Ints
    loci: Ints
    locus_ids: tuple[str, ...]

    @classmethod
    def of(cls, gene_hashes: Iterable[int], locus_ids: Iterable[str]) -> "GeneIndex":
        """Make the index from the columns `gene_hash` and `locus_id` of `dim_genes`."""
        hashes = np.asarray(list(gene_hashes), dtype=np.int64)
        names, loci = np.unique(np.asarray(list(locus_ids), dtype=object).astype(str), return_inverse=True)
        order = np.argsort(hashes)
        hashes = hashes[order]
        if (hashes[1:] == hashes[:-1]).any():
            raise ValueError("a gene_hash occurs twice in dim_genes; its uniqueness test must have failed")
        return cls(hashes, loci.astype(np.int64)[order], tuple(str(name) for name in names))

    def positions(self, gene_hashes: Ints) -> Ints:
        """The place of each hash in this index, -1 for a gene that it does not know."""
        if not len(self.hashes):
            return np.full(len(gene_hashes), -1, dtype=np.int64)
        at = np.searchsorted(self.hashes, gene_hashes)
        at[at == len(self.hashes)] = 0
        return np.where(self.hashes[at] == gene_hashes, at, -1)


@dataclass(frozen=True)
class GeneVectors:
    """Rows of gene values (customers' shares, or offers' DNA) over one `GeneIndex`.

    Attributes:
        index: the genes.
        matrix: CSR, rows × genes; a known zero is stored, an unknown value is not.
        known: rows × loci, whether the row has any known value in the locus.
    """

    index: GeneIndex
    matrix: Any
    known: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    @classmethod
    def from_lists(cls, index: GeneIndex, gene_hashes: Sequence[Any], values: Sequence[Any]) -> "GeneVectors":
        """Make vectors from aligned lists, one pair of lists for each row.

        `None` for a row, or `None`/`nan` for a value, is unknown. Genes that the index does not know are left
        out: they belong to a later build.

        Args:
            index: the genes.
            gene_hashes: one sequence of `gene_hash` for each row.
            values: one sequence of the same length for each row.
        """
        if len(gene_hashes) != len(values):
            raise ValueError(f"{len(gene_hashes)} rows of genes, but {len(values)} rows of values")
        genes = [_ints(row) for row in gene_hashes]
        numbers = [_floats(row) for row in values]
        lengths = np.array([len(row) for row in genes], dtype=np.int64)
        if (lengths != np.array([len(row) for row in numbers], dtype=np.int64)).any():
            raise ValueError("lists of genes and values are not aligned: a row's lengths differ")
        flat = np.concatenate(genes) if genes else np.empty(0, np.int64)
        value = np.concatenate(numbers) if numbers else np.empty(0, np.float64)
        return cls._from_coordinates(
            index, np.repeat(np.arange(len(genes)), lengths), flat, value, len(genes)
        )

    @classmethod
    def from_arrow(cls, index: GeneIndex, gene_hashes: Any, values: Any) -> "GeneVectors":
        """The same from two aligned Arrow list columns (`Array` or `ChunkedArray`), many times faster."""
        import pyarrow.compute as pc

        def flat(column: Any) -> tuple[Ints, Any]:
            column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
            return np.asarray(pc.list_parent_indices(column), dtype=np.int64), pc.list_flatten(column)

        rows, genes = flat(gene_hashes)
        value_rows, numbers = flat(values)
        if not np.array_equal(rows, value_rows):
            raise ValueError("lists of genes and values are not aligned: a row's lengths differ")
        return cls._from_coordinates(
            index,
            rows,
            genes.to_numpy(zero_copy_only=False).astype(np.int64),
            numbers.to_numpy(zero_copy_only=False).astype(np.float64),
            len(gene_hashes),
        )

    @classmethod
    def _from_coordinates(
        cls, index: GeneIndex, rows: Ints, hashes: Ints, values: Floats, count: int
    ) -> "GeneVectors":
        at = index.positions(hashes)
        keep = (at >= 0) & ~np.isnan(values)
        rows, at, values = rows[keep], at[keep], values[keep]
        known = np.zeros((count, len(index.locus_ids)), dtype=bool)
        known[rows, index.loci[at]] = True
        matrix = sparse.csr_array((values, (rows, at)), shape=(count, len(index.hashes)))
        return cls(index, matrix, known)

    def by_locus(self) -> Any:
        """CSR with a row for each (row, locus): row `r · loci + l` holds the values of `r` in locus `l`."""
        coordinates = self.matrix.tocoo()
        loci = len(self.index.locus_ids)
        rows = coordinates.row.astype(np.int64) * loci + self.index.loci[coordinates.col]
        return sparse.csr_array(
            (coordinates.data, (rows, coordinates.col)), shape=(len(self) * loci, len(self.index.hashes))
        )


def match_all(customers: GeneVectors, offers: GeneVectors) -> Floats:
    """Match of every customer with every offer: an array customers × offers × loci.

    The order of loci is `customers.index.locus_ids`. For millions of pairs call it on slices of customers;
    `match_pairs` does so by itself.
    """
    _same_index(customers, offers)
    return _block(customers.matrix, customers.known, offers.by_locus(), offers.known)


def match_pairs(
    customers: GeneVectors, offers: GeneVectors, customer_rows: npt.ArrayLike, offer_rows: npt.ArrayLike
) -> Floats:
    """Match of chosen pairs: an array pairs × loci.

    Pairs usually come in rectangles (the customers and the coupons of one campaign): pass one rectangle at a
    time, and the products are shared by all of its pairs.

    Args:
        customers: shares, one row for each (customer, time).
        offers: DNA, one row for each (offer, time).
        customer_rows: for each pair, the row in `customers`.
        offer_rows: for each pair, the row in `offers`.
    """
    _same_index(customers, offers)
    left = np.asarray(customer_rows, dtype=np.int64)
    right = np.asarray(offer_rows, dtype=np.int64)
    if left.shape != right.shape:
        raise ValueError(f"{len(left)} customer rows, but {len(right)} offer rows")
    loci = len(customers.index.locus_ids)
    result = np.full((len(left), loci), np.nan)
    if not len(left):
        return result
    wanted, right_at = np.unique(right, return_inverse=True)
    expanded = offers.by_locus()[(wanted[:, None] * loci + np.arange(loci)).ravel()]
    order = np.argsort(left, kind="stable")
    people, starts = np.unique(left[order], return_index=True)
    ends = np.append(starts[1:], len(left))
    step = max(1, _BLOCK_CELLS // max(1, len(wanted) * loci))
    for first in range(0, len(people), step):
        some = people[first : first + step]
        block = _block(customers.matrix[some], customers.known[some], expanded, offers.known[wanted])
        pairs = order[starts[first] : ends[min(first + step, len(people)) - 1]]
        result[pairs] = block[np.searchsorted(some, left[pairs]), right_at[pairs]]
    return result


@dataclass(frozen=True)
class Contribution:
    """What one gene adds to a match.

    Attributes:
        gene_hash: the gene.
        position: its place in the index.
        locus_id: its locus.
        share: the customer's share of the gene in its locus.
        weight: the offer's weight of it.
        product: share × weight; these add up to the match of the locus.
    """

    gene_hash: int
    position: int
    locus_id: str
    share: float
    weight: float
    product: float


def contributions(
    customers: GeneVectors, offers: GeneVectors, customer_row: int = 0, offer_row: int = 0
) -> tuple[Contribution, ...]:
    """What each gene adds to the match of one customer with one offer, strongest first.

    Genes that add nothing are left out; equal products are ordered by gene, so that the answer is the same
    everywhere.
    """
    _same_index(customers, offers)
    index = customers.index
    genes, shares = _row(customers.matrix, customer_row)
    offer_genes, weights = _row(offers.matrix, offer_row)
    both, left, right = np.intersect1d(genes, offer_genes, assume_unique=True, return_indices=True)
    share, weight = shares[left], weights[right]
    product = share * weight
    order = [i for i in np.lexsort((index.hashes[both], -product)) if product[i] > 0]
    return tuple(
        Contribution(
            int(index.hashes[both[i]]),
            int(both[i]),
            index.locus_ids[int(index.loci[both[i]])],
            float(share[i]),
            float(weight[i]),
            float(product[i]),
        )
        for i in order
    )


def _row(matrix: Any, row: int) -> tuple[Ints, Floats]:
    start, end = matrix.indptr[row : row + 2]
    return matrix.indices[start:end], matrix.data[start:end]


def _block(
    shares: Any, shares_known: npt.NDArray[np.bool_], dna_by_locus: Any, dna_known: npt.NDArray[np.bool_]
) -> Floats:
    loci = dna_known.shape[1]
    products = (shares @ dna_by_locus.T).toarray().reshape(shares.shape[0], dna_known.shape[0], loci)
    products[~(shares_known[:, None, :] & dna_known[None, :, :])] = np.nan
    return np.asarray(products, dtype=np.float64)


def _same_index(customers: GeneVectors, offers: GeneVectors) -> None:
    if customers.index is not offers.index and not np.array_equal(
        customers.index.hashes, offers.index.hashes
    ):
        raise ValueError("customers and offers are indexed by different builds of dim_genes")


def _ints(row: Any) -> Ints:
    return np.empty(0, np.int64) if row is None else np.asarray(row, dtype=np.int64)


def _floats(row: Any) -> Floats:
    return np.empty(0, np.float64) if row is None else np.asarray(row, dtype=np.float64)
