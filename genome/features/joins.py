"""Whom a key stands for now: the build's identity map, and what people have said of themselves since.

A browser or a phone that nobody was known to use is a provisional customer of its own. When somebody identifies
on it, the consumer `live` notes the pair; a reader then adds up the two, base and deltas, and moves nothing: the
next build, which weighs all evidence, may take the pair into its map or refuse it.

    live:<epoch>:customers              hash: source key → customer, where a build calls the customer otherwise
    live:<epoch>:joined:<id>            set, of a customer: `+<thing>`, a thing that the customer has identified on;
                                        of a thing: `=<customer>`, who has identified on it

A pair counts only while the thing has one owner: what two people identify on is shared, and so nobody's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from genome.features.live import LISTS

if TYPE_CHECKING:
    import redis

THINGS: Final = b"+"
OWNERS: Final = b"="
LARGEST: Final = 50
"""A key that says it uses more things than this is no person: none of them is joined."""
_FIELDS_AT_ONCE: Final = 5_000


def customers_key(epoch: str) -> bytes:
    """Source key → customer, of a build."""
    return f"live:{epoch}:customers".encode()


def joined_key(epoch: str, key: str) -> bytes:
    """What was joined to a customer, or who was joined to a thing, since a build."""
    return f"live:{epoch}:joined:{key}".encode(errors="surrogatepass")


def pair(customer_id: str, thing: str) -> tuple[bytes, bytes]:
    """The members that say a pair: what the customer's set holds, and what the thing's does."""
    return (
        THINGS + thing.encode(errors="surrogatepass"),
        OWNERS + customer_id.encode(errors="surrogatepass"),
    )


def things(members: set[bytes]) -> list[str]:
    """The things of a customer's set; none where there are too many to be one person's."""
    found = sorted(each[1:].decode(errors="surrogatepass") for each in members if each[:1] == THINGS)
    return found if len(found) <= LARGEST else []


def owner(members: set[bytes]) -> str | None:
    """Whose a thing is; None where nobody has identified on it, or more than one."""
    found = [each[1:] for each in members if each[:1] == OWNERS]
    return found[0].decode(errors="surrogatepass") if len(found) == 1 else None


def write_customers(
    client: "redis.Redis", epoch: str, source_keys: Any, customer_ids: Any, step: Callable[[], object]
) -> None:
    """Put a build's identity map online. Written again, it is the same.

    Args:
        client: of the online store.
        epoch: of the publication.
        source_keys: Arrow column of the keys whose customer is called otherwise.
        customer_ids: Arrow column of their customers.
        step: called after each batch.
    """
    name = customers_key(epoch)
    for begin in range(0, len(source_keys), _FIELDS_AT_ONCE):
        keys = source_keys.slice(begin, _FIELDS_AT_ONCE).to_pylist()
        ids = customer_ids.slice(begin, _FIELDS_AT_ONCE).to_pylist()
        client.hset(name, mapping=dict(zip(keys, ids, strict=True)))  # type: ignore[arg-type]
        step()


def retire_customers(client: "redis.Redis", staying: set[str]) -> None:
    """Take away the maps of builds that nobody reads any more."""
    names = {customers_key(epoch) for epoch in staying}
    for name in list(client.scan_iter(b"live:*:customers", count=1_000)):
        if name not in names:
            client.unlink(name)


def together(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Base rows of one build added up: genes, affinities and newest days. Shares are the reader's to make anew."""
    kept = [row for row in rows if row.get("gene_hashes") is not None and len(row["gene_hashes"])]
    if not kept:
        return dict.fromkeys(LISTS)
    union, place = np.unique(np.concatenate([row["gene_hashes"] for row in kept]), return_inverse=True)
    result: dict[str, Any] = {"gene_hashes": union}
    for name in ("affinities_now", "affinities_character"):
        result[name] = np.bincount(
            place, np.concatenate([np.asarray(row[name], np.float64) for row in kept]), len(union)
        )
    days = np.full(len(union), np.iinfo(np.int32).min, np.int32)
    np.maximum.at(days, place, np.concatenate([np.asarray(row["last_at_days"], np.int32) for row in kept]))
    result["last_at_days"] = days
    return result
