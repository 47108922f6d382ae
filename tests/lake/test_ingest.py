import gzip
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genome.errors import GenomeError, UsageError
from genome.lake import files, layout, quarantine
from genome.lake.ingest import DUPLICATE, LANDED, REFUSED, WAITING, FileOutcome, IngestReport, ingest
from genome.lake.manifest import Counts, Manifest
from genome.lake.replay import replay
from genome.settings import Settings

HEADER = "transaction_id,line_number,store_id,sold_at,household_id,product_id,quantity,amount"


def line(number: int, **changes: str) -> str:
    """A good line of a till's export, with some cells changed."""
    cells = {
        "transaction_id": "t1",
        "line_number": str(number),
        "store_id": "s1",
        "sold_at": "2017-03-05T10:00:00Z",
        "household_id": f"h{number}",
        "product_id": "p1",
        "quantity": "2",
        "amount": "3.50",
    }
    return ",".join((cells | changes)[name] for name in HEADER.split(","))


def drop(settings: Settings, name: str, content: str | bytes, channel: str = "pos") -> Path:
    """Put a file into a channel's inbox."""
    path = settings.inbox / channel / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def csv_file(*lines: str) -> str:
    return "\n".join([HEADER, *lines]) + "\n"


def landed(settings: Settings, columns: str = "*", channel: str = "pos") -> list[tuple]:
    """Every committed row of a channel, sorted by its id."""
    paths = [str(path) for path in Manifest.read(settings, "interactions").files(channel)]
    if not paths:
        return []
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        return con.execute(
            f"SELECT {columns} FROM read_parquet({paths}, hive_partitioning = false) ORDER BY interaction_id"
        ).fetchall()


def one(report: IngestReport) -> FileOutcome:
    [outcome] = report.files
    return outcome


def test_a_row_becomes_an_interaction_with_every_column_of_the_lake(settings: Settings) -> None:
    drop(settings, "a.csv", csv_file(line(1)))
    assert one(ingest(settings, "pos")).counts == Counts(received=1, accepted=1)
    [path] = Manifest.read(settings, "interactions").files("pos")
    assert path.relative_to(settings.lake).parts[:3] == ("interactions", "channel=pos", "month=2017-03")
    with path.open("rb") as file:
        [row] = pq.read_table(file).to_pylist()
    assert list(row) == list(layout.INTERACTION_COLUMNS)
    assert len(row.pop("interaction_id")) == 32
    sold = datetime(2017, 3, 5, 10, tzinfo=UTC)
    batch = row.pop("_batch_id")
    assert batch == path.stem
    assert json.loads(row.pop("properties")) == {
        "line_number": 1,
        "retail_discount": 0.0,
        "coupon_discount": 0.0,
        "coupon_match_discount": 0.0,
    }
    assert str(row.pop("amount")) == "3.5000"
    assert row == {
        "source_id": "pos_lines",
        "seller_id": None,
        "channel": "pos",
        "interaction_type": "Order Completed",
        "occurred_at": sold,
        "original_at": sold,
        "sent_at": None,
        "received_at": sold,
        "session_id": "t1",
        "customer_key_type": "household",
        "customer_key": "h1",
        "product_id": "p1",
        "offer_id": None,
        "store_id": "s1",
        "quantity": 2.0,
        "currency": "USD",
        "_key_version": 0,
        "_known_assumed": True,
        "_ingested_at": settings.now,
    }


def test_the_file_may_bring_the_known_time_itself(settings: Settings) -> None:
    content = f"{HEADER},received_at\n{line(1)},2017-03-06T00:00:00Z\n{line(2)},\n"
    drop(settings, "a.csv", content)
    ingest(settings, "pos")
    assert sorted(landed(settings, "customer_key, CAST(received_at AS VARCHAR), _known_assumed")) == [
        ("h1", "2017-03-06 00:00:00+00", False),
        ("h2", "2017-03-05 10:00:00+00", True),
    ]


@pytest.mark.parametrize("channel", ["direct_mail", "crm"])
def test_a_known_time_assumed_by_the_delay_is_never_later_than_now(settings: Settings, channel: str) -> None:
    drop(settings, "m.csv", "campaign_id,household_id,sent_at\n1,h1,2018-01-01T04:00:00Z\n", "direct_mail")
    drop(settings, "c.csv", "household_id,updated_at\nh1,2018-01-01T04:00:00Z\n", "crm")
    ingest(settings, channel)
    expected = {"direct_mail": "2018-01-01 04:00:00+00", "crm": "2018-01-01 04:59:59+00"}
    assert landed(settings, "CAST(received_at AS VARCHAR)", channel) == [(expected[channel],)]


def test_a_redemption_lies_at_its_days_start_and_is_known_from_the_next_midnight(settings: Settings) -> None:
    head = "redemption_id,household_id,offer_id,campaign_id,coupon_upc,redeemed_at\n"
    # On 12 March 2017 New York's clocks went forward: that day has 23 hours.
    drop(settings, "r.csv", head + "r1,h1,o1,1,100,2017-03-12\n", "loyalty")
    ingest(settings, "loyalty")
    assert landed(settings, "CAST(occurred_at AS VARCHAR), CAST(received_at AS VARCHAR)", "loyalty") == [
        ("2017-03-12 05:00:00+00", "2017-03-13 04:00:00+00")
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", csv_file(line(1), line(2)).encode()),
        ("a.csv", b"\xef\xbb\xbf" + csv_file(line(1), line(2)).encode()),
        ("a.txt", csv_file(line(1), line(2)).replace(",", ";").encode()),
        ("a.tsv", csv_file(line(1), line(2)).replace(",", "\t").encode()),
        ("a.csv", csv_file(line(1), line(2)).replace("\n", "\r\n").encode()),
        ("a.csv", csv_file(line(1), line(2)).rstrip("\n").replace(HEADER, HEADER.upper()).encode()),
        ("a.csv.gz", gzip.compress(csv_file(line(1), line(2)).encode())),
        ("a.csv.zst", pa.compress(csv_file(line(1), line(2)).encode(), "zstd", asbytes=True)),
    ],
    ids=[
        "plain",
        "byte order mark",
        "semicolon",
        "tab",
        "crlf",
        "upper case, no last newline",
        "gzip",
        "zstd",
    ],
)
def test_csv_is_read_in_the_dialects_that_tills_write(settings: Settings, name: str, content: bytes) -> None:
    drop(settings, name, content)
    assert one(ingest(settings, "pos")).counts == Counts(received=2, accepted=2)
    assert sum(amount for _, amount in landed(settings, "quantity, amount")) == 7


def test_csv_json_lines_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    names = HEADER.split(",")
    texts = dict(zip(names, line(7).split(","), strict=True))
    objects = texts | {"line_number": 7, "quantity": 2, "amount": 3.5}
    typed = objects | {"sold_at": datetime(2017, 3, 5, 10, tzinfo=UTC), "quantity": 2.0}
    table = pa.Table.from_pylist([typed])
    parquet = tmp_path / "a.parquet"
    pq.write_table(table, parquet)
    rows = []
    for number, (name, content) in enumerate(
        {
            "a.csv": csv_file(line(7)).encode(),
            "a.jsonl": (json.dumps(objects) + "\n\n").encode(),
            "a.parquet": parquet.read_bytes(),
        }.items()
    ):
        settings = Settings(
            home=tmp_path / str(number), now="2018-01-01T00:00:00Z", business_timezone="America/New_York"
        )
        drop(settings, name, content)
        assert one(ingest(settings, "pos")).counts == Counts(received=1, accepted=1)
        rows.append(landed(settings, "* EXCLUDE (_batch_id)"))
    assert rows[0] == rows[1] == rows[2]


def test_identifiers_that_pandas_wrote_as_floats_are_the_same_identifiers(settings: Settings) -> None:
    frame = {name: [value] for name, value in zip(HEADER.split(","), line(1).split(","), strict=True)}
    table = pa.table(frame | {"household_id": [1.0], "store_id": [330.0], "quantity": [2]})
    settings.inbox.joinpath("pos").mkdir(parents=True)
    pq.write_table(table, settings.inbox / "pos" / "a.parquet")
    ingest(settings, "pos")
    assert landed(settings, "customer_key, store_id") == [("1", "330")]


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2017-07-01T12:00:00", "2017-07-01 16:00:00+00"),
        ("2017-01-15 12:00", "2017-01-15 17:00:00+00"),
        ("2017-01-15", "2017-01-15 05:00:00+00"),
        ("2017-01-15T12:00:00+02:00", "2017-01-15 10:00:00+00"),
        ("2017-01-15 12:00:00-0500", "2017-01-15 17:00:00+00"),
        ("2017-01-15 12:00:00.25z", "2017-01-15 12:00:00.25+00"),
        ("2017-01-15 12:00:00 UTC", "2017-01-15 12:00:00+00"),
    ],
)
def test_a_time_without_an_offset_is_on_the_contracts_clock(
    settings: Settings, written: str, utc: str
) -> None:
    drop(settings, "a.csv", csv_file(line(1, sold_at=written)))
    ingest(settings, "pos")
    assert landed(settings, "CAST(occurred_at AS VARCHAR)") == [(utc,)]


# Bad input: whole files.


def test_a_file_without_a_required_column_is_refused_and_kept_and_the_others_land(settings: Settings) -> None:
    drop(settings, "a_bad.csv", "transaction_id,line_number\nt1,1\n")
    drop(settings, "b_good.csv", csv_file(line(1)))
    report = ingest(settings, "pos")
    bad, good = report.files
    assert (bad.status, good.status) == (REFUSED, LANDED)
    assert "a_bad.csv" in bad.what
    assert "'store_id', 'sold_at', 'product_id', 'quantity', 'amount' are missing" in bad.what
    assert "genome/channels/pos.py" in bad.remedy
    assert len(landed(settings)) == 1
    [item] = quarantine.open_items(settings)
    assert (item.source, item.raw_kind, item.reason) == ("a_bad.csv", "file", bad.what)
    assert quarantine.raw(settings, item) == b"transaction_id,line_number\nt1,1\n"
    with pytest.raises(GenomeError, match=r"a_bad\.csv.*1 other file\(s\) landed"):
        report.or_fail()


def test_a_refused_file_fails_one_run_and_then_waits(settings: Settings) -> None:
    path = drop(settings, "bad.csv", "transaction_id,line_number\nt1,1\n")
    assert one(ingest(settings, "pos")).status == REFUSED
    again = ingest(settings, "pos")
    assert one(again).status == WAITING
    assert again.or_fail() is again
    assert one(ingest(settings, "pos", [path])).status == REFUSED
    assert len(quarantine.open_items(settings)) == 1


def test_a_first_line_that_is_no_header_is_not_repeated_in_the_error(settings: Settings) -> None:
    drop(settings, "a.csv", line(1, household_id="jane.doe@example.org") + "\n")
    outcome = one(ingest(settings, "pos"))
    assert "names no column of the contract" in outcome.what
    assert "jane" not in outcome.what


def _parquet(tmp_path: Path, rows: int = 20_000) -> bytes:
    names = HEADER.split(",")
    columns = list(zip(*(line(number).split(",") for number in range(1, rows + 1)), strict=True))
    pq.write_table(pa.table(dict(zip(names, map(list, columns), strict=True))), tmp_path / "x.parquet")
    return (tmp_path / "x.parquet").read_bytes()


def _damaged_parquet(tmp_path: Path) -> bytes:
    content = bytearray(_parquet(tmp_path))
    content[200:40_000] = b"\xff" * 39_800
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", lambda _: b"", "the file is empty"),
        ("a.csv.gz", lambda _: gzip.compress(b""), "packed file is empty"),
        ("a.csv.gz", lambda _: gzip.compress(os.urandom(9000))[:4000], "cut short or damaged"),
        (
            "a.csv.zst",
            lambda _: pa.compress(os.urandom(9000), "zstd", asbytes=True)[:4000],
            "cut short or damaged",
        ),
        ("a.csv.gz", lambda _: gzip.compress(bytes(80 << 20)), "unpacks to more than 200 times"),
        ("a.csv.gz", lambda _: gzip.compress(os.urandom(9000))[:20] + b"\xff" * 900, "cut short or damaged"),
        ("a.parquet", lambda tmp: _parquet(tmp)[:-100], "no whole Parquet file"),
        ("a.parquet", lambda tmp: _parquet(tmp)[:1000], "no whole Parquet file"),
        ("a.parquet", _damaged_parquet, "no whole Parquet file"),
        ("a.parquet", lambda _: csv_file(line(1)).encode(), "no whole Parquet file"),
        ("a.xlsx", lambda _: b"PK", "'.xlsx' names no format"),
        ("a", lambda _: b"x", "names no format"),
        ("a.json", lambda _: b' [{"transaction_id": 1}]', "one JSON array"),
        ("a.jsonl", lambda _: b'{"transaction_id": 1}\n{"transaction_id": 2}\n', "'line_number'"),
        ("a.csv", lambda _: (",".join(f"c{n}" for n in range(10_000)) + "\n1\n").encode(), "10,000 columns"),
        ("a.csv", lambda _: b"x" * (2 << 20), "first line is longer than 1 MiB"),
        ("a.csv", lambda _: f"{HEADER},amount\n{line(1)},1\n".encode(), "'amount' is there more than once"),
        ("a.csv", lambda _: f"{HEADER},caf\u00e9\n".encode("latin-1"), "first line is not UTF-8"),
        (
            "a.csv",
            lambda _: csv_file(line(1), 't2,"2', line(3), line(4)).encode(),
            "opens a quote that nothing closes",
        ),
        ("a.csv", lambda _: f"{HEADER}\r\n{line(1)}\n{line(2)}\r\n".encode(), "mixed line ends"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole_with_its_name(
    settings: Settings, tmp_path: Path, name: str, content: object, words: str
) -> None:
    body = content(tmp_path)  # type: ignore[operator]
    drop(settings, name, body)
    drop(settings, "z_good.csv", csv_file(line(1, transaction_id="other")))
    bad, good = ingest(settings, "pos").files
    assert bad.status == REFUSED
    assert words in bad.what
    assert bad.what.startswith(name + ":")
    assert bad.remedy
    assert good.status == LANDED
    assert landed(settings, "session_id") == [("other",)]
    [item] = quarantine.open_items(settings)
    assert quarantine.raw(settings, item) == body


def test_extra_columns_are_ignored_up_to_the_limit(settings: Settings) -> None:
    extra = ",".join(f"x{n}" for n in range(900))
    drop(settings, "a.csv", f"{HEADER},{extra},x0\n{line(1)}{',1' * 901}\n")
    assert one(ingest(settings, "pos")).counts == Counts(received=1, accepted=1)


def test_a_file_with_a_header_and_no_rows_lands_nothing_and_is_remembered(settings: Settings) -> None:
    drop(settings, "a.csv", HEADER + "\n")
    drop(settings, "b.csv", HEADER + "\n")
    assert [each.status for each in ingest(settings, "pos").files] == [LANDED, DUPLICATE]
    assert Manifest.read(settings, "interactions").counts() == Counts()


def test_a_file_from_outside_the_inbox_is_read_only_where_its_name_says(
    settings: Settings, tmp_path: Path
) -> None:
    good = drop(settings, "good.csv", csv_file(line(1)))
    outside = tmp_path / "secret.csv"
    outside.write_text(csv_file(line(2)))
    link = settings.inbox / "pos" / "link.csv"
    link.symlink_to(outside)
    folder = settings.inbox / "pos" / "folder"
    folder.symlink_to(tmp_path, target_is_directory=True)
    report = ingest(
        settings,
        "pos",
        [
            settings.inbox / "pos" / ".." / ".." / ".." / "secret.csv",
            Path("../secret.csv"),
            link,
            folder / "secret.csv",
            settings.inbox / "pos" / "gone.csv",
            good,
        ],
    )
    assert [each.status for each in report.files] == [REFUSED] * 5 + [LANDED]
    words = [
        "'..' in",
        "'..' in",
        "leads out of the inbox",
        "leads out of the inbox",
        "no such",
    ]
    assert [word in each.what for word, each in zip(words, report.files, strict=False)] == [True] * 5
    assert landed(settings, "customer_key") == [("h1",)]
    # Bytes that are not ours to read are not kept either.
    assert quarantine.open_items(settings) == []
    assert not list(settings.lake.glob("quarantine/**/*.file"))


def test_an_inbox_scan_refuses_links_that_lead_out_and_lands_the_rest(
    settings: Settings, tmp_path: Path
) -> None:
    drop(settings, "good.csv", csv_file(line(1)))
    (tmp_path / "secret.csv").write_text(csv_file(line(2)))
    (settings.inbox / "pos" / "link.csv").symlink_to(tmp_path / "secret.csv")
    (settings.inbox / "pos" / "pipe.csv").symlink_to("/dev/zero")
    os.mkfifo(settings.inbox / "pos" / "fifo.csv")
    statuses = {each.name: each.status for each in ingest(settings, "pos").files}
    assert statuses == {"good.csv": LANDED, "link.csv": REFUSED, "pipe.csv": REFUSED, "fifo.csv": REFUSED}
    assert landed(settings, "customer_key") == [("h1",)]


def test_an_absolute_path_that_somebody_names_is_read(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "export [2017]*.csv"
    path.write_text(csv_file(line(1)))
    assert one(ingest(settings, "pos", [path])).name == "export [2017]*.csv"
    assert len(landed(settings)) == 1


def test_unfinished_and_hidden_files_are_left_alone(settings: Settings) -> None:
    for name in ("a.csv.part", ".b.csv", "c.csv.tmp", ".hidden/d.csv"):
        drop(settings, name, csv_file(line(1)))
    drop(settings, "2017/e.csv", csv_file(line(2)))
    assert [each.name for each in ingest(settings, "pos").files] == ["2017/e.csv"]


def test_an_unknown_channel_is_a_wrong_call_that_names_the_channels(settings: Settings) -> None:
    with pytest.raises(
        UsageError, match=r"no channel 'tills'.*crm, direct_mail, email, location, loyalty, offers, pos"
    ):
        ingest(settings, "tills")


def test_a_name_with_control_letters_cannot_forge_a_line_of_a_log(settings: Settings) -> None:
    drop(settings, "a\nERROR: b.csv", csv_file(line(1)))
    assert one(ingest(settings, "pos")).name == "a?ERROR: b.csv"


# Bad input: rows.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantity": "two"}, "quantity is not a finite number"),
        ({"quantity": "NaN"}, "quantity is not a finite number"),
        ({"quantity": "inf"}, "quantity is not a finite number"),
        ({"quantity": "1e999"}, "quantity is not a finite number"),
        ({"quantity": "1_000"}, "quantity is not a finite number"),
        ({"quantity": "-1"}, "quantity is below 0"),
        ({"quantity": " "}, "quantity is missing"),
        ({"amount": "1e30"}, "amount is not an amount of money"),
        ({"amount": "-0.01"}, "amount is below 0"),
        ({"line_number": "1.5"}, "line_number is not a whole number"),
        ({"line_number": "0x10"}, "line_number is not a whole number"),
        ({"line_number": "0"}, "line_number is below 1"),
        ({"product_id": ""}, "product_id is missing"),
        ({"sold_at": "05/03/2017"}, "sold_at is not a date and time"),
        ({"sold_at": "2017-02-30"}, "sold_at is not a date and time"),
        ({"sold_at": "infinity"}, "sold_at is not a date and time"),
        (
            {"sold_at": "2018-01-02T05:00:00Z"},
            "sold_at lies in the future (later than our clock and the tolerance",
        ),
        ({"sold_at": "2117-01-01"}, "sold_at lies in the future"),
        ({"sold_at": "1970-01-01"}, "sold_at lies before 1990"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_reason_and_the_others_land(
    settings: Settings, changes: dict[str, str], reason: str
) -> None:
    drop(settings, "a.csv", csv_file(line(1), line(2, **changes), line(3)))
    outcome = one(ingest(settings, "pos"))
    assert outcome.counts == Counts(received=3, accepted=2, quarantined=1)
    assert sorted(landed(settings, "customer_key")) == [("h1",), ("h3",)]
    [item] = quarantine.open_items(settings)
    assert item.reason.startswith(reason)
    assert (item.source, item.offset, item.raw_kind) == ("a.csv", 2, "json")
    assert item.id == f"{outcome.batch_id}:2"
    raw = json.loads(quarantine.raw(settings, item))
    cells = dict(zip(HEADER.split(","), line(2, **changes).split(","), strict=True))
    assert raw == {name: value or None for name, value in cells.items()}


def test_every_rule_that_a_row_breaks_is_named(settings: Settings) -> None:
    drop(settings, "a.csv", csv_file(line(1, quantity="x", amount="", line_number="0")))
    ingest(settings, "pos")
    [item] = quarantine.open_items(settings)
    assert item.reason == "line_number is below 1; quantity is not a finite number; amount is missing"


def test_rows_up_to_a_day_ahead_of_our_clock_land(settings: Settings) -> None:
    drop(settings, "a.csv", csv_file(line(1, sold_at="2018-01-02T04:59:59Z")))
    assert one(ingest(settings, "pos")).counts == Counts(received=1, accepted=1)
    assert landed(settings, "CAST(received_at AS VARCHAR)") == [("2018-01-01 04:59:59+00",)]


def test_nan_and_infinity_in_parquet_are_set_aside_too(settings: Settings) -> None:
    rows = [dict(zip(HEADER.split(","), line(n).split(","), strict=True)) for n in range(1, 5)]
    numbers = [1.0, float("nan"), float("inf"), -2.0]
    table = pa.Table.from_pylist(
        [row | {"quantity": number} for row, number in zip(rows, numbers, strict=True)]
    )
    settings.inbox.joinpath("pos").mkdir(parents=True)
    pq.write_table(table, settings.inbox / "pos" / "a.parquet")
    assert one(ingest(settings, "pos")).counts == Counts(received=4, accepted=1, quarantined=3)
    assert [(item.offset, item.reason) for item in quarantine.open_items(settings)] == [
        (2, "quantity is not a finite number"),
        (3, "quantity is not a finite number"),
        (4, "quantity is below 0"),
    ]


def test_records_that_are_no_csv_or_no_text_keep_their_bytes_and_their_number(settings: Settings) -> None:
    latin = line(4, store_id="caf\u00e9").encode("latin-1")
    body = [
        HEADER.encode(),
        line(1).encode(),
        b"too,short",
        line(3, quantity="x").encode(),
        latin,
        line(5).encode() + b",too,long",
        line(6, store_id='"two\nlines"').encode(),
        line(7, quantity="y").encode(),
    ]
    drop(settings, "a.csv", b"\n".join(body) + b"\n")
    assert one(ingest(settings, "pos")).counts == Counts(received=7, accepted=2, quarantined=5)
    items = {item.offset: item for item in quarantine.open_items(settings)}
    assert {offset: item.reason for offset, item in items.items()} == {
        2: "the record has fewer columns than the header",
        3: "quantity is not a finite number",
        4: "the record is not text of the contract's encoding",
        5: "the record has more columns than the header",
        7: "quantity is not a finite number",
    }
    assert quarantine.raw(settings, items[4]) == HEADER.encode() + b"\n" + latin + b"\n"
    assert json.loads(quarantine.raw(settings, items[7]))["household_id"] == "h7"


def test_lines_that_are_no_json_object_are_set_aside_by_their_number(settings: Settings) -> None:
    good = json.dumps(dict(zip(HEADER.split(","), line(1).split(","), strict=True))).encode()
    bad = good.replace(b'"2"', b'{"n": [2]}')
    drop(settings, "a.jsonl", b"\n".join([b"{not json", b"", good, b"[1, 2]", b'{"a": "\xff"}', bad]) + b"\n")
    assert one(ingest(settings, "pos")).counts == Counts(received=5, accepted=1, quarantined=4)
    items = {item.offset: item for item in quarantine.open_items(settings)}
    assert {offset: item.reason for offset, item in items.items()} == {
        1: "the line is no JSON object",
        4: "the line is no JSON object",
        5: "the line is not text of the contract's encoding",
        6: "quantity is not a finite number",
    }
    assert quarantine.raw(settings, items[1]) == b"{not json"
    assert quarantine.raw(settings, items[5]) == b'{"a": "\xff"}\n'
    assert quarantine.raw(settings, items[6]) == bad


def test_nothing_in_the_quarantine_can_be_read_without_the_key(settings: Settings) -> None:
    secret = "jane.doe@example.org"
    drop(settings, "a.csv", csv_file(line(1, household_id=secret, quantity="x")))
    drop(settings, "b.csv", f"household_id\n{secret}\n")
    ingest(settings, "pos")
    assert len(quarantine.open_items(settings)) == 2
    stored = [path for path in settings.lake.rglob("*") if path.is_file()]
    assert len(stored) >= 4
    assert [path for path in stored if secret.encode() in path.read_bytes()] == []
    assert (settings.secrets / "vault.key").stat().st_mode & 0o777 == 0o600


# Repetition.


def test_the_same_bytes_under_another_name_change_nothing(settings: Settings) -> None:
    drop(settings, "a.csv", csv_file(line(1)))
    ingest(settings, "pos")
    before = Manifest.read(settings, "interactions")
    drop(settings, "b.csv", csv_file(line(1)))
    report = ingest(settings, "pos")
    assert [(each.name, each.status) for each in report.files] == [("a.csv", DUPLICATE), ("b.csv", DUPLICATE)]
    assert report.counts == Counts()
    assert Manifest.read(settings, "interactions") == before


def test_a_row_that_comes_again_is_counted_as_a_duplicate_wherever_it_comes(settings: Settings) -> None:
    drop(settings, "a.csv", csv_file(line(1), line(2), line(1)))
    assert one(ingest(settings, "pos")).counts == Counts(received=3, accepted=2, duplicate=1)
    # Delivered again months later, with one new line, in another format.
    rows = [dict(zip(HEADER.split(","), line(n).split(","), strict=True)) for n in (1, 2, 3)]
    drop(settings, "b.jsonl", "\n".join(json.dumps(row) for row in rows))
    report = ingest(settings, "pos")
    assert report.files[1].counts == Counts(received=3, accepted=1, duplicate=2)
    assert sorted(landed(settings, "customer_key")) == [("h1",), ("h2",), ("h3",)]
    assert Manifest.read(settings, "interactions").counts("pos") == Counts(6, 3, 0, 3)


def test_the_same_key_with_other_content_is_set_aside_and_never_overwrites(settings: Settings) -> None:
    drop(settings, "a.csv", csv_file(line(1), line(1, amount="9.99")))
    assert one(ingest(settings, "pos")).counts == Counts(received=2, accepted=1, quarantined=1)
    drop(settings, "b.csv", csv_file(line(1, amount="8.88"), line(1)))
    assert ingest(settings, "pos").files[1].counts == Counts(received=2, quarantined=2)
    assert [str(amount) for (amount,) in landed(settings, "amount")] == ["3.5000"]
    assert [item.reason for item in quarantine.open_items(settings)].count(
        "the same key is in the lake with other content"
    ) == 1


def test_two_channels_take_the_same_bytes_as_two_deliveries(settings: Settings) -> None:
    content = "campaign_id,household_id,sent_at,updated_at\n1,h1,2017-03-01T00:00:00Z,2017-03-01T00:00:00Z\n"
    drop(settings, "a.csv", content, "direct_mail")
    drop(settings, "a.csv", content, "crm")
    assert one(ingest(settings, "direct_mail")).status == LANDED
    assert one(ingest(settings, "crm")).status == LANDED
    assert Manifest.read(settings, "interactions").counts_by_channel() == {
        "crm": Counts(1, 1),
        "direct_mail": Counts(1, 1),
    }


def test_a_feed_lands_in_the_catalog_with_its_own_columns(settings: Settings) -> None:
    head = "offer_id,campaign_id,coupon_upc,product_id,starts_at,ends_at,announced_at\n"
    drop(
        settings,
        "o.csv",
        head + "1-9,1,9,p1,2018-02-01T00:00:00Z,2018-03-01T00:00:00Z,2017-12-25T00:00:00Z\n"
        "1-9,1,9,p1,2018-02-01T00:00:00Z,2018-03-01T00:00:00Z,2017-12-25T00:00:00Z\n"
        "1-9,1,9,p2,2017-02-01T00:00:00Z,2018-03-01T00:00:00Z,\n",
        "offers",
    )
    assert one(ingest(settings, "offers")).counts == Counts(received=3, accepted=2, duplicate=1)
    manifest = Manifest.read(settings, "catalog")
    [path] = manifest.files("offers")
    rows = pq.read_table(path).to_pylist()
    assert [(row["product_id"], row["kind"], row["_known_assumed"]) for row in rows] == [
        ("p1", "cross_sell", False),
        ("p2", "cross_sell", True),
    ]
    assert rows[0]["received_at"] == datetime(2017, 12, 25, tzinfo=UTC)
    assert rows[1]["received_at"] == datetime(2017, 2, 1, tzinfo=UTC)
    assert manifest.files("products") == []
    # The same row, delivered again in another file.
    drop(settings, "p.csv", head + "1-9,1,9,p2,2017-02-01T00:00:00Z,2018-03-01T00:00:00Z,\n", "offers")
    assert ingest(settings, "offers").files[1].counts == Counts(received=1, duplicate=1)


# Promises: killed anywhere, started twice.


def _lake(settings: Settings) -> tuple[list[tuple], Counts, list[str]]:
    """What a reader sees, and every file that lies there (leftovers would show)."""
    seen = sorted(
        str(path.relative_to(settings.lake))
        for path in settings.lake.rglob("*")
        if path.is_file() and "_locks" not in path.parts
    )
    return landed(settings), Manifest.read(settings, "interactions").counts(), seen


def _deliver(settings: Settings) -> None:
    months = [line(n, sold_at=f"2017-{n % 3 + 1:02d}-05T10:00:00Z") for n in range(1, 61)]
    drop(settings, "a.csv", csv_file(*months, line(99, quantity="x")))
    drop(settings, "b.csv", csv_file(*months[:10], line(100)))


@pytest.mark.parametrize("commits_before_the_crash", range(7))
def test_a_run_that_dies_at_any_commit_and_is_repeated_gives_the_same_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits_before_the_crash: int
) -> None:
    def home(name: str) -> Settings:
        return Settings(home=tmp_path / name, now="2018-01-01T00:00:00Z", business_timezone="UTC")

    undisturbed, settings = home("undisturbed"), home("crashed")
    _deliver(undisturbed)
    ingest(undisturbed, "pos")
    _deliver(settings)
    real, left = files.commit, [commits_before_the_crash]

    def dying(written: Path, final: Path) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(written, final)

    with monkeypatch.context() as patch:
        patch.setattr(files, "commit", dying)
        with pytest.raises(KeyboardInterrupt):
            ingest(settings, "pos")
    # Between the crash and the repetition, a reader sees whole batches only.
    assert Manifest.read(settings, "interactions").counts().balanced
    assert len(landed(settings)) in (0, 60)
    ingest(settings, "pos")
    assert _lake(settings) == _lake(undisturbed)


_INGEST = """
import os, signal, sys
from pathlib import Path
from genome.lake import files
from genome.lake.ingest import ingest
from genome.settings import Settings
settings = Settings(home=Path(sys.argv[1]), now="2018-01-01T00:00:00Z", business_timezone="UTC")
real, left = files.commit, [int(sys.argv[2])]
def dying(written, final):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    real(written, final)
files.commit = dying
print(ingest(settings, "pos").summary())
"""


@pytest.mark.parametrize("commits", [0, 3, 4])
def test_a_process_killed_with_signal_9_leaves_a_lake_that_a_second_run_completes(
    tmp_path: Path, commits: int
) -> None:
    def home(name: str) -> Settings:
        return Settings(home=tmp_path / name, now="2018-01-01T00:00:00Z", business_timezone="UTC")

    undisturbed, settings = home("undisturbed"), home("killed")
    for each in (undisturbed, settings):
        _deliver(each)
    ingest(undisturbed, "pos")
    killed = subprocess.run(
        [sys.executable, "-c", _INGEST, str(settings.home), str(commits)], capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL
    assert [path for path in settings.lake.rglob("*.tmp") if path.is_file()]
    ingest(settings, "pos")
    assert _lake(settings) == _lake(undisturbed)


def test_one_file_ingested_by_several_processes_at_once_lands_once(settings: Settings) -> None:
    drop(settings, "a.csv", csv_file(*(line(n) for n in range(1, 5001))))
    script = _INGEST.replace('business_timezone="UTC"', 'business_timezone="America/New_York"')
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(settings.home), "1000"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted("'files_landed': 1" in answer for answer in answers) == [False, False, True]
    assert Manifest.read(settings, "interactions").counts() == Counts(5000, 5000)
    assert len(landed(settings)) == 5000


def test_a_lock_whose_holder_died_does_not_stop_the_next_run(settings: Settings) -> None:
    lock = layout.lock_file(settings, "pos")
    lock.parent.mkdir(parents=True)
    lock.write_text("left behind")
    drop(settings, "a.csv", csv_file(line(1)))
    began = time.monotonic()
    assert one(ingest(settings, "pos")).status == LANDED
    assert time.monotonic() - began < 30


def test_a_lock_that_is_held_makes_others_wait_and_then_say_so(settings: Settings) -> None:
    lock = layout.lock_file(settings, "pos")
    with (
        files.exclusive(lock),
        pytest.raises(GenomeError, match="held by another process"),
        files.exclusive(lock, patience_seconds=0.1),
    ):
        pass


def test_no_private_copy_of_a_file_stays_behind(settings: Settings) -> None:
    drop(settings, "a.csv", csv_file(line(1)))
    drop(settings, "b.csv", "x\n")
    ingest(settings, "pos")
    assert not layout.work_folder(settings, "pos").exists()


def test_an_empty_inbox_is_an_empty_report(settings: Settings) -> None:
    report = ingest(settings, "pos")
    assert report.summary() == {
        "channel": "pos",
        "files_landed": 0,
        "files_duplicate": 0,
        "files_refused": [],
        "files_waiting": [],
        "received": 0,
        "accepted": 0,
        "quarantined": 0,
        "duplicate": 0,
    }
    assert replay(settings).items == 0
