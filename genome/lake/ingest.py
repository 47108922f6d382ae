"""From files to the lake: check, set aside, commit; one file at a time, and never half of one.

For each file: a private copy (hashed), unpacked, loaded into DuckDB as text; the connector's contract and
mapping as one query over it; then Parquet by month, the rows set aside, and last the manifest entry that
makes all of it count. The batch's name comes from the file's bytes, so a run that was killed is repaired by
running it again, and a file seen before changes nothing. A channel has one writer at a time; a lock makes
others wait.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genome import clock
from genome.channels import connector as find_connector
from genome.channels.contract import Connector
from genome.errors import GenomeError
from genome.identity.texts import Text, Texts
from genome.identity.vault import Vault as IdentityVault
from genome.lake import compiler, files, layout, manifest, quarantine, sources, tokenise
from genome.lake.manifest import Counts, DataFile, Entry, Manifest, Source
from genome.lake.sources import Given, RefusedError, Snapshot
from genome.settings import Settings
from genome.vocabulary import motives

if TYPE_CHECKING:
    import duckdb

_SMALL = 64 << 20
"""A file of at most so many bytes is prepared while the one before it is committed."""

_TEXTS = 5_000
"""Texts that are in Python's hands at once."""

LANDED, DUPLICATE, REFUSED, WAITING = "landed", "duplicate", "refused", "waiting"


@dataclass(frozen=True)
class FileOutcome:
    """What became of one file.

    Attributes:
        status: `landed`; `duplicate` (these bytes were landed before); `refused`; or `waiting` (refused by an
            earlier run, unchanged since, and met again in the inbox).
        reasons: why rows were set aside -> how many.
        what: for a refused file: what is wrong.
        remedy: for a refused file: what to do.
        failing: of a replay: rows that failed again -> why.
    """

    name: str
    status: str
    batch_id: str | None = None
    counts: Counts = field(default_factory=Counts)
    reasons: dict[str, int] = field(default_factory=dict)
    what: str = ""
    remedy: str = ""
    failing: dict[str, str] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "name": self.name,
            "status": self.status,
            "batch_id": self.batch_id,
            "received": self.counts.received,
            "accepted": self.counts.accepted,
            "quarantined": self.counts.quarantined,
            "duplicate": self.counts.duplicate,
            "reasons": self.reasons,
            **({"what": self.what, "remedy": self.remedy} if self.what else {}),
        }


@dataclass(frozen=True)
class IngestReport:
    """What became of every file of one call. Duplicate files and refused ones add nothing to the counts."""

    channel: str
    files: tuple[FileOutcome, ...]

    @property
    def counts(self) -> Counts:
        """Rows of the files that landed: `received = accepted + quarantined + duplicate`."""
        total = Counts()
        for each in self.files:
            total += each.counts
        return total

    @property
    def refused(self) -> tuple[FileOutcome, ...]:
        """The files that this call refused."""
        return self.having(REFUSED)

    def having(self, status: str) -> tuple[FileOutcome, ...]:
        """The files with one status."""
        return tuple(each for each in self.files if each.status == status)

    def or_fail(self) -> "IngestReport":
        """This report, unless a file was refused.

        Raises:
            GenomeError: that names every refused file. The others have landed and stay.
        """
        if self.refused:
            raise GenomeError(
                " ".join(f"{each.what} {each.remedy}" for each in self.refused),
                f"({len(self.having(LANDED))} other file(s) landed; see `genome quarantine list`.)",
            )
        return self

    def summary(self) -> dict[str, Any]:
        """What a task returns: counts, and the files that did not simply land."""
        total = self.counts
        return {
            "channel": self.channel,
            "files_landed": len(self.having(LANDED)),
            "files_duplicate": len(self.having(DUPLICATE)),
            "files_refused": [f"{each.what} {each.remedy}" for each in self.refused],
            "files_waiting": [each.name for each in self.having(WAITING)],
            "received": total.received,
            "accepted": total.accepted,
            "quarantined": total.quarantined,
            "duplicate": total.duplicate,
        }


def ingest(
    settings: Settings,
    channel: str,
    paths: Sequence[Path | str] | None = None,
    *,
    day: date | None = None,
) -> IngestReport:
    """Land files of a channel (or feed) in the lake.

    Args:
        settings: where the inbox and the lake are, and what time it is.
        channel: the connector's name.
        paths: files, folders (every finished file below them) and URLs of either that fsspec knows (`s3://…`);
            None takes every finished file in `inbox/<channel>/`. No file is moved or removed.
        day: only the files of this day: those whose path names it, and those that name no day and came on it
            by the retailer's clock.

    Returns:
        What became of each file. A bad file never stops the others; `or_fail()` turns refusals into an error.

    Raises:
        UsageError: for a channel that does not exist.
    """
    connector = find_connector(channel)
    inbox = settings.inbox / channel
    with files.exclusive(layout.lock_file(settings, channel)):
        _clear(settings, connector)
        try:
            chosen = sources.given([inbox] if paths is None else paths, inbox)
            if day is not None:
                chosen = [each for each in chosen if each.is_of(day, settings.business_timezone)]
            outcomes = _all(settings, connector, chosen, named=paths is not None)
        finally:
            shutil.rmtree(layout.work_folder(settings, channel), ignore_errors=True)
    return IngestReport(channel, tuple(outcomes))


def _all(settings: Settings, connector: Connector, paths: list[Given], *, named: bool) -> list[FileOutcome]:
    """Land the files in order. While one is committed, the next is read and checked already."""
    now = clock.now(settings)
    works = [layout.work_folder(settings, connector.name) / str(number) for number in range(len(paths))]
    outcomes: list[FileOutcome] = []
    with ThreadPoolExecutor(max_workers=1) as ahead:

        def prepare(number: int) -> Future[Callable[[], FileOutcome]]:
            return ahead.submit(
                _prepare, settings, connector, paths[number], work=works[number], now=now, named=named
            )

        following = prepare(0) if paths else None
        while following is not None:
            finish = following.result()
            number = len(outcomes) + 1
            more = number < len(paths)
            # Two large files at once would need twice the memory.
            early = more and paths[number].size() <= _SMALL
            following = prepare(number) if early else None
            outcomes.append(finish())
            shutil.rmtree(works[number - 1], ignore_errors=True)
            if more and not early:
                following = prepare(number)
    return outcomes


def _clear(settings: Settings, connector: Connector) -> None:
    """Remove what killed runs of this channel left; its lock is ours."""
    shutil.rmtree(layout.work_folder(settings, connector.name), ignore_errors=True)
    for folder in (
        settings.lake / layout.INTERACTIONS / f"channel={connector.name}",
        settings.lake / layout.IDENTIFIERS / f"channel={connector.name}",
        settings.lake / layout.CATALOG / connector.name,
        settings.lake / "quarantine" / connector.name,
    ):
        files.sweep(folder)
    # These folders serve all channels; a batch's name begins with its own.
    for folder in (layout.manifest_folder(settings, connector.dataset), layout.refusals_folder(settings)):
        files.sweep(folder, f"{connector.name}-")


def _prepare(
    settings: Settings, channel: Connector, given: Given, *, work: Path, now: datetime, named: bool
) -> Callable[[], FileOutcome]:
    """Read and check one file; returns what is left to do in its turn: to commit it, or to say why not."""
    label, connector = given.label, channel.of(given.label)
    # Readable by us alone: for a moment it holds what a source delivered, as it came.
    work.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    work.mkdir(mode=0o700)
    snapshot: Snapshot | None = None
    try:
        snapshot = given.take(work)
        batch = layout.batch_id(connector.name, snapshot.sha256)
        if not manifest.committed(settings, connector.dataset, batch):
            earlier = None if named else quarantine.refusal(settings, batch)
            if earlier is not None and earlier.contract == connector.fingerprint:
                waiting = FileOutcome(label, WAITING, batch, what=earlier.what, remedy=earlier.remedy)
                return lambda: waiting
            mapped = _map(settings, connector, sources.unpack(snapshot, work), batch, work=work, now=now)
        else:
            mapped = None
    except RefusedError as error:
        return partial(_refused, settings, connector, snapshot, label=label, error=error, now=now)

    def finish() -> FileOutcome:
        # Asked again: the file before this one may have held the same bytes.
        if mapped is None or manifest.committed(settings, connector.dataset, batch):
            outcome = FileOutcome(label, DUPLICATE, batch)
        else:
            outcome = _settle(settings, connector, mapped)
        quarantine.release(settings, batch)
        return outcome

    return finish


def _refused(
    settings: Settings,
    connector: Connector,
    snapshot: Snapshot | None,
    *,
    label: str,
    error: RefusedError,
    now: datetime,
) -> FileOutcome:
    """The outcome of a refusal; a file whose bytes we took is kept in quarantine, so that nothing is lost."""
    if snapshot is None:
        return FileOutcome(label, REFUSED, what=error.what, remedy=error.remedy)
    kept = quarantine.refuse(
        settings,
        connector.name,
        Source(snapshot.name, snapshot.sha256, snapshot.bytes),
        what=error.what,
        remedy=error.remedy,
        contract=connector.fingerprint,
        now=now,
        content=snapshot.original,
    )
    return FileOutcome(label, REFUSED, kept.batch_id, what=error.what, remedy=error.remedy)


@dataclass(frozen=True)
class _Mapped:
    """A file in DuckDB, checked and mapped (table `mapped`), with nothing written yet."""

    con: "duckdb.DuckDBPyConnection"
    entry: Entry
    raw: str
    tokens: tokenise.Tokens
    reading: compiler.Reading


def land(
    settings: Settings,
    connector: Connector,
    snapshot: Snapshot,
    batch: str,
    *,
    work: Path,
    now: datetime,
    replays: Sequence[str] = (),
    encoding: str | None = None,
) -> FileOutcome:
    """Land the rows of an unpacked file; the caller holds the channel's lock.

    Args:
        settings: where the lake is.
        connector: the contract and the mapping.
        snapshot: the file.
        batch: the batch's name.
        work: a folder for what does not fit into memory.
        now: our clock.
        replays: for a replay, the quarantined row that each record of the file is, in order. Rows that fail
            again stay where they are, and the batch resolves the others.
        encoding: in place of the connector's.

    Raises:
        RefusedError: when the file cannot be read under the contract at all. Nothing has been written then.
    """
    mapped = _map(
        settings, connector, snapshot, batch, work=work, now=now, encoding=encoding, rows_alone=bool(replays)
    )
    return _settle(settings, connector, mapped, replays)


def _map(
    settings: Settings,
    connector: Connector,
    snapshot: Snapshot,
    batch: str,
    *,
    work: Path,
    now: datetime,
    encoding: str | None = None,
    rows_alone: bool = False,
) -> _Mapped:
    """Load a file and run the contract and the mapping over it."""
    import duckdb

    with ExitStack() as on_failure:
        con = on_failure.enter_context(_connect(settings, work))
        loaded = sources.load(con, snapshot, connector, encoding, rows_alone=rows_alone)
        reading = compiler.Reading(
            connector=connector,
            columns=loaded.columns,
            now=now,
            timezone=connector.timezone or settings.business_timezone,
            batch_id=batch,
        )
        tokens = tokenise.tokenise(settings, con, reading)
        reading = replace(reading, key_version=tokens.key_version)
        try:
            con.execute(f"CREATE TEMP TABLE mapped AS {compiler.mapped(reading, 'source')}")
        except (duckdb.DataError, duckdb.ProgrammingError) as error:
            # Values that no cast foresaw; the message may quote them, so its kind must do.
            raise RefusedError(
                f"{snapshot.name}: its values cannot be read under the contract ({type(error).__name__}).",
                f"Compare its columns' types with genome/channels/{connector.name}.py.",
            ) from error
        on_failure.pop_all()
    entry = Entry(
        batch_id=batch,
        dataset=connector.dataset,
        channel=connector.name,
        files=(),
        source=Source(snapshot.name, snapshot.sha256, snapshot.bytes),
        counts=Counts(received=loaded.records),
        ingested_at=now.isoformat(),
        contract=connector.fingerprint,
    )
    return _Mapped(con, entry, loaded.raw, tokens, reading)


def _settle(
    settings: Settings, connector: Connector, mapped: _Mapped, replays: Sequence[str] = ()
) -> FileOutcome:
    """Compare a mapped file with itself and the lake, and commit it."""
    with mapped.con as con:
        _sort_out(settings, con, connector)
        con.execute(
            "CREATE TEMP VIEW accepted AS SELECT * FROM mapped WHERE _reason IS NULL "
            "AND _row NOT IN (SELECT _row FROM repeated UNION ALL SELECT _row FROM aside)"
        )
        _keep(settings, con, mapped)
        return _commit(settings, con, connector, mapped, replays=replays)


def _keep(settings: Settings, con: "duckdb.DuckDBPyConnection", mapped: _Mapped) -> None:
    """Put what is personal into the identity vault.

    Before the batch counts: the lake names no token whose value the vault lacks, and no interaction whose text it
    lacks. A run that is killed in between is repeated, and what the vault has already stays as it is.
    """
    words = compiler.words(mapped.reading, "source", "accepted")
    if not (mapped.tokens.made or words):
        return
    vault = IdentityVault(settings)
    try:
        vault.put(mapped.tokens.made)
        if words:
            Texts(vault).put(_texts(con, words), vocabulary=motives().version)
    finally:
        vault.close()


def _texts(con: "duckdb.DuckDBPyConnection", query: str) -> Iterator[Text]:
    found = con.execute(query)
    while rows := found.fetchmany(_TEXTS):
        yield from (Text(*row) for row in rows)


def _connect(settings: Settings, work: Path) -> "duckdb.DuckDBPyConnection":
    import duckdb

    con = duckdb.connect(":memory:")
    con.execute(f"SET temp_directory = {compiler.text(str(work / 'spill'))}")
    con.execute(f"SET memory_limit = {compiler.text(settings.memory_limit)}")
    con.execute(f"SET threads = {settings.threads}")
    con.execute("SET TimeZone = 'UTC'")
    # A file name must never make DuckDB fetch an extension or reach the network.
    con.execute("SET autoinstall_known_extensions = false")
    con.execute("SET autoload_known_extensions = false")
    return con


def _sort_out(settings: Settings, con: "duckdb.DuckDBPyConnection", connector: Connector) -> None:
    """Tell good rows from bad and repeated ones: tables `aside(_row, reason)` and `repeated(_row)`.

    A row is repeated when its key came before, in this file or in the lake, with the same content. The same
    key with other content is no repetition: it is set aside, so that nothing is lost and somebody looks.
    """
    con.execute(
        "CREATE TEMP TABLE aside AS SELECT _row, _reason AS reason FROM mapped WHERE _reason IS NOT NULL"
    )
    con.execute("CREATE TEMP TABLE repeated (_row BIGINT)")
    good, different = con.execute(
        "SELECT count(*), count(DISTINCT _id) FROM mapped WHERE _reason IS NULL"
    ).fetchall()[0]
    body = compiler.body_hash(connector)
    if good != different:
        con.execute(
            f"CREATE TEMP TABLE again AS SELECT _row, {body} = first({body}) OVER same AS is_same "
            "FROM mapped WHERE _reason IS NULL WINDOW same AS (PARTITION BY _id ORDER BY _row) "
            "QUALIFY row_number() OVER same > 1"
        )
        con.execute("INSERT INTO repeated SELECT _row FROM again WHERE is_same")
        con.execute(
            "INSERT INTO aside SELECT _row, 'the same key came earlier in this file with other content' "
            "FROM again WHERE NOT is_same"
        )
    earlier = Manifest.read(settings, connector.dataset).files(connector.name)
    if not earlier or not good:
        return
    listed = ", ".join(compiler.text(str(path)) for path in earlier)
    lake = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    available = {row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {lake}").fetchall()}
    identity = compiler.stored_identity(connector)
    con.execute(
        f"CREATE TEMP TABLE met AS SELECT DISTINCT {identity} AS _id FROM {lake} "
        f"WHERE {identity} IN (SELECT _id FROM mapped WHERE _reason IS NULL)"
    )
    if con.execute("SELECT count(*) FROM met").fetchall() == [(0,)]:
        return
    # Only when keys are met again are whole rows read: to see whether they say the same.
    live = f"starts_with(_batch_id, {compiler.text(layout.STREAM_BATCH)})"
    con.execute(
        f"CREATE TEMP TABLE landed AS SELECT DISTINCT {identity} AS _id, {live} AS is_live, "
        f"CASE WHEN {live} THEN {compiler.essence_hash(connector)} "
        f"ELSE {compiler.body_hash(connector, available)} END AS body FROM {lake} "
        f"WHERE {identity} IN (SELECT _id FROM met)"
    )
    con.execute(
        "CREATE TEMP TABLE meetings AS "
        f"SELECT _row, (_id, false, {body}) IN (SELECT (_id, is_live, body) FROM landed) "
        f"OR (_id, true, {compiler.essence_hash(connector)}) IN (SELECT (_id, is_live, body) FROM landed) "
        "AS is_same FROM mapped "
        " WHERE _reason IS NULL AND _id IN (SELECT _id FROM met) AND _row NOT IN "
        "(SELECT _row FROM repeated UNION ALL SELECT _row FROM aside)"
    )
    con.execute("INSERT INTO repeated SELECT _row FROM meetings WHERE is_same")
    con.execute(
        "INSERT INTO aside SELECT _row, 'the same key is in the lake with other content' "
        "FROM meetings WHERE NOT is_same"
    )


def _commit(
    settings: Settings,
    con: "duckdb.DuckDBPyConnection",
    connector: Connector,
    mapped: _Mapped,
    *,
    replays: Sequence[str],
) -> FileOutcome:
    """Write the batch's files, then the manifest entry."""
    entry = mapped.entry
    accepted, repeated, aside, broken = con.execute(
        "SELECT (SELECT count(*) FROM accepted), (SELECT count(*) FROM repeated), "
        "(SELECT count(*) FROM aside), (SELECT count(*) FROM broken)"
    ).fetchall()[0]
    counts = Counts(entry.counts.received, accepted, aside + broken, repeated)
    reasons = dict(
        con.execute(
            "SELECT reason, count(*) FROM (SELECT reason FROM aside UNION ALL SELECT reason FROM broken) "
            "GROUP BY reason ORDER BY count(*) DESC, reason"
        ).fetchall()
    )
    entry = replace(entry, counts=counts)
    set_aside: DataFile | None = None
    failing: dict[str, str] = {}
    if replays:
        again = dict(
            con.execute("SELECT _row, reason FROM aside UNION ALL SELECT _row, reason FROM broken").fetchall()
        )
        failing = {each: again[number] for number, each in enumerate(replays, start=1) if number in again}
        resolved = tuple(each for each in replays if each not in failing)
        if not resolved:
            return FileOutcome(entry.source.name, LANDED, None, counts, reasons, failing=failing)
        entry = replace(entry, counts=Counts(accepted + repeated, accepted, 0, repeated), resolves=resolved)
    elif aside or broken:
        query = (
            f"SELECT _row, reason, 'json' AS raw_kind, encode({mapped.raw}) AS raw FROM source "
            "JOIN aside USING (_row) UNION ALL BY NAME SELECT * FROM broken ORDER BY _row"
        )
        set_aside = quarantine.write(settings, con, query, entry)
    written = _write(settings, con, connector, entry) if accepted else ()
    known_by = compiler.identifiers(connector, mapped.tokens.key_version, "accepted") if accepted else ""
    tie = ", identifier_type, identifier"
    further = _by_month(settings, con, known_by, entry, layout.identifiers_file, tie) if known_by else ()
    entry = replace(entry, files=written, quarantine=set_aside, identifiers=further)
    manifest.commit(settings, entry)
    return FileOutcome(entry.source.name, LANDED, entry.batch_id, counts, reasons, failing=failing)


def _write(
    settings: Settings, con: "duckdb.DuckDBPyConnection", connector: Connector, entry: Entry
) -> tuple[DataFile, ...]:
    """Write the accepted rows as Parquet: interactions by month, a feed as one file."""
    columns = ", ".join(compiler.name(column) for column in compiler.lake_columns(connector))
    if connector.dataset == layout.CATALOG:
        order = ", ".join(compiler.name(column) for column in connector.key)
        path = layout.catalog_file(connector.name, entry.batch_id)
        return (_write_file(settings, con, f"SELECT {columns} FROM accepted ORDER BY {order}", path),)
    return _by_month(settings, con, f"SELECT {columns} FROM accepted", entry, layout.interactions_file)


def _by_month(
    settings: Settings,
    con: "duckdb.DuckDBPyConnection",
    query: str,
    entry: Entry,
    place: Callable[[str, str, str], str],
    tie: str = "",
) -> tuple[DataFile, ...]:
    """Write the rows of a query as one Parquet file for each month in which they occurred."""
    month = "strftime(occurred_at, '%Y-%m')"
    different = f"SELECT DISTINCT {month} FROM ({query}) ORDER BY ALL"
    months = [each for (each,) in con.execute(different).fetchall()]
    return tuple(
        _write_file(
            settings,
            con,
            f"FROM ({query}) WHERE {month} = {compiler.text(each)} "
            # The id makes the order total, so that a retry writes the same bytes.
            f"ORDER BY customer_key, occurred_at, interaction_id{tie}",
            place(entry.channel, each, entry.batch_id),
        )
        for each in months
    )


def _write_file(settings: Settings, con: "duckdb.DuckDBPyConnection", query: str, relative: str) -> DataFile:
    final = settings.lake / relative
    files.make_folder(final.parent)
    part = files.temporary(final)
    options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
    con.execute(f"COPY ({query}) TO {compiler.text(str(part))} ({options})")
    occurred = "CAST(NULL AS TIMESTAMPTZ)" if relative.startswith(layout.CATALOG) else "occurred_at"
    rows, first, last, known = con.execute(
        f"SELECT count(*), min({occurred}), max({occurred}), max(received_at) "
        f"FROM read_parquet({compiler.text(str(part))}, hive_partitioning = false)"
    ).fetchall()[0]
    files.commit(part, final)
    return DataFile(
        path=relative,
        rows=rows,
        bytes=final.stat().st_size,
        sha256=files.sha256(final),
        min_occurred_at=first and first.isoformat(),
        max_occurred_at=last and last.isoformat(),
        max_received_at=known and known.isoformat(),
    )
