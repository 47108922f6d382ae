"""Whom a key stands for now: the build's identity map, and what people have said of themselves since.

A browser or a phone that nobody was known to use is a provisional customer of its own. When somebody identifies
on it, the consumer `live` notes the pair; a reader then adds up the two, base and deltas, and moves nothing: the
next build, which weighs all evidence, may take the pair into its map or refuse it.

    live:<epoch>:customers              hash: source key → customer, where a build calls the customer otherwise
    live:<epoch>:joined:<id>            set, of a customer: `+<thing>`, a thing that the customer has identified on;
                                        of a thing: `=<kind> <customer>`, who has identified on it, and as what

Which kinds may be paired, and of how many things one person makes use, are the build's own rules
(`genome.identity.rules`). A pair counts only while one customer of a kind identifies on the thing: what two accounts
sign in on is shared, and so nobody's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from genome.features.live import LISTS
from genome.identity.rules import LINKS, kind_of

if TYPE_CHECKING:
    import redis

THINGS: Final = frozenset({"anonymous", "device"})
"""Kinds of things that are joined live: those that people identify on."""
PAIRS: Final = frozenset((rule.owner, rule.other) for rule in LINKS if rule.other in THINGS)
"""Kinds of an owner and of a thing that may be one person's."""
MOST: Final = {kind: max(rule.most for rule in LINKS if rule.other == kind) for kind in THINGS}
"""Kind of a thing → so many of them a person may use. Who says more is no person: none of them is joined."""
_NEAREST: Final = ("contact", "user", "loyalty_card", "email", "phone", "social")
"""Where somebody has identified as several kinds, the first of these says whose the thing is."""
_THING: Final = b"+"
_OWNER: Final = b"="
_FIELDS_AT_ONCE: Final = 5_000


def customers_key(epoch: str) -> bytes:
    """Source key → customer, of a build."""
    return f"live:{epoch}:customers".encode()


def joined_key(epoch: str, key: str) -> bytes:
    """What was joined to a customer, or who was joined to a thing, since a build."""
    return f"live:{epoch}:joined:{key}".encode(errors="surrogatepass")


def pair(customer_id: str, kind: str, thing: str) -> tuple[bytes, bytes]:
    """The members that say a pair: what the customer's set holds, and what the thing's does.

    Args:
        customer_id: who has identified.
        kind: as what: user, email …
        thing: on what.
    """
    return (
        _THING + thing.encode(errors="surrogatepass"),
        _OWNER + f"{kind} {customer_id}".encode(errors="surrogatepass"),
    )


def things(members: set[bytes]) -> list[str]:
    """The things of a customer's set; none of a kind of which there are too many to be one person's."""
    found: dict[str, list[str]] = {}
    for each in sorted(members):
        if each[:1] == _THING:
            thing = each[1:].decode(errors="surrogatepass")
            found.setdefault(kind_of(thing), []).append(thing)
    return [each for kind, mine in found.items() if len(mine) <= MOST.get(kind, 0) for each in mine]


def owner(members: set[bytes]) -> str | None:
    """Whose a thing is; None where nobody has identified on it, or two of one kind."""
    found: dict[str, set[str]] = {}
    for each in members:
        if each[:1] == _OWNER:
            kind, _, customer = each[1:].decode(errors="surrogatepass").partition(" ")
            found.setdefault(kind, set()).add(customer)
    if any(len(mine) > 1 for mine in found.values()):
        return None
    return next((customer for kind in _NEAREST if kind in found for customer in found[kind]), None)


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
