"""Merge and unmerge by a person: events in the lake, with who decided and why. The next build follows them.

Nothing is moved by either: sums are kept by source key, and a customer is what the map adds up. So the undoing of a
merge gives back what was there before, to the byte.
"""

import json
import secrets
import time
from dataclasses import dataclass
from datetime import datetime

from genome import clock
from genome.errors import UsageError
from genome.identity import resolve, rules
from genome.identity.facts import CHANNEL, MERGED, UNMERGED
from genome.lake import files, layout, publish
from genome.lake.manifest import Counts, DataFile, Entry, Source, commit
from genome.settings import Settings

_TYPES = {"VARCHAR": "string", "DOUBLE": "double", "INTEGER": "int32", "BOOLEAN": "bool"}


@dataclass(frozen=True)
class Decision:
    """What a person decided.

    Attributes:
        decision_id: it sorts by when it was made.
        is_merge: the two are one, or no longer.
        one: a source key (a customer_id is one).
        other: another.
        by: who decided.
        reason: why.
        decided_at: when.
    """

    decision_id: str
    is_merge: bool
    one: str
    other: str
    by: str
    reason: str
    decided_at: datetime


def merge(settings: Settings, one: str, other: str, *, by: str, reason: str = "") -> Decision:
    """Say that two customers are one, from the next build on.

    Args:
        settings: where the state is.
        one: a customer, or any of their source keys.
        other: the other one.
        by: who says so.
        reason: why, in their words.

    Raises:
        UsageError: one of them is not known, or they are one already; or it is a household's key that stands for
            somebody who lives there.
    """
    first, second = _customer_of(settings, one), _customer_of(settings, other)
    for key, customer in ((one, first), (other, second)):
        if key.startswith(f"{rules.HOUSEHOLD}:") and customer != key:
            raise UsageError(
                f"{key} is a household's key, and stands for {customer}: nobody else is known to live there, or"
                " somebody has merged it.",
                f"Merge {customer} instead.",
            )
    if first == second:
        raise UsageError(
            f"{one} and {other} are one customer already: {first}.", "There is nothing to merge."
        )
    return _write(settings, True, one, other, by, reason)


def unmerge(settings: Settings, one: str, other: str, *, by: str, reason: str = "") -> Decision:
    """Take back the merge of two keys; where rules made them one, take the second out of the customer.

    Args:
        settings: where the state is.
        one: a source key of the customer.
        other: another: the one that stands alone from then on, if no merge of the two is taken back.
        by: who says so.
        reason: why, in their words.

    Raises:
        UsageError: one of them is not known, or they are not one customer.
    """
    first, second = _customer_of(settings, one), _customer_of(settings, other)
    if first != second or one == other:
        raise UsageError(
            f"{one} is {first} and {other} is {second}: they are not one customer.",
            "`genome identity show KEY` tells whose a key is. A merge counts from the next build on.",
        )
    return _write(settings, False, one, other, by, reason)


def _customer_of(settings: Settings, key: str) -> str:
    """Whose a key is now, by the last resolution and the last publication."""
    import pyarrow.parquet as pq

    wanted = [("source_key", "=", key)]
    tables = resolve.current(settings)
    if tables:
        rows = pq.read_table(tables["identity_keys"], columns=["customer_id", "known_to"], filters=wanted)
        found = [row["customer_id"] for row in rows.to_pylist() if row["known_to"] is None]
        if found:
            return str(found[0])
    publication = publish.current(settings, "genome")
    if publication is not None:
        table = publication.read("dim_customers", ["customer_id"], wanted)
        if table.num_rows:
            return str(table.column("customer_id")[0].as_py())
    raise UsageError(
        f"Nothing is known under the key '{key}'.",
        "A key is <kind>:<identifier>, such as user:u1 or household:7; GET /v1/customers?identifier=… finds it.",
    )


def _write(settings: Settings, is_merge: bool, one: str, other: str, by: str, reason: str) -> Decision:
    import pyarrow as pa
    import pyarrow.parquet as pq

    decision = Decision(
        decision_id=f"{time.time_ns():020d}-{secrets.token_hex(4)}",
        is_merge=is_merge,
        one=one,
        other=other,
        by=by,
        reason=reason,
        decided_at=clock.now(settings),
    )
    said = {"one": one, "other": other, "by": by, "reason": reason}
    batch = f"decision-{decision.decision_id}"
    row = {
        "interaction_id": decision.decision_id,
        "source_id": "genome",
        "channel": CHANNEL,
        "interaction_type": MERGED if is_merge else UNMERGED,
        "occurred_at": decision.decided_at,
        "original_at": decision.decided_at,
        "received_at": decision.decided_at,
        "properties": json.dumps(said, ensure_ascii=False),
        "_key_version": 0,
        "_known_assumed": False,
        "_batch_id": batch,
        "_ingested_at": decision.decided_at,
    }
    schema = pa.schema(
        [
            (
                name,
                pa.timestamp("us", "UTC")
                if type_ == "TIMESTAMPTZ"
                else pa.decimal128(18, 4)
                if type_.startswith("DECIMAL")
                else _TYPES[type_],
            )
            for name, type_ in layout.INTERACTION_COLUMNS.items()
        ]
    )
    relative = layout.decisions_file(batch)
    final = settings.lake / relative
    files.make_folder(final.parent)
    part = files.temporary(final)
    pq.write_table(pa.Table.from_pylist([row], schema), part)
    files.commit(part, final)
    written = DataFile(relative, 1, final.stat().st_size, files.sha256(final))
    commit(
        settings,
        Entry(
            batch_id=batch,
            dataset=layout.DECISIONS,
            channel=CHANNEL,
            files=(written,),
            source=Source("genome identity", written.sha256, written.bytes),
            counts=Counts(received=1, accepted=1),
            ingested_at=decision.decided_at.isoformat(),
            contract="decision-1",
        ),
    )
    return decision
