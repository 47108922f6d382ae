"""What the API reads of the published files: gene labels, offers, the identity map, and how old they are.

Each publication is read once and kept as one frozen catalogue; when the pointer moves, one request reads the
new one while the others go on with the old. Nothing here opens the warehouse.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genome.identity import normal
from genome.identity.tokens import Kind, Tokeniser
from genome.identity.vault import Vault
from genome.lake import publish
from genome.match import GeneIndex
from genome.settings import Settings

_LOOK_AGAIN_SECONDS = 1.0
GROUPS = ("genome", "scores")
_GENE_COLUMNS = (
    "gene_hash",
    "gene_id",
    "locus_id",
    "locus_number",
    "label",
    "sentence",
    "population_share",
)


@dataclass(frozen=True, slots=True)
class Singular:
    """What takes the whole population to say about one gene of one customer.

    Attributes:
        confidence: effective number of pieces of evidence.
        distinctiveness: z-score against the population.
    """

    confidence: float | None
    distinctiveness: float | None


@dataclass(frozen=True)
class Catalogue:
    """The genes of one publication, every list aligned with `index.hashes`.

    Attributes:
        epoch: which publication; None before the first one.
        index: for matching.
        gene_ids: `<locus>:<allele>`.
        labels: what people call the gene.
        sentences: how a sentence about it begins ("you often choose yoghurt").
        population_shares: its share in the whole population; an even share where that is not known.
        alleles: locus_id → how many genes it has.
        locus_order: locus_id → its place when a genome is told.
    """

    epoch: str | None = None
    index: GeneIndex = field(default_factory=lambda: GeneIndex.of([], []))
    gene_ids: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    population_shares: tuple[float, ...] = ()
    alleles: Mapping[str, int] = field(default_factory=dict)
    locus_order: Mapping[str, int] = field(default_factory=dict)


class Published:
    """The current publications, read again when a pointer moves."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reading = threading.Lock()
        self._looked_at = float("-inf")
        self._catalogue: Catalogue | None = None

    def catalogue(self) -> Catalogue:
        """The genes in force; at most a second behind the pointer."""
        held = self._catalogue
        if held is not None and time.monotonic() - self._looked_at < _LOOK_AGAIN_SECONDS:
            return held
        # The first reader waits for the files; later on one reads and nobody waits.
        if not self._reading.acquire(blocking=held is None):
            return held if held is not None else self.catalogue()
        try:
            self._catalogue = self._read(self._catalogue)
            self._looked_at = time.monotonic()
            return self._catalogue
        finally:
            self._reading.release()

    def current(self) -> dict[str, publish.Publication | None]:
        """The current publication of each group."""
        return {group: publish.current(self._settings, group) for group in GROUPS}

    def singular(self, customer_id: str) -> dict[int, Singular]:
        """How sure and how singular each gene of one customer is, by gene_hash, as of the publication."""
        current = publish.current(self._settings, "genome")
        if current is None:
            return {}
        table = current.read(
            "genome",
            columns=["gene_hash", "confidence", "distinctiveness"],
            filters=[("customer_id", "=", customer_id)],
        )
        return {
            row["gene_hash"]: Singular(row["confidence"], row["distinctiveness"]) for row in table.to_pylist()
        }

    def offers(self) -> list[dict[str, Any]]:
        """Every published offer, by start and id."""
        current = publish.current(self._settings, "genome")
        if current is None:
            return []
        rows: list[dict[str, Any]] = current.read("dim_offers").to_pylist()
        return sorted(rows, key=lambda row: (row["starts_at"], row["offer_id"]))

    def customers(self, identifier: str) -> list[str]:
        """Customers that an identifier stands for, as is believed now.

        Args:
            identifier: a source key (household:1), its part after ':', or an e-mail address or a telephone number as
                people write them: these are compared by their tokens.
        """
        import pyarrow.compute as pc

        current = publish.current(self._settings, "genome")
        if current is None:
            return []
        key = pc.field("source_key")
        personal = self._tokens(identifier)
        wanted = (
            key.isin(personal) if personal else (key == identifier) | (pc.field("customer_id") == identifier)
        )
        if ":" not in identifier and not personal:
            wanted |= pc.ends_with(key, f":{identifier}")
        wanted &= pc.field("known_to").is_null()
        table = current.read("fct_customer_keys", ["customer_id"], wanted)
        return sorted({str(found) for found in table.column("customer_id").to_pylist()})

    def _tokens(self, identifier: str) -> list[str]:
        """The source keys of an e-mail address or a telephone number, by every token key; none of anything else."""
        kind: Kind
        if "@" in identifier and normal.email(identifier) is not None:
            kind = "email"
        elif identifier.startswith("+") and normal.phone(identifier) is not None:
            kind = "phone"
        else:
            return []
        token = Tokeniser(self._settings).token(kind, identifier)
        vault = Vault(self._settings)
        try:
            return [f"{kind}:{text}" for text in sorted(vault.tokens_of(token.text))]
        finally:
            vault.close()

    def _read(self, held: Catalogue | None) -> Catalogue:
        import numpy as np

        genome = publish.current(self._settings, "genome")
        if genome is None:
            return Catalogue()
        if held is not None and held.epoch == genome.epoch:
            return held
        genes = genome.read("dim_genes", _GENE_COLUMNS).sort_by("gene_hash")
        column = {name: genes.column(name).to_pylist() for name in _GENE_COLUMNS}
        index = GeneIndex.of(column["gene_hash"], column["locus_id"])
        counts = np.bincount(index.loci, minlength=len(index.locus_ids))
        even = 1.0 / counts[index.loci]
        shares = (
            float(fair) if share is None else float(share)
            for share, fair in zip(column["population_share"], even, strict=True)
        )
        return Catalogue(
            epoch=genome.epoch,
            index=index,
            gene_ids=tuple(column["gene_id"]),
            labels=tuple(column["label"]),
            sentences=tuple(column["sentence"]),
            population_shares=tuple(shares),
            alleles={name: int(count) for name, count in zip(index.locus_ids, counts, strict=True)},
            locus_order=dict(zip(column["locus_id"], column["locus_number"], strict=True)),
        )
