"""Reading what a source delivered: a private, unpacked copy of the file, loaded into DuckDB as it is.

Everything that is wrong with a file as a whole is found here (`RefusedError`); what is wrong with single rows
is left to the contract, except records that are no CSV or no text, which are set aside as `broken`.
"""

import csv
import errno
import gzip
import hashlib
import os
import re
import stat
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from genome.channels.contract import Connector
from genome.errors import GenomeError
from genome.lake.compiler import Raw, name, text

if TYPE_CHECKING:
    import duckdb
    from fsspec import AbstractFileSystem

MOST_COLUMNS = 1000
"""A file may bring columns that the contract does not know, up to this many in all."""

_HEADER_BYTES = 1 << 20
_COPY_BYTES = 1 << 20
_MOST_EXPANSION = 200
_FREE_EXPANSION = 64 << 20
_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_PACKED = {".gz", ".zst"}
_DAY = re.compile(
    r"(?<!\d)(?:19|20)\d{2}(?:-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?!\d)"
)
_UNFINISHED = {".tmp", ".part", ".partial", ".crdownload", ".filepart"}


class RefusedError(GenomeError):
    """A whole file cannot be read under the contract; nothing of it lands."""


@dataclass(frozen=True)
class Snapshot:
    """A private copy of a source's file, as it was at one moment.

    Attributes:
        name: the source's name for it.
        sha256: of the bytes as delivered (packed, if they were).
        original: the bytes as delivered.
        plain: the same, unpacked.
    """

    name: str
    sha256: str
    bytes: int
    original: Path
    plain: Path


@dataclass(frozen=True)
class Loaded:
    """A file's rows in DuckDB: table `source(_row, …)`, and `broken(_row, reason, raw_kind, raw)`.

    Attributes:
        columns: the contract's columns that the file has.
        raw: an expression over `source` that gives back a row's text.
        records: how many records the file has, broken ones included.
    """

    columns: dict[str, Raw]
    raw: str
    records: int


def shown(path: Path | str) -> str:
    """A file's name as it may be printed and stored: control characters would forge log lines."""
    return "".join("?" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in str(path))


def new_files(inbox: Path) -> list[Path]:
    """Every file below a channel's inbox that its sender has finished, in the order of their names.

    Senders write under a hidden or unfinished name (`.x`, `x.part`) and rename at the end.
    """
    if not inbox.is_dir():
        return []
    return sorted(
        path
        for path in inbox.rglob("*")
        if (path.is_symlink() or not path.is_dir())
        and not any(part.startswith(".") for part in path.relative_to(inbox).parts)
        and path.suffix not in _UNFINISHED
    )


@dataclass(frozen=True)
class Given:
    """One file to read, wherever it lies.

    Attributes:
        label: what the file is called, for reports and the manifest: never a URL, which may hold a password.
        path: of a file on this machine.
        remote: of a file elsewhere: fsspec's file system, and the path in it.
        error: why it cannot be read, where that is known already.
    """

    label: str
    inbox: Path
    path: Path | None = None
    remote: "tuple[AbstractFileSystem, str] | None" = None
    error: RefusedError | None = None

    def size(self) -> int:
        """Its bytes as far as they are known; why it cannot be read is found and said when its turn comes."""
        try:
            if self.path is not None:
                return self.path.stat().st_size
            if self.remote is not None:
                return int(self.remote[0].size(self.remote[1]) or 0)
        except Exception:  # noqa: BLE001 - every file system of fsspec raises its own
            return 0
        return 0

    def is_of(self, day: date, timezone: str) -> bool:
        """Whether it is a file of this day: its path names it, or names none and it came on it."""
        named = {match[0].replace("-", "") for match in _DAY.finditer(self.label)}
        if named:
            return f"{day:%Y%m%d}" in named
        if self.path is None:
            return False  # when a file came elsewhere, not every file system tells
        try:
            came = datetime.fromtimestamp(self.path.stat().st_mtime, ZoneInfo(timezone))
        except OSError:
            return False  # it is gone; the run that takes everything says so
        return came.date() == day

    def take(self, work: Path) -> Snapshot:
        """Copy it aside while hashing it.

        Raises:
            RefusedError: when it cannot be read.
        """
        if self.error is not None:
            raise self.error
        if self.path is not None:
            return take(resolve(self.path, self.inbox), self.label, work)
        if self.remote is None:
            raise AssertionError(f"{self.label} is neither here nor elsewhere")
        return _fetch(*self.remote, self.label, work)


def given(paths: Sequence[Path | str], inbox: Path) -> list[Given]:
    """The files that somebody named: files, folders and URLs, each folder's in the order of their names."""
    found: list[Given] = []
    for each in paths:
        url = str(each)
        if "://" in url and not url.startswith("file://"):
            found += _remote(url, inbox)
            continue
        path = Path(unquote(urlsplit(url).path)) if url.startswith("file://") else Path(each)
        place = path if path.is_absolute() or path.exists() else inbox / path
        # An empty inbox is no mistake, and neither is one that nobody has written to yet.
        members = new_files(place) if place.is_dir() or place == inbox else [path]
        found += [Given(shown(_relative(member, inbox)), inbox, path=member) for member in members]
    return found


def _relative(path: Path, inbox: Path) -> Path | str:
    return path.relative_to(inbox) if path.is_relative_to(inbox) else path.name


def _remote(url: str, inbox: Path) -> list[Given]:
    """The files that a URL of fsspec's names: one, those that match its pattern, or those below a folder."""
    import fsspec

    label = shown(urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1] or "the URL")
    try:
        system, path = fsspec.core.url_to_fs(url)
        if urlsplit(url).scheme in ("http", "https"):
            # It has neither folders nor patterns: its `?` begins a query.
            return [Given(label, inbox, remote=(system, path))]
        if fsspec.core.has_magic(path):
            names = sorted(system.glob(path))
        elif system.isdir(path):
            names = sorted(system.find(path))
        else:
            return [Given(label, inbox, remote=(system, path))]
    except ImportError:
        scheme = urlsplit(url).scheme
        error = RefusedError(
            f"{label}: this installation cannot read {scheme}:// URLs.",
            f"Install the fsspec package for {scheme} (for s3 it is s3fs).",
        )
        return [Given(label, inbox, error=error)]
    except Exception as problem:  # noqa: BLE001 - every file system of fsspec raises its own
        return [Given(label, inbox, error=_unreachable(label, problem))]
    return [
        Given(shown(each.rsplit("/", 1)[-1]), inbox, remote=(system, each))
        for each in names
        if not any(part.startswith(".") for part in each.removeprefix(path).split("/"))
        and Path(each).suffix not in _UNFINISHED
    ]


def _unreachable(label: str, error: Exception) -> RefusedError:
    # Its message may quote the URL with its password, or the keys.
    return RefusedError(
        f"{label}: it cannot be read from there ({type(error).__name__}).",
        "Check the URL, and the credentials in the environment.",
    )


def _fetch(system: "AbstractFileSystem", path: str, label: str, work: Path) -> Snapshot:
    original = work / "original"
    digest, size = hashlib.sha256(), 0
    with original.open("wb") as copy:
        try:
            # Not as fsspec's read-ahead would have it: the file is read once, from end to end.
            with system.open(path, "rb", cache_type="none") as source:
                expected = system.size(path)
                while chunk := source.read(_COPY_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    copy.write(chunk)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _unreachable(label, error) from None
        except Exception as error:  # noqa: BLE001 - every file system of fsspec raises its own
            raise _unreachable(label, error) from None
    if expected is not None and expected != size:
        raise RefusedError(
            f"{label}: {size:,} of its {expected:,} bytes came.",
            "Let its sender finish it, then ingest it again.",
        )
    return Snapshot(label, digest.hexdigest(), size, original, original)


def resolve(path: Path, inbox: Path) -> Path:
    """Where a path that somebody named really leads; refused where that is not what its name says.

    Raises:
        RefusedError: for `..` in it, a link that leads out of the inbox, and what is no regular file.
    """
    label = shown(path)
    if ".." in path.parts:
        raise RefusedError(
            f"{label}: '..' in a file's name can lead anywhere.",
            f"Put the file into {inbox}, or give its absolute path.",
        )
    found = path if path.is_absolute() or path.exists() else inbox / path
    try:
        real = found.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise RefusedError(f"{label}: there is no such file.", f"Put it into {inbox}.") from error
    lexical_in_inbox = found.absolute().is_relative_to(inbox)
    if (found.is_symlink() or lexical_in_inbox) and not real.is_relative_to(inbox.resolve()):
        raise RefusedError(
            f"{label}: it is a link that leads out of the inbox.",
            "Put the file itself into the inbox.",
        )
    if not stat.S_ISREG(real.stat().st_mode):
        raise RefusedError(f"{label}: it is a folder or no regular file.", "Name the files.")
    return real


def take(path: Path, label: str, work: Path) -> Snapshot:
    """Copy a file aside while hashing it, so that nothing can change it under our hands.

    Raises:
        RefusedError: when it is empty, or changes while it is read.
    """
    original = work / "original"
    digest, size = hashlib.sha256(), 0
    # No link may have taken the file's place since `resolve` looked, and a pipe must not block us.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise RefusedError(
            f"{label}: it cannot be opened ({error.strerror}).",
            "Give this user the right to read it.",
        ) from error
    with os.fdopen(descriptor, "rb") as source, original.open("wb") as copy:
        before = os.fstat(source.fileno())
        while chunk := source.read(_COPY_BYTES):
            digest.update(chunk)
            copy.write(chunk)
            size += len(chunk)
        after = os.fstat(source.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise RefusedError(
            f"{label}: it changed while it was read.",
            "Let its sender write it under a name that ends in .part and rename it at the end.",
        )
    return Snapshot(label, digest.hexdigest(), size, original, original)


def unpack(snapshot: Snapshot, work: Path) -> Snapshot:
    """Undo gzip and zstd, told by the file's first bytes.

    Raises:
        RefusedError: when the file is empty, cut short or damaged, or unpacks to more than it should.
    """
    if snapshot.bytes == 0:
        raise RefusedError(
            f"{snapshot.name}: the file is empty.",
            "A transfer that failed looks like this: let the source send it again.",
        )
    with snapshot.original.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic[:2] == b"\x1f\x8b":
            opened: BinaryIO = cast("BinaryIO", gzip.GzipFile(fileobj=file))
        elif magic == b"\x28\xb5\x2f\xfd":
            import pyarrow as pa

            opened = cast("BinaryIO", pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"))
        else:
            return snapshot
        plain = work / "plain"
        most = max(_FREE_EXPANSION, snapshot.bytes * _MOST_EXPANSION)
        size = 0
        try:
            with plain.open("wb") as target:
                while chunk := opened.read(_COPY_BYTES):
                    target.write(chunk)
                    size += len(chunk)
                    if size > most:
                        raise RefusedError(
                            f"{snapshot.name}: it unpacks to more than {_MOST_EXPANSION} times its size.",
                            "If that is right, deliver it unpacked.",
                        )
        except (OSError, EOFError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                # Our disk is full: that is no fault of the file.
                raise
            raise RefusedError(
                f"{snapshot.name}: the packed file is cut short or damaged.", "Let the source send it again."
            ) from error
    if size == 0:
        raise RefusedError(f"{snapshot.name}: the packed file is empty.", "Let the source send it again.")
    return Snapshot(snapshot.name, snapshot.sha256, snapshot.bytes, snapshot.original, plain)


def load(
    con: "duckdb.DuckDBPyConnection",
    snapshot: Snapshot,
    connector: Connector,
    encoding: str | None = None,
    *,
    rows_alone: bool = False,
) -> Loaded:
    """Load a file into the tables `source` and `broken`.

    Args:
        con: a connection of this file's own.
        snapshot: the file.
        connector: whose contract it is read under.
        encoding: in place of the connector's.
        rows_alone: JSON lines are rows from anywhere and no delivery: a column that none of them has is each
            row's own fault, not the file's.

    Raises:
        RefusedError: when it is no file of its format, or lacks a column that the contract requires.
    """
    con.execute("CREATE TEMP TABLE broken (_row BIGINT, reason VARCHAR, raw_kind VARCHAR, raw BLOB)")
    match _format(snapshot):
        case "parquet":
            return _load_parquet(con, snapshot, connector)
        case "jsonl":
            loaded, present = _load_jsonl(con, snapshot, connector, encoding or connector.encoding)
            if not rows_alone:
                _require(snapshot, connector, present)
            return loaded
        case _:
            return _load_csv(con, snapshot, connector, encoding or connector.encoding)


def _format(snapshot: Snapshot) -> str:
    suffixes = Path(snapshot.name).suffixes
    if suffixes and suffixes[-1].lower() in _PACKED:
        suffixes.pop()
    suffix = suffixes[-1].lower() if suffixes else ""
    try:
        return _FORMATS[suffix]
    except KeyError:
        raise RefusedError(
            f"{snapshot.name}: '{suffix}' names no format that can be read.",
            f"Let its name end in one of {', '.join(_FORMATS)} (and .gz or .zst, where it is packed).",
        ) from None


def _require(snapshot: Snapshot, connector: Connector, columns: list[str]) -> None:
    """Refuse a file without a required column, with too many columns, or with one of ours twice."""
    if len(columns) > MOST_COLUMNS:
        raise RefusedError(
            f"{snapshot.name}: it has {len(columns):,} columns; at most {MOST_COLUMNS:,} are read.",
            "Export only the columns of the contract.",
        )
    known = {each.name for each in connector.contract}
    twice = sorted(each for each in known if columns.count(each) > 1)
    if twice:
        raise RefusedError(
            f"{snapshot.name}: column '{twice[0]}' is there more than once.", "Keep the one that is meant."
        )
    missing = [each.name for each in connector.columns if each.required and each.name not in columns]
    if missing:
        many = len(missing) > 1
        # A first line without any of our names is data and not a header: it must not get into a log.
        there = (
            "it has " + ", ".join(columns[:20]) + (" …" if len(columns) > 20 else "")
            if known & set(columns)
            else "its first line names no column of the contract"
        )
        raise RefusedError(
            f"{snapshot.name}: column{'s' if many else ''} {', '.join(repr(each) for each in missing)} "
            f"{'are' if many else 'is'} missing ({there}).",
            f"Export {'them' if many else 'it'}, or change the contract in "
            f"genome/channels/{connector.name}.py; then ingest the file again.",
        )


def _load_csv(
    con: "duckdb.DuckDBPyConnection", snapshot: Snapshot, connector: Connector, encoding: str
) -> Loaded:
    import duckdb

    header_bytes, header, delimiter = _header(snapshot, connector, encoding)
    columns = [each.strip().lower() for each in header]
    _require(snapshot, connector, columns)
    spec = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(header)))
    try:
        con.execute(
            f"CREATE TEMP TABLE loaded AS SELECT * FROM read_csv({text(str(snapshot.plain))}, "
            f"columns = {{{spec}}}, auto_detect = false, header = true, delim = {text(delimiter)}, "
            f"quote = '\"', escape = '\"', strict_mode = true, encoding = {text(encoding)}, "
            "compression = 'none', store_rejects = true, rejects_limit = 0, hive_partitioning = false)"
        )
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise RefusedError(
            f"{snapshot.name}: it cannot be read as CSV (mixed line ends, or quotes that do not match).",
            'Export it with one kind of line end, and with " doubled inside quoted text.',
        ) from error
    _set_aside_rejects(con, snapshot, header_bytes)
    con.execute(f"CREATE TEMP VIEW source AS SELECT {_NUMBER} AS _row, loaded.* FROM {_numbered(con)}")
    pairs = ", ".join(f"{text(label)}, c{index}" for index, label in enumerate(header))
    return Loaded(
        columns={
            each.name: Raw(f"c{columns.index(each.name)}", "VARCHAR")
            for each in connector.contract
            if each.name in columns
        },
        raw=f"CAST(json_object({pairs}) AS VARCHAR)",
        records=_count(con, "loaded") + _count(con, "broken"),
    )


_NUMBER = "loaded.rowid + 1 + coalesce(gaps.before, 0)"


def _numbered(con: "duckdb.DuckDBPyConnection") -> str:
    """The records that could be read, with what `_NUMBER` needs to give each its place among all of them."""
    if not _count(con, "broken"):
        return "loaded CROSS JOIN (SELECT 0 AS before) AS gaps"
    return (
        "loaded ASOF LEFT JOIN (SELECT _row - before AS good, max(before) AS before FROM "
        "(SELECT _row, row_number() OVER (ORDER BY _row) AS before FROM broken) GROUP BY good) AS gaps "
        "ON loaded.rowid + 1 > gaps.good"
    )


def _header(snapshot: Snapshot, connector: Connector, encoding: str) -> tuple[bytes, list[str], str]:
    """The first line, its cells, and the delimiter under which it shows most of the contract's columns."""
    with snapshot.plain.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    line = head.replace(b"\r", b"\n").split(b"\n", 1)[0]
    if len(line) == _HEADER_BYTES:
        raise RefusedError(
            f"{snapshot.name}: its first line is longer than {_HEADER_BYTES >> 20} MiB.",
            "A CSV file begins with the names of its columns: export it again.",
        )
    try:
        decoded = line.removeprefix(b"\xef\xbb\xbf").decode(encoding)
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"{snapshot.name}: its first line is not {encoding.upper()}.",
            f"Convert it, or set the encoding in genome/channels/{connector.name}.py.",
        ) from error
    wanted = {each.name for each in connector.contract}
    best: tuple[int, list[str], str] = (-1, [], ",")
    for delimiter in ",;\t|":
        try:
            cells = next(csv.reader([decoded], delimiter=delimiter), [])
        except csv.Error:
            continue
        hits = len(wanted & {cell.strip().lower() for cell in cells})
        if hits > best[0]:
            best = (hits, cells, delimiter)
    return line, best[1], best[2]


def _set_aside_rejects(con: "duckdb.DuckDBPyConnection", snapshot: Snapshot, header: bytes) -> None:
    """Move what the CSV reader could not parse into `broken`, with the bytes as they lie in the file."""
    rejects = con.execute(
        "SELECT line, any_value(line_byte_position), min(CAST(error_type AS VARCHAR)), any_value(csv_line) "
        "FROM reject_errors GROUP BY line ORDER BY line"
    ).fetchall()
    rows = []
    # The file is cut at the reader's own positions: text that is no UTF-8 would not survive its messages.
    with snapshot.plain.open("rb") as file:
        for line, position, problem, parsed in rejects:
            if problem == "UNQUOTED VALUE" and "\n" in (parsed or "").strip("\n"):
                raise RefusedError(
                    f"{snapshot.name}: record {line - 1} opens a quote that nothing closes.",
                    'Write " inside quoted text as "" and export it again.',
                )
            file.seek(position - 1)
            record = file.readline()
            while record in (b"\n", b"\r\n"):
                record = file.readline()
            rows.append((line - 1, _REJECTS.get(problem, "the record is no CSV"), header + b"\n" + record))
    if rows:
        con.executemany("INSERT INTO broken VALUES (?, ?, 'csv', ?)", rows)


_REJECTS = {
    "MISSING COLUMNS": "the record has fewer columns than the header",
    "TOO MANY COLUMNS": "the record has more columns than the header",
    "UNQUOTED VALUE": "the record has a quote in the wrong place",
    "INVALID ENCODING": "the record is not text of the contract's encoding",
    "INVALID UNICODE": "the record is not text of the contract's encoding",
    "LINE SIZE OVER MAXIMUM": "the record is longer than 2 MB",
}


def _load_jsonl(
    con: "duckdb.DuckDBPyConnection", snapshot: Snapshot, connector: Connector, encoding: str
) -> tuple[Loaded, list[str]]:
    """Load JSON lines; also returns the columns that any line fills (all of them, where there is no line)."""
    import duckdb

    with snapshot.plain.open("rb") as file:
        if file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            raise RefusedError(
                f"{snapshot.name}: it is one JSON array.", "Write JSON lines: one object on each line."
            )
    try:
        con.execute(
            # The delimiter is a letter that JSON cannot hold unescaped: each line comes as it is.
            f"CREATE TEMP TABLE loaded AS SELECT * FROM read_csv({text(str(snapshot.plain))}, "
            "columns = {'line': 'VARCHAR'}, auto_detect = false, header = false, delim = '\\x01', "
            f"quote = '', escape = '', strict_mode = false, encoding = {text(encoding)}, "
            "compression = 'none', store_rejects = true, rejects_limit = 0, hive_partitioning = false)"
        )
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise RefusedError(
            f"{snapshot.name}: it cannot be read as JSON lines.", "Write one JSON object on each line."
        ) from error
    rejects = con.execute(
        "SELECT line, any_value(line_byte_position) FROM reject_errors GROUP BY line ORDER BY line"
    ).fetchall()
    with snapshot.plain.open("rb") as file:
        rows = []
        for line, position in rejects:
            file.seek(position - 1)
            rows.append((line, "the line is not text of the contract's encoding", file.readline()))
    if rows:
        con.executemany("INSERT INTO broken VALUES (?, ?, 'line', ?)", rows)
    # `trim` walks through every letter of a line: it is asked only where there is something to trim.
    trimmed = "CASE WHEN prefix(line, ' ') OR suffix(line, ' ') THEN trim(line) ELSE line END"
    con.execute(
        "CREATE TEMP TABLE numbered AS SELECT * FROM "
        f"(SELECT {_NUMBER} AS _row, {trimmed} AS line FROM {_numbered(con)}) WHERE line <> ''"
    )
    con.execute(
        "INSERT INTO broken SELECT _row, 'the line is no JSON object', 'json', encode(line) FROM numbered "
        "WHERE NOT json_valid(line) OR json_type(CASE WHEN json_valid(line) THEN line END) <> 'OBJECT'"
    )
    structure = ", ".join(f'"{each.name}": "VARCHAR"' for each in connector.contract)
    con.execute(
        "CREATE TEMP TABLE source AS SELECT _row, line, "
        f"json_transform(line, {text('{' + structure + '}')}) AS j "
        "FROM numbered ANTI JOIN broken USING (_row)"
    )
    counts = ", ".join(f"count(j.{name(each.name)})" for each in connector.contract)
    total, *filled = con.execute(f"SELECT count(*), {counts} FROM source").fetchall()[0]
    present = [each.name for each, rows in zip(connector.contract, filled, strict=True) if rows or not total]
    loaded = Loaded(
        columns={each.name: Raw(f"j.{name(each.name)}", "VARCHAR") for each in connector.contract},
        raw="line",
        records=_count(con, "source") + _count(con, "broken"),
    )
    return loaded, present


def _load_parquet(con: "duckdb.DuckDBPyConnection", snapshot: Snapshot, connector: Connector) -> Loaded:
    import duckdb

    read = f"read_parquet({text(str(snapshot.plain))}, file_row_number = true, hive_partitioning = false)"
    try:
        described = con.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise _broken_parquet(snapshot) from error
    found = [(row[0], row[1]) for row in described if row[0] != "file_row_number"]
    columns = [column.strip().lower() for column, _ in found]
    _require(snapshot, connector, columns)
    picked = ", ".join(f"{name(column)} AS c{index}" for index, (column, _) in enumerate(found))
    try:
        con.execute(f"CREATE TEMP TABLE source AS SELECT file_row_number + 1 AS _row, {picked} FROM {read}")
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise _broken_parquet(snapshot) from error
    pairs = ", ".join(
        f"{text(column)}, {_as_text(f'c{index}', kind)}" for index, (column, kind) in enumerate(found)
    )
    return Loaded(
        columns={
            each.name: Raw(f"c{columns.index(each.name)}", found[columns.index(each.name)][1])
            for each in connector.contract
            if each.name in columns
        },
        raw=f"CAST(json_object({pairs}) AS VARCHAR)",
        records=_count(con, "source"),
    )


def _broken_parquet(snapshot: Snapshot) -> RefusedError:
    return RefusedError(
        f"{snapshot.name}: it is no whole Parquet file (cut short or damaged).",
        "Let the source send it again.",
    )


def _as_text(column: str, kind: str) -> str:
    """A Parquet value as text that reads back as the same value."""
    if kind in ("FLOAT", "DOUBLE"):
        whole = f"CAST(TRY_CAST({column} AS HUGEINT) AS VARCHAR)"
        return (
            f"CASE WHEN isfinite({column}) AND {column} = trunc({column}) AND abs({column}) < 1e15 "
            f"THEN {whole} ELSE CAST({column} AS VARCHAR) END"
        )
    return f"CAST({column} AS VARCHAR)"


def _count(con: "duckdb.DuckDBPyConnection", table: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
