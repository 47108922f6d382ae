"""Relations between products: what could stand in for one, what goes with it, what would be a step up.

They are the published `fct_product_relations` of the current build: few for each product, the best first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import AwareDatetime, Field

from genome.api.published import Catalogue
from genome.decisions.records import Frozen
from genome.errors import GenomeError, UsageError
from genome.lake import publish
from genome.settings import Settings

Kind = Literal["complement", "substitute", "premium"]
_TABLE = "fct_product_relations"
_COLUMNS = (
    "product_id",
    "relation",
    "relation_rank",
    "other_product_id",
    "support_count",
    "confidence",
    "lift",
    "lift_low",
    "price_step",
    "known_at",
)


class Relation(Frozen):
    """One product seen from another."""

    relation: Kind
    product_id: str
    label: str = Field(description="what people call the product that was asked about")
    other_product_id: str
    other_label: str
    support_count: int = Field(description="baskets with both; people who bought both; people who moved up")
    confidence: float = Field(description="the support, as a part of what bought the product")
    lift: float = Field(description="how many times as often as by chance")
    lift_low: float = Field(description="the same, from a count two standard errors lower")
    price_step: float | None = Field(description="the other one's unit price over this one's")
    known_at: AwareDatetime = Field(description="when the month began, whose relation it is")
    in_words: str


class Relations(Frozen):
    """What one product is to others, the best of each kind first."""

    product_id: str
    label: str
    relations: tuple[Relation, ...]


@dataclass(frozen=True)
class RelationTable:
    """The relations of one publication.

    Attributes:
        epoch: which; None: nothing is published, or it holds no relations.
        by_product: product → its relations.
        genes: product → its gene's hash, of products that are somebody's relation.
        labels: product → what people call it.
    """

    epoch: str | None = None
    by_product: Mapping[str, tuple[Relation, ...]] = field(default_factory=dict)
    genes: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def of(self, product_ids: Iterable[str]) -> tuple[Relation, ...]:
        """The relations of some products, each product once."""
        found = (self.by_product.get(each, ()) for each in dict.fromkeys(product_ids))
        return tuple(relation for relations in found for relation in relations)


def read(settings: Settings, catalogue: Catalogue) -> RelationTable:
    """The relations of the current publication, with labels and genes of the catalogue."""
    current = publish.current(settings, "genome")
    if current is None or _TABLE not in current.tables:
        return RelationTable(current.epoch if current is not None else None)
    rows = current.read(_TABLE, _COLUMNS).to_pylist()
    wanted = {f"product:{row[name]}" for row in rows for name in ("product_id", "other_product_id")}
    genes: dict[str, int] = {}
    labels: dict[str, str] = {}
    for at, gene_id in enumerate(catalogue.gene_ids):
        if gene_id in wanted:
            product = gene_id.removeprefix("product:")
            genes[product], labels[product] = int(catalogue.index.hashes[at]), catalogue.labels[at]
    found: dict[str, list[Relation]] = {}
    for row in sorted(rows, key=lambda row: (row["product_id"], row["relation"], row["relation_rank"])):
        label, other = (labels.get(row[name], row[name]) for name in ("product_id", "other_product_id"))
        del row["relation_rank"]
        words = in_words(row["relation"], label, row["lift"], row["confidence"])
        relation = Relation(**row, label=label, other_label=other, in_words=words)
        found.setdefault(row["product_id"], []).append(relation)
    return RelationTable(
        current.epoch, {product: tuple(each) for product, each in found.items()}, genes, labels
    )


def in_words(kind: str, label: str, lift: float, confidence: float) -> str:
    """A relation as the other product's praise: it is shown beside that one."""
    if kind == "complement":
        return f"goes with {label}: in one basket {lift:.1f} times as often as by chance"
    if kind == "substitute":
        return f"stands in for {label}: who buys it buys this, too, {lift:.1f} times as often as by chance"
    return f"a step up from {label}, which {confidence:.0%} of its buyers have taken"


def one(table: RelationTable, catalogue: Catalogue, product_id: str) -> Relations:
    """What one product is to others.

    Raises:
        GenomeError: nothing is published yet.
        UsageError: there is no such product.
    """
    if catalogue.epoch is None:
        raise GenomeError("Nothing is published yet.", "Run `genome build`, or `make demo`.")
    label = table.labels.get(product_id)
    if label is None:
        gene_id = f"product:{product_id}"
        if gene_id not in catalogue.gene_ids:
            raise UsageError(
                f"There is no product '{product_id}'.", "Take a product_id of the products feed."
            )
        label = catalogue.labels[catalogue.gene_ids.index(gene_id)]
    return Relations(product_id=product_id, label=label, relations=table.of([product_id]))
