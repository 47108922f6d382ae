"""Writing one view into the online store, in Feast's layout.

Rows go out some hundreds at a time, whole columns encoded at once; memory does not grow with the table.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from feature_repo.contract import KNOWN_AT, VALID_AT
from genome.errors import GenomeError
from genome.features import layout
from genome.features.definitions import ViewDefinition
from genome.features.online import PROJECT

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import redis

_ROWS_AT_ONCE = 256  # rows of one pipeline: about 20 MB where a row holds lists of 1,700
_KEYS_AT_ONCE = 1_000


def write_view(
    client: "redis.Redis",
    view: ViewDefinition,
    files: Sequence[Path],
    as_of: datetime,
    step: Callable[[], object],
    epoch: str = "",
) -> tuple[int, int]:
    """Write the newest row of each entity as of an instant, and take away entities that have none.

    Args:
        client: of the online store.
        view: what to write.
        files: the published table.
        as_of: rows valid or known later are not seen.
        step: called after each batch.
        epoch: the publication's; each row says which it is of, so that live deltas of the same one are added.

    Returns:
        How many entities have a row, and how many had one and have none any more.

    Raises:
        GenomeError: the newest row is not unique, or a value cannot be served unchanged.
    """
    chosen, ids = _newest_rows(view, files, as_of)
    fields = _fields(view)
    for batch in _rows(view, files, chosen):
        keys = layout.entity_keys(PROJECT, view.join_key, batch.column(view.join_key).to_pylist())
        columns = [[epoch.encode()] * len(keys), layout.encode_timestamps(batch.column(VALID_AT).to_pylist())]
        columns += [
            layout.encode_column(feature.kind, batch.column(feature.name), f"{view.name}.{feature.name}")
            for feature in view.features
        ]
        with client.pipeline(transaction=False) as pipe:
            for key, *values in zip(keys, *columns, strict=True):
                # One command for each row: a reader sees all of it or nothing of it.
                pairs: list[bytes] = [b""] * (2 * len(fields))
                pairs[0::2], pairs[1::2] = fields, values
                pipe.execute_command("HSET", key, *pairs)
            pipe.execute()
        step()
    return len(ids), _remove_gone(client, view, ids, fields, step)


def retire_fields(
    client: "redis.Redis",
    before: Sequence[ViewDefinition],
    after: Sequence[ViewDefinition],
    step: Callable[[], object],
) -> None:
    """Take out what no view names any more: of a column or a view that was dropped."""
    staying = _all_fields(after)
    for join_key, fields in _all_fields(before).items():
        retired = fields - staying.get(join_key, set())
        if retired:
            for keys in _key_batches(client, join_key):
                with client.pipeline(transaction=False) as pipe:
                    for key in keys:
                        pipe.execute_command("HDEL", key, *retired)
                    pipe.execute()
                step()


def _newest_rows(
    view: ViewDefinition, files: Sequence[Path], as_of: datetime
) -> tuple["np.ndarray", set[str]]:
    """The places (over all files) of the newest row of each entity at `as_of`, and the entities' ids."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [view.join_key, VALID_AT, KNOWN_AT]
    table = pa.concat_tables([pq.ParquetFile(path).read(columns=columns) for path in files])
    for column in columns:
        if table.column(column).null_count:
            raise GenomeError(
                f"{view.name}.{column} holds nulls.", "Mend the dbt model; its contract forbids them."
            )
    ids = table.column(view.join_key).combine_chunks().dictionary_encode()
    entity = ids.indices.to_numpy()
    valid, known = (
        table.column(column).cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        for column in (VALID_AT, KNOWN_AT)
    )
    now = pa.scalar(as_of, pa.timestamp("us", "UTC")).value
    (there,) = np.nonzero((valid <= now) & (known <= now))
    there = there[np.lexsort((known[there], valid[there], entity[there]))]
    is_last = np.append(entity[there][1:] != entity[there][:-1], True)[: len(there)]
    newest = there[is_last]
    before = there[np.flatnonzero(is_last) - 1]
    alike = (newest != before) & (entity[newest] == entity[before])
    alike &= (valid[newest] == valid[before]) & (known[newest] == known[before])
    if alike.any():
        raise GenomeError(
            f"{view.name} holds two rows of {ids.dictionary[int(entity[newest[alike][0]])]} with the same "
            f"{VALID_AT} and {KNOWN_AT}; which one is the newest is not said.",
            "Make the dbt model unique over these three columns.",
        )
    if not len(newest) and len(table):
        raise GenomeError(
            f"No row of {view.name} is valid and known at {as_of.isoformat()}; the store was left as it is.",
            "Look at GENOME_NOW, or build for the present instant: `genome build`.",
        )
    return np.sort(newest), set(ids.dictionary.take(pa.array(entity[newest])).to_pylist())


def _rows(view: ViewDefinition, files: Sequence[Path], chosen: "np.ndarray") -> "Iterator[pa.RecordBatch]":
    """The chosen rows, a few at a time: a whole table of long lists does not fit everywhere."""
    import numpy as np
    import pyarrow.parquet as pq

    columns = [view.join_key, VALID_AT, *(feature.name for feature in view.features)]
    begin = 0
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
                end = begin + len(batch)
                here = chosen[np.searchsorted(chosen, begin) : np.searchsorted(chosen, end)] - begin
                if len(here):
                    yield batch.take(here)
                begin = end


def _remove_gone(
    client: "redis.Redis",
    view: ViewDefinition,
    ids: set[str],
    fields: list[bytes],
    step: Callable[[], object],
) -> int:
    """Take the view's fields from entities that have no row of it; a hash without fields ends by itself."""
    staying = set(layout.entity_keys(PROJECT, view.join_key, ids))
    removed = 0
    stamp = layout.timestamp_field(view.name)
    for keys in _key_batches(client, view.join_key):
        gone = [key for key in keys if key not in staying]
        with client.pipeline(transaction=False) as pipe:
            for key in gone:
                pipe.execute_command("HEXISTS", key, stamp)
                pipe.execute_command("HDEL", key, *fields)
            removed += sum(pipe.execute()[0::2])
        step()
    return removed


def _all_fields(views: Sequence[ViewDefinition]) -> dict[str, set[bytes]]:
    found: dict[str, set[bytes]] = {}
    for view in views:
        found.setdefault(view.join_key, set()).update(_fields(view))
    return found


def _fields(view: ViewDefinition) -> list[bytes]:
    """The hash fields of a view: its publication, its event time, then its features."""
    names = [layout.feature_field(view.name, feature.name) for feature in view.features]
    return [layout.epoch_field(view.name), layout.timestamp_field(view.name), *names]


def _key_batches(client: "redis.Redis", join_key: str) -> Iterator[list[bytes]]:
    """Every entity's key that the store holds."""
    prefix = layout.entity_key_prefix(join_key)
    pattern = b"".join(b"\\" + bytes([each]) if each in b"*?[]\\^-" else bytes([each]) for each in prefix)
    keys = client.scan_iter(pattern + b"*" + PROJECT.encode(), count=_KEYS_AT_ONCE)
    while batch := list(islice(keys, _KEYS_AT_ONCE)):
        yield batch
