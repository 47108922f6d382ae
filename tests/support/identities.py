"""Who is who by the definition: one known time, one rule after the other, sets and networkx. Slow, and plain."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import networkx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genome.identity import rules
from genome.identity.facts import FOREVER, Facts
from genome.lake import files, layout
from genome.lake.manifest import Counts, DataFile, Entry, Source, commit
from genome.settings import Settings


@dataclass(frozen=True)
class Pair:
    """Two keys that were met together; `again` is the second day, where people type."""

    owner: str
    other: str
    first: int
    again: int = FOREVER
    is_typed: bool = False


def facts_of(pairs: Sequence[Pair], known: dict[str, int]) -> tuple[Facts, list[str]]:
    """The same as arrays, and the keys' texts by their numbers.

    Args:
        pairs: distinct by (owner, other, is_typed).
        known: key → when it came as a customer's own.
    """
    keys = sorted({key for pair in pairs for key in (pair.owner, pair.other)} | set(known))
    number = {key: place for place, key in enumerate(keys)}
    kinds = sorted({rules.kind_of(key) for key in keys})
    rule = {frozenset((each.owner, each.other)): place for place, each in enumerate(rules.LINKS)}

    def array(values: Sequence[int]) -> np.ndarray:
        return np.array(values, np.int64)

    own = array([known.get(key, FOREVER) for key in keys])
    return (
        Facts(
            kinds=tuple(kinds),
            kind=array([kinds.index(rules.kind_of(key)) for key in keys]),
            known=own,
            valid=own,
            owner=array([number[pair.owner] for pair in pairs]),
            other=array([number[pair.other] for pair in pairs]),
            rule=array([rule[frozenset((rules.kind_of(p.owner), rules.kind_of(p.other)))] for p in pairs]),
            is_typed=np.array([pair.is_typed for pair in pairs], bool),
            first=array([pair.first for pair in pairs]),
            again=array([pair.again for pair in pairs]),
            count=array([1] * len(pairs)),
        ),
        keys,
    )


def believed(
    pairs: Sequence[Pair], known: dict[str, int], at: int, merged: Sequence[tuple[str, str]] = ()
) -> dict[str, str]:
    """Key → customer, as believed at a time, of every key that is linked then; households left out."""
    record = [p for p in pairs if p.first <= at and not p.is_typed]
    record = [p for p in record if rules.kind_of(p.other) != rules.HOUSEHOLD]
    typed = [p for p in pairs if p.again <= at and p.is_typed]
    good = [p for p in record if _owners(record, p) == 1 and _others(record, p) <= _most(p)]
    good += [p for p in typed if _owners(typed, p) == 1 and not _contradicted(record, p)]
    declared = [p for p in good if {rules.kind_of(p.owner), rules.kind_of(p.other)} <= set(rules.UNIQUE)]
    things = [p for p in good if p not in declared]
    cores = networkx.Graph([(p.owner, p.other) for p in declared] + list(merged))
    core = {key: min(part) for part in networkx.connected_components(cores) for key in part}
    graph = networkx.Graph([*cores.edges, *((p.owner, p.other) for p in things)])
    for part in list(networkx.connected_components(graph)):
        persons = defaultdict(set)
        for key in part:
            if rules.kind_of(key) in rules.UNIQUE:
                persons[rules.kind_of(key)].add(core.get(key, key))
        if all(len(each) < 2 for each in persons.values()):
            continue
        beside = defaultdict(set)
        for p in things:
            if p.owner in part:
                beside[p.other].add(core.get(p.owner, p.owner))
        graph.remove_edges_from(
            (p.owner, p.other) for p in things if p.owner in part and len(beside[p.other]) > 1
        )
    found = {}
    for part in networkx.connected_components(graph):
        name = min(part, key=lambda key: (known.get(key, FOREVER), key))
        found |= dict.fromkeys(part, name)
    return found


def _owners(pairs: Sequence[Pair], pair: Pair) -> int:
    kind = rules.kind_of(pair.owner)
    return len({p.owner for p in pairs if p.other == pair.other and rules.kind_of(p.owner) == kind})


def _others(pairs: Sequence[Pair], pair: Pair) -> int:
    kind = rules.kind_of(pair.other)
    return len({p.other for p in pairs if p.owner == pair.owner and rules.kind_of(p.other) == kind})


def _most(pair: Pair) -> int:
    rule = rules.rule_of(rules.kind_of(pair.owner), rules.kind_of(pair.other))
    assert rule is not None
    return rule.most


def _contradicted(record: Sequence[Pair], pair: Pair) -> bool:
    kinds = (rules.kind_of(pair.owner), rules.kind_of(pair.other))
    alike = [p for p in record if (rules.kind_of(p.owner), rules.kind_of(p.other)) == kinds]
    return any((p.other == pair.other) != (p.owner == pair.owner) for p in alike)


@dataclass(frozen=True)
class Met:
    """One interaction: the customer's key, and what else it carried."""

    at: datetime
    key: str
    others: tuple[str, ...] = ()
    channel: str = "web"
    properties: str = "{}"
    interaction_type: str = "Page Viewed"
    product_id: str | None = None
    received_at: datetime | None = None


def land(settings: Settings, batch: str, rows: Sequence[Met]) -> None:
    """Commit interactions with their further identifiers, one entry for each channel, as a connector would."""
    for channel in sorted({row.channel for row in rows}):
        mine = [(number, row) for number, row in enumerate(rows) if row.channel == channel]
        own, further = [], []
        for number, row in mine:
            kind, _, key = row.key.partition(":")
            common = {
                "interaction_id": hashlib.md5(f"{batch}:{number}".encode()).hexdigest(),
                "source_id": f"test-{channel}",
                "channel": channel,
                "occurred_at": row.at,
                "received_at": row.received_at or row.at,
                "customer_key_type": kind or None,
                "customer_key": key or None,
                "_key_version": 0,
                "_known_assumed": False,
                "_batch_id": f"{batch}-{channel}",
                "_ingested_at": row.at,
            }
            said = {"interaction_type": row.interaction_type, "product_id": row.product_id}
            own.append(common | said | {"original_at": row.at, "properties": row.properties})
            further += [
                common | dict(zip(("identifier_type", "identifier"), other.split(":", 1), strict=True))
                for other in row.others
            ]
        month = f"{mine[0][1].at:%Y-%m}"
        commit(
            settings,
            Entry(
                batch_id=f"{batch}-{channel}",
                dataset=layout.INTERACTIONS,
                channel=channel,
                files=(
                    _written(
                        settings,
                        layout.interactions_file(channel, month, f"{batch}-{channel}"),
                        own,
                        layout.INTERACTION_COLUMNS,
                    ),
                ),
                source=Source(batch, hashlib.sha256(f"{batch}{channel}".encode()).hexdigest(), 1),
                counts=Counts(received=len(own), accepted=len(own)),
                ingested_at=mine[0][1].at.isoformat(),
                contract="test",
                identifiers=(
                    _written(
                        settings,
                        layout.identifiers_file(channel, month, f"{batch}-{channel}"),
                        further,
                        layout.IDENTIFIER_COLUMNS,
                    ),
                ),
            ),
        )


_TYPES = {
    "VARCHAR": pa.string(),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "DOUBLE": pa.float64(),
    "DECIMAL(18,4)": pa.decimal128(18, 4),
    "INTEGER": pa.int32(),
    "BOOLEAN": pa.bool_(),
}


def _written(
    settings: Settings, relative: str, rows: list[dict[str, Any]], columns: dict[str, str]
) -> DataFile:
    path = settings.lake / relative
    files.make_folder(path.parent)
    schema = pa.schema([(name, _TYPES[type_]) for name, type_ in columns.items()])
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return DataFile(relative, len(rows), path.stat().st_size, files.sha256(path))
