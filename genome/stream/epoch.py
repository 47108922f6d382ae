"""What a build published for the live path: weights, half-lives, product DNA, identity, lines to take back.

dbt is the one owner of all of it; here it is read from the published Parquet, once for each epoch.
"""

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from genome.errors import GenomeError
from genome.features.joins import THINGS
from genome.lake.publish import Publication
from genome.stream.evidence import (
    FOREVER,
    LINE,
    Dna,
    Parameters,
    group_of,
    identity_of,
    motive_kind,
)

if TYPE_CHECKING:
    import pyarrow as pa

_UNIX: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class Customers:
    """A build's identity map, as Arrow holds it: a million people have some millions of keys.

    Attributes:
        keys: source keys whose customer is called otherwise, ascending.
        ids: the customer of each.
        several: customers that have more than one key, ascending.
        refused: things of which the build has refused a link: they are shared, or nobody's, ascending.
    """

    keys: "pa.StringArray"
    ids: "pa.StringArray"
    several: "pa.StringArray"
    refused: "pa.StringArray"

    def of(self, source_key: str) -> str:
        """Whose a key is; a key that is not here is a customer of its own."""
        at = _place(self.keys, source_key)
        return source_key if at is None else str(self.ids[at].as_py())

    def is_alone(self, source_key: str) -> bool:
        """Whether a key is a customer of its own, with no other key, and no link of it was refused."""
        return all(_place(each, source_key) is None for each in (self.keys, self.several, self.refused))


def _place(ascending: "pa.StringArray", wanted: str) -> int | None:
    at = bisect.bisect_left(_Texts(ascending), wanted)
    return at if at < len(ascending) and ascending[at].as_py() == wanted else None


class _Texts(Sequence[str]):
    """An Arrow array, as `bisect` reads one: UTF-8 sorts as code points do."""

    def __init__(self, array: "pa.StringArray") -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, at: Any) -> Any:
        return self._array[at].as_py()


@dataclass(frozen=True)
class Epoch:
    """One publication, as the live path uses it.

    Attributes:
        name: the publication's epoch.
        parameters: weights, half-lives, DNA.
        customers: whose a source key is.
        refunded: groups that have a refund in this build, ascending.
        watermark: partition → the last stream id that is in this build.
        publication: for the lines that a refund takes back.
    """

    name: str
    parameters: Parameters
    customers: "Customers"
    refunded: npt.NDArray[np.uint64]
    watermark: Mapping[int, bytes]
    publication: Publication

    def customer(self, source_key: str) -> str:
        """Whose a key is; one that the build does not know stands for a provisional customer of its own."""
        return self.customers.of(source_key)

    def lines(self, source_keys: Iterable[str]) -> "tuple[list[str], npt.NDArray[Any]]":
        """The lines and refunds of source keys that this build has counted: keys, and rows of `LINE`."""
        table = self.publication.read(
            "fct_reversible_lines", filters=[("source_key", "in", sorted(set(source_keys)))]
        )
        return table.column("source_key").to_pylist(), _lines(table, self.parameters)

    def genes(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Every gene, ascending, and the number of its locus."""
        table = self.publication.read("dim_genes", ["gene_hash", "locus_number"])
        hashes = table.column("gene_hash").to_numpy()
        order = np.argsort(hashes)
        return hashes[order].astype(np.int64), table.column("locus_number").to_numpy()[order].astype(np.int32)


def load(publication: Publication) -> Epoch:
    """Read what the live path needs of a publication.

    Raises:
        GenomeError: the publication is older than the live path and does not say its cut-off.
    """
    as_of = publication.provenance.get("as_of")
    if as_of is None or "fct_reversible_lines" not in publication.tables:
        raise GenomeError(
            f"Publication {publication.epoch} does not hold what the live path needs.",
            "Run `genome build` once; sessions are live meanwhile, genes are not.",
        )
    parameters = _parameters(publication, microseconds(datetime.fromisoformat(as_of)))
    watermark = {
        int(partition): str(position).encode()
        for partition, position in (publication.provenance.get("stream") or {}).items()
    }
    return Epoch(
        name=publication.epoch,
        parameters=parameters,
        customers=_customers(publication),
        refunded=_refunded(publication, parameters),
        watermark=watermark,
        publication=publication,
    )


def microseconds(instant: datetime) -> int:
    """Since 1970."""
    return (instant - _UNIX) // _MICROSECOND


def _parameters(publication: Publication, as_of: int) -> Parameters:
    weights = publication.read(
        "evidence_weights",
        ["interaction_type", "weight_for", "weight_against", "k", "reverses"],
    ).to_pylist()
    if "motive_weights" in publication.tables:
        for row in publication.read("motive_weights", ["interaction_type", "weight"]).to_pylist():
            for is_against in (False, True):
                weights.append(
                    {
                        "interaction_type": motive_kind(row["interaction_type"], is_against=is_against),
                        "weight_for": 0.0 if is_against else row["weight"],
                        "weight_against": row["weight"] if is_against else 0.0,
                        "k": 0.0,
                        "reverses": None,
                    }
                )
    kinds = {row["interaction_type"]: at for at, row in enumerate(weights)}
    loci = publication.read(
        "loci", ["locus_number", "locus_id", "half_life_now_days", "half_life_character_days"]
    ).to_pylist()
    size = 1 + max(row["locus_number"] for row in loci)
    half_now, half_character = np.full(size, np.nan), np.full(size, np.nan)
    for row in loci:
        half_now[row["locus_number"]] = row["half_life_now_days"]
        half_character[row["locus_number"]] = row["half_life_character_days"]
    return Parameters(
        epoch=publication.epoch,
        as_of=as_of,
        kinds=kinds,
        towards=np.array([_float(row["weight_for"]) for row in weights]),
        against=np.array([_float(row["weight_against"]) for row in weights]),
        k=np.array([_float(row["k"]) for row in weights]),
        reverses=np.array([kinds.get(row["reverses"], -1) for row in weights], np.int64),
        half_now=half_now,
        half_character=half_character,
        dna=_dna(publication, {row["locus_id"]: row["locus_number"] for row in loci}),
    )


def _float(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _dna(publication: Publication, loci: Mapping[str, int]) -> Dna:
    table = publication.read(
        "dim_product_dna",
        ["product_id", "gene_hash", "locus_id", "weight", "valid_from", "valid_to"],
    )
    products = table.column("product_id").combine_chunks().dictionary_encode()
    place = products.indices.to_numpy().astype(np.int64)
    names = products.dictionary.to_pylist()
    order = np.argsort(place, kind="stable")
    locus_column = table.column("locus_id").combine_chunks().dictionary_encode()
    numbers = np.array([loci[name] for name in locus_column.dictionary.to_pylist()], np.int64)
    locus = numbers[locus_column.indices.to_numpy()] if len(numbers) else np.empty(0, np.int64)
    return Dna(
        products={name: at for at, name in enumerate(names)},
        starts=np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(names)))]).astype(np.int64),
        gene=table.column("gene_hash").to_numpy()[order].astype(np.int64),
        locus=locus[order],
        weight=table.column("weight").to_numpy()[order],
        since=_instants(table.column("valid_from"), -FOREVER)[order],
        until=_instants(table.column("valid_to"), FOREVER)[order],
    )


def _instants(column: Any, missing: int) -> npt.NDArray[np.int64]:
    import pyarrow as pa

    numbers = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).fill_null(missing)
    return np.asarray(numbers.to_numpy(), np.int64)


def _customers(publication: Publication) -> Customers:
    import pyarrow.compute as pc

    keys, ids = identity_map(publication)
    links = publication.read("fct_identity_links", ["other_key"], ~pc.field("reason").is_null())
    others = pc.unique(links.column("other_key").combine_chunks())
    of_things = pc.is_in(pc.list_element(pc.split_pattern(others, ":", max_splits=1), 0), _things())
    return Customers(keys, ids, pc.unique(ids).sort(), others.filter(of_things).sort())


def _things() -> "pa.StringArray":
    import pyarrow as pa

    return pa.array(sorted(THINGS))


def identity_map(publication: Publication) -> "tuple[pa.StringArray, pa.StringArray]":
    """Source keys, ascending, and their customers, where the customer is called otherwise than the key.

    Keys that only came beside others are here too: their own first event may be the next one.
    """
    import pyarrow.compute as pc

    believed = pc.field("known_to").is_null() & (pc.field("source_key") != pc.field("customer_id"))
    table = publication.read("fct_customer_keys", ["source_key", "customer_id"], believed)
    table = table.sort_by("source_key")
    return table.column("source_key").combine_chunks(), table.column("customer_id").combine_chunks()


def _refunded(publication: Publication, parameters: Parameters) -> npt.NDArray[np.uint64]:
    names = [name for name, at in parameters.kinds.items() if parameters.reverses[at] >= 0]
    columns = ["source_key", "order_id", "product_id", "interaction_type"]
    rows = publication.read("fct_reversible_lines", columns, [("interaction_type", "in", names)]).to_pylist()
    types = list(parameters.kinds)
    groups = {
        group_of(
            row["source_key"],
            row["order_id"],
            row["product_id"],
            types[int(parameters.reverses[parameters.kinds[row["interaction_type"]]])],
        )
        for row in rows
    }
    return np.array(sorted(groups), np.uint64)


def _lines(table: "pa.Table", parameters: Parameters) -> npt.NDArray[Any]:
    types = list(parameters.kinds)
    found = np.empty(len(table), LINE)
    for at, row in enumerate(table.to_pylist()):
        kind = parameters.kinds[row["interaction_type"]]
        reversed_kind = int(parameters.reverses[kind])
        found[at] = (
            group_of(
                row["source_key"],
                row["order_id"],
                row["product_id"],
                types[reversed_kind if reversed_kind >= 0 else kind],
            ),
            identity_of(row["interaction_id"]),
            np.inf if row["line_number"] is None else row["line_number"],
            np.nan if row["quantity"] is None else row["quantity"],
            microseconds(row["evidence_at"]),
            parameters.dna.products.get(row["product_id"], -1),
            kind,
        )
    return found
