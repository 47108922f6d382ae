"""The live part of a genome: what came after the build, kept by source key and added on reading.

The consumer `live` (genome/stream/live.py) writes, readers of the online store read. All of it is a log:
sums are appended and added up on reading, so neither side waits for the other and any order gives the same.

    live:{p}:epochs                     hash: epoch → the last stream id that is in its deltas; "" → how far the
                                        partition is, with its sessions
    live:{p}:<epoch>:genes:<key>        sums by gene (`SUMS`), appended; several rows of a gene add up
    live:{p}:<epoch>:lines:<key>        lines and refunds (evidence.LINE), appended: what a refund takes back
    live:{p}:<epoch>:refunded           numbers of groups that have a refund, appended
    live:{p}:<epoch>:keys               set: source keys that have deltas of the epoch
    live:{p}:session:<key>              what this key did last (`Act`), appended
    live:<epoch>:of:<customer>          set: the customer's source keys that have deltas or a session
    live:epoch:<epoch>                  hash: `as_of`, and the locus of each gene: `genes`, `loci`

A partition's keys share a slot of a cluster (`{p}`), so that one script commits effect and position.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import numpy as np
import numpy.typing as npt

from genome.collector.stream import partition_of

if TYPE_CHECKING:
    import redis

Rows = npt.NDArray[Any]

SUMS: Final = np.dtype(
    [
        ("gene", "<i8"),
        ("locus", "<i4"),
        ("count", "<i4"),
        ("last", "<i8"),
        ("for_now", "<f8"),
        ("against_now", "<f8"),
        ("squares_now", "<f8"),
        ("for_character", "<f8"),
        ("against_character", "<f8"),
        ("squares_character", "<f8"),
    ]
)
"""Sums of one gene, decayed to the epoch's cut-off; `count` is pieces of evidence, `last` the newest one's
time in microseconds since 1970."""

MAIN: Final = ""
"""Field of the epochs hash: how far the partition itself is (sessions, and every epoch that is ready)."""

GENOME_VIEW: Final = "feat_customer_genome"
LISTS: Final = (
    "gene_hashes",
    "affinities_now",
    "affinities_character",
    "shares_now",
    "shares_character",
    "last_at_days",
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400_000_000
_ROUNDING: Final = 1e-6
"""What is left of a base of this part of it, once evidence was taken back, is rounding: the base is a float32."""

VIEWED: Final = 20
"""So many products that were viewed last are remembered."""
STAY: Final = timedelta(hours=12)
"""An entry without an exit counts for so long: a lost signal leaves one behind."""


# Names


def epochs_key(partition: int) -> bytes:
    """Epoch → position, of a partition."""
    return b"live:{%d}:epochs" % partition


def epoch_key(epoch: str) -> bytes:
    """What readers must know of an epoch."""
    return f"live:epoch:{epoch}".encode()


def of_epoch(partition: int, epoch: str, what: str, source_key: str | None = None) -> bytes:
    """A name of an epoch's deltas in a partition."""
    base = f"live:{{{partition}}}:{epoch}:{what}"
    return (base if source_key is None else f"{base}:{source_key}").encode(errors="surrogatepass")


def session_key(partition: int, source_key: str) -> bytes:
    """A source key's session log."""
    return f"live:{{{partition}}}:session:{source_key}".encode(errors="surrogatepass")


def customer_key(epoch: str, customer_id: str) -> bytes:
    """The set of a customer's source keys."""
    return f"live:{epoch}:of:{customer_id}".encode(errors="surrogatepass")


# Sessions


class Act(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """One thing that a person did, as far as the moment cares.

    Attributes:
        at: when, in microseconds since 1970.
        what: v viewed, a added to the cart, r removed from it, o ordered, i came in, x went out.
        id: the product, or the place ("" where the whole mall is meant).
        quantity: units; None where not said.
        kind: of a place: store or mall.
    """

    at: int
    what: str
    id: str
    quantity: float | None = None
    kind: str | None = None


class Viewed(msgspec.Struct, frozen=True):
    """A product that was looked at, and when last."""

    product_id: str
    at: datetime


class InCart(msgspec.Struct, frozen=True):
    """A product in the cart."""

    product_id: str
    quantity: float
    at: datetime


class Place(msgspec.Struct, frozen=True):
    """Where the person is, and since when."""

    place_id: str
    kind: str
    since: datetime


class Session(msgspec.Struct, frozen=True):
    """What a person is doing.

    Attributes:
        viewed: products looked at, newest first.
        cart: what lies in the cart, newest first.
        place: where the person is now; None: nowhere that we see.
        last_at: the newest thing done.
    """

    viewed: tuple[Viewed, ...] = ()
    cart: tuple[InCart, ...] = ()
    place: Place | None = None
    last_at: datetime | None = None


_encoder = msgspec.msgpack.Encoder()
_acts = msgspec.msgpack.Decoder(list[Act])


def encode_act(act: Act) -> bytes:
    """An act as a log holds it."""
    return _encoder.encode(act)


def encode_acts(acts: Iterable[Act]) -> bytes:
    """Acts as a log holds them, one after the other."""
    return b"".join(_encoder.encode(act) for act in acts)


def decode_acts(log: bytes) -> list[Act]:
    """The acts of a log. Each is a MessagePack array of 3 to 5 items; together they are read as one array."""
    count, at, size = 0, 0, len(log)
    while at < size:
        at = _skipped(log, at)
        count += 1
    return _acts.decode(b"\xdd" + count.to_bytes(4, "big") + log)


def _skipped(log: bytes, at: int) -> int:
    """Where the value at a place ends (the types that an `Act` has)."""
    kind = log[at]
    if 0x90 <= kind <= 0x9F:
        at += 1
        for _ in range(kind & 0x0F):
            at = _skipped(log, at)
        return at
    if 0xA0 <= kind <= 0xBF:
        return at + 1 + (kind & 0x1F)
    if kind == 0xD9:
        return at + 2 + log[at + 1]
    if kind == 0xDA:
        return at + 3 + int.from_bytes(log[at + 1 : at + 3], "big")
    return at + _SIZES.get(kind, 1)


_SIZES: Final = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}


def folded(acts: Iterable[Act]) -> list[Act]:
    """The fewest acts that say the same about the present: what a log is cut down to."""
    viewed: dict[str, int] = {}
    cart: dict[str, tuple[float, int]] = {}
    place: Act | None = None
    for act in sorted(acts, key=_turn):
        match act.what:
            case "v":
                viewed.pop(act.id, None)
                viewed[act.id] = act.at
            case "a":
                had = cart.pop(act.id, (0.0, 0))[0]
                cart[act.id] = (had + (1.0 if act.quantity is None else act.quantity), act.at)
            case "r" | "o" if act.id in cart:
                had, since = cart.pop(act.id)
                left = 0.0 if act.what == "o" or act.quantity is None else had - act.quantity
                if left > 0:
                    cart[act.id] = (left, since)
            case "i":
                place = act
            case "x" if place is not None:
                # Leaving the mall leaves its stores; leaving a store leaves one in the mall.
                if act.kind == "mall" or place.kind == "mall":
                    place = None if act.kind == "mall" else place
                elif place.id == act.id:
                    place = Act(act.at, "i", "", None, "mall")
    kept = [Act(at, "v", product) for product, at in list(viewed.items())[-VIEWED:]]
    kept += [Act(at, "a", product, quantity) for product, (quantity, at) in cart.items() if quantity > 0]
    kept += [place] if place is not None else []
    return sorted(kept, key=_turn)


_TURN: Final = {"i": 0, "v": 1, "a": 2, "r": 3, "o": 4, "x": 5}
"""Of acts at one instant, which comes first."""


def _turn(act: Act) -> tuple[int, int, str]:
    return act.at, _TURN[act.what], act.id


def session(logs: Iterable[bytes], now: datetime) -> Session:
    """What the logs of a customer's keys say about the present."""
    acts = [act for log in logs for act in decode_acts(log)]
    if not acts:
        return Session()
    kept = folded(acts)
    place = next((act for act in kept if act.what == "i"), None)
    if place is not None and now - _instant(place.at) > STAY:
        place = None
    return Session(
        viewed=tuple(Viewed(act.id, _instant(act.at)) for act in kept[::-1] if act.what == "v"),
        cart=tuple(
            InCart(act.id, act.quantity or 0.0, _instant(act.at)) for act in kept[::-1] if act.what == "a"
        ),
        place=None if place is None else Place(place.id, place.kind or "mall", _instant(place.at)),
        last_at=_instant(max(act.at for act in acts)),
    )


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


# Genes


def sums_of(logs: Iterable[bytes]) -> Rows:
    """The sums that logs hold, one row for each gene, ascending."""
    rows = np.frombuffer(b"".join(logs), SUMS)
    if not len(rows):
        return rows
    rows = rows[np.argsort(rows["gene"], kind="stable")]
    gene = rows["gene"]
    starts = np.flatnonzero(np.concatenate([[True], gene[1:] != gene[:-1]]))
    result = rows[starts].copy()
    for name in SUMS.names or ():
        if name == "last":
            result[name] = np.maximum.reduceat(rows[name], starts)
        elif name not in ("gene", "locus"):
            result[name] = np.add.reduceat(rows[name], starts)
    return result


@dataclass(frozen=True, slots=True)
class EpochGenes:
    """What reading needs of an epoch: its cut-off, and the locus of each gene.

    Attributes:
        epoch: which.
        as_of: its cut-off; sums are decayed to it, and base rows are valid from it.
        hashes: genes, ascending.
        loci: the locus of each, as a small number.
    """

    epoch: str
    as_of: datetime
    hashes: npt.NDArray[np.int64]
    loci: npt.NDArray[np.int32]

    def locus(self, genes: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """The locus of each gene, -1 where the epoch does not know it."""
        if not len(self.hashes):
            return np.full(len(genes), -1, np.int32)
        at = np.minimum(np.searchsorted(self.hashes, genes), len(self.hashes) - 1)
        return np.where(self.hashes[at] == genes, self.loci[at], -1).astype(np.int32)


def added(base: Mapping[str, Any], deltas: Rows, genes: EpochGenes) -> dict[str, Any]:
    """The lists of `feat_customer_genome` with deltas added: affinities as sums, shares anew.

    Args:
        base: the customer's row; lists may be None where there is no row.
        deltas: from `sums_of`.
        genes: of the base's epoch.
    """
    had = _array(base.get("gene_hashes"), np.int64)
    union = np.union1d(had, deltas["gene"])
    at_base, at_delta = np.searchsorted(union, had), np.searchsorted(union, deltas["gene"])
    locus = genes.locus(union)
    locus[at_delta] = deltas["locus"]
    counts = np.zeros(len(union), np.int64)
    counts[at_delta] = deltas["count"]
    is_base = np.zeros(len(union), bool)
    is_base[at_base] = True
    net: dict[str, npt.NDArray[np.float64]] = {}
    is_rounding = np.ones(len(union), bool)
    for name in ("now", "character"):
        before = np.zeros(len(union))
        before[at_base] = _array(base.get(f"affinities_{name}"), np.float64)
        change = np.zeros(len(union))
        change[at_delta] = deltas[f"for_{name}"] - deltas[f"against_{name}"]
        net[name] = before + change
        is_rounding &= np.abs(net[name]) <= _ROUNDING * np.abs(before)
    # All evidence of a gene was taken back: there is no such gene any more.
    stays = ~np.where(is_base, (counts < 0) & is_rounding, counts <= 0)
    days = np.full(len(union), np.iinfo(np.int32).min, np.int64)
    days[at_base] = _array(base.get("last_at_days"), np.int64)
    days[at_delta] = np.maximum(days[at_delta], deltas["last"] // _DAY)
    result: dict[str, Any] = {
        "gene_hashes": union[stays],
        "last_at_days": days[stays].astype(np.int32),
    }
    where = locus[stays] + 1
    for name, values in net.items():
        mine = values[stays]
        liked = np.maximum(mine, 0.0)
        totals = np.bincount(where, liked, minlength=1)[where] if len(where) else liked
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(totals > 0, liked / totals, np.nan)
        result[f"affinities_{name}"] = mine.astype(np.float32)
        result[f"shares_{name}"] = share.astype(np.float32)
    return {name: result[name] for name in LISTS}


def _array(values: Any, dtype: Any) -> npt.NDArray[Any]:
    return np.empty(0, dtype) if values is None else np.asarray(values, dtype=dtype)


# Reading


@dataclass(frozen=True, slots=True)
class Live:
    """What is live about one customer.

    Attributes:
        epoch: the build that the deltas come on top of; None: none is published.
        deltas: sums by gene since then.
        session: what the customer is doing.
        source_keys: the customer's keys that something live is known of.
        last_at: the newest piece of evidence among the deltas.
    """

    epoch: str | None
    deltas: Rows
    session: Session
    source_keys: tuple[str, ...]
    last_at: datetime | None = None


@dataclass
class LiveReader:
    """Reads the live part of customers; one for each process, from any thread."""

    client: "redis.Redis"
    partitions: int
    _genes: dict[str, EpochGenes] = field(default_factory=dict)

    def genes(self, epoch: str) -> EpochGenes | None:
        """What must be known of an epoch; None where the consumer has not prepared it."""
        found = self._genes.get(epoch)
        if found is None:
            as_of, hashes, loci = cast(
                "list[bytes | None]",
                self.client.hmget(epoch_key(epoch), ["as_of", "genes", "loci"]),  # type: ignore[arg-type]
            )
            if as_of is None or hashes is None or loci is None:
                return None
            found = EpochGenes(
                epoch,
                _instant(int(as_of)),
                np.frombuffer(hashes, np.int64),
                np.frombuffer(loci, np.int32),
            )
            # A new mapping, not a change: other threads read the old one. Two epochs at most are in use.
            self._genes = {**dict(list(self._genes.items())[-1:]), epoch: found}
        return found

    def read(
        self,
        customers: Sequence[str],
        epochs: Sequence[str | None],
        loaded: str | None,
        known: Sequence[Any],
        now: datetime,
    ) -> list[Live]:
        """The live part of customers, in one more round trip.

        Args:
            customers: their ids.
            epochs: of each one's base.
            loaded: the epoch that `known` was asked for.
            known: of each, the members of `customer_key` as the store gave them.
            now: what time it is.
        """
        known = list(known)
        others = [at for at, epoch in enumerate(epochs) if epoch not in (loaded, None)]
        if others:
            with self.client.pipeline(transaction=False) as pipe:
                for at in others:
                    pipe.smembers(customer_key(epochs[at] or "", customers[at]))
                for at, members in zip(others, pipe.execute(), strict=True):
                    known[at] = members
        keys = [
            tuple(sorted({customer, *(each.decode(errors="surrogatepass") for each in members or ())}))
            for customer, members in zip(customers, known, strict=True)
        ]
        with self.client.pipeline(transaction=False) as pipe:
            for epoch, mine in zip(epochs, keys, strict=True):
                for key in mine:
                    partition = partition_of(key, self.partitions)
                    pipe.get(session_key(partition, key))
                    if epoch is not None:
                        pipe.get(of_epoch(partition, epoch, "genes", key))
            replies = iter(pipe.execute())
        result = []
        for epoch, mine in zip(epochs, keys, strict=True):
            sessions, genes, there = [], [], []
            for key in mine:
                acts = next(replies)
                sums = next(replies) if epoch is not None else None
                sessions.append(acts or b"")
                genes.append(sums or b"")
                there += [key] if acts or sums else []
            deltas = sums_of(genes)
            result.append(
                Live(
                    epoch,
                    deltas,
                    session(sessions, now),
                    tuple(there),
                    _instant(int(deltas["last"].max())) if len(deltas) else None,
                )
            )
        return result
