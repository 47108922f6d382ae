"""Every file that the mall sends lands: each row once, further keys beside it, no personal value readable."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from genome.channels import connector, registry
from genome.identity.tokens import Tokeniser
from genome.identity.vault import Vault
from genome.lake.ingest import DUPLICATE, LANDED, IngestReport, ingest
from genome.lake.layout import IDENTIFIER_COLUMNS, INTERACTION_COLUMNS
from genome.lake.manifest import Counts, Manifest
from genome.settings import Settings
from genome.simulate import parameters
from genome.simulate.run import Mall, simulate
from genome.simulate.tables import STREAMS

NATURAL_KEYS = {
    "pos/lines": "transaction_id, line_number",
    "pos/returns": "return_id",
    "web/events": "event_id",
    "app/events": "event_id",
    "email/events": "event_id",
    "sms_push/events": "event_id",
    "loyalty/redemptions": "redemption_id",
    "loyalty/points": "entry_id",
    "crm/profiles": "household_id, updated_at",
    "crm/contacts": "contact_id, updated_at",
    "crm/consents": "consent_id",
    "survey/answers": "answer_id",
    "social/events": "event_id",
    "location/pings": "ping_id",
    "service/messages": "message_id",
    "direct_mail/sends": "campaign_id, household_id",
    "products/products": "product_id, valid_from",
    "offers/offers": "offer_id, product_id, announced_at",
    "stores/stores": "store_id, valid_from",
    "stock/stock": "store_id, product_id, changed_at",
    "prices/prices": "product_id, reason, valid_from",
}
PERSONAL = {
    "crm/contacts": ["email", "phone", "handle", "street", "birth_date"],
    "crm/consents": ["email", "phone"],
    "email/events": ["email"],
    "sms_push/events": ["phone"],
    "survey/answers": ["email"],
    "social/events": ["handle"],
    "service/messages": ["email", "phone"],
}


@dataclass(frozen=True)
class Landed:
    """A mall's files after they have landed."""

    settings: Settings
    mall: Mall
    out: Path
    reports: dict[str, IngestReport]
    files: duckdb.DuckDBPyConnection

    def lake(
        self, columns: str, rest: str = "", channel: str | None = None, *, further: bool = False
    ) -> list:
        """Rows of the lake's interactions, or of the further identifiers."""
        manifest = Manifest.read(self.settings, "interactions")
        paths = manifest.identifiers(channel) if further else manifest.files(channel)
        listed = [str(path) for path in paths]
        read = f"read_parquet({listed}, hive_partitioning = false)"
        return self.files.execute(f"SELECT {columns} FROM {read} {rest}").fetchall()


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landed]:
    folder = tmp_path_factory.mktemp("mall")
    out = folder / "out"
    mall = simulate(parameters.load("small", customers=400, days=35, block=200), 7, out)
    settings = Settings(home=folder / "home", now=mall.cut_off, business_timezone=mall.timezone, threads=1)
    reports = {channel: ingest(settings, channel, [out / "inbox" / channel]) for channel in registry()}
    with duckdb.connect() as files:
        files.execute("SET TimeZone = 'UTC'")
        files.execute("SET threads = 1")
        for stream in STREAMS.values():
            found = [str(path) for path in (out / "inbox" / stream.channel).glob(f"{stream.name}[-.]*")]
            assert found, f"the mall sent no {stream.key}"
            texts = dict.fromkeys(stream.columns, "VARCHAR")
            reader = {
                "p": f"read_parquet({found})",
                "c": f"read_csv({found}, all_varchar = true)",
                "j": f"read_json({found}, format = 'newline_delimited', columns = {texts})",
            }[stream.format[0]]
            files.execute(f"CREATE TABLE {stream.channel}_{stream.name} AS SELECT * FROM {reader}")
        yield Landed(settings, mall, out, reports, files)


def test_every_stream_of_the_mall_is_known_to_a_connector() -> None:
    known = {f"{name}/{each.stream or name}" for name, first in registry().items() for each in first.streams}
    assert known == set(STREAMS) == set(NATURAL_KEYS)


@pytest.mark.parametrize("key", sorted(STREAMS))
def test_a_contract_reads_columns_that_the_mall_sends_and_requires_no_others(key: str) -> None:
    channel, name = key.split("/")
    found = connector(channel).of(f"{name}-2024-12-part-0000.csv")
    own = {each.name for each in found.columns}
    assert own - set(STREAMS[key].columns) == set()


def test_the_ledger_of_every_channel_reconciles_with_the_files_exactly(landed: Landed) -> None:
    for channel, report in landed.reports.items():
        assert {each.status for each in report.files} == {LANDED}, channel
        reasons = [reason for each in report.files for reason in each.reasons]
        assert all("is not a date and time" in reason for reason in reasons), channel
    ledger = (
        Manifest.read(landed.settings, "interactions").counts_by_channel()
        | Manifest.read(landed.settings, "catalog").counts_by_channel()
    )
    expected: dict[str, Counts] = {}
    for key, rows in landed.mall.rows.items():
        channel, name = key.split("/")
        [(different,)] = landed.files.execute(
            f"SELECT count(*) FROM (SELECT DISTINCT {NATURAL_KEYS[key]} FROM {channel}_{name})"
        ).fetchall()
        broken = landed.mall.broken.get(key, 0)
        more = Counts(
            received=rows,
            accepted=different - broken,
            quarantined=broken,
            duplicate=rows - different,
        )
        expected[channel] = expected.get(channel, Counts()) + more
    assert ledger == expected
    assert sum(each.duplicate for each in ledger.values()) > 0
    assert sum(each.quarantined for each in ledger.values()) > 0
    stored = landed.lake("channel, count(*)", "GROUP BY channel")
    assert dict(stored) == {
        channel: counts.accepted
        for channel, counts in expected.items()
        if connector(channel).dataset != "catalog"
    }


def test_the_same_files_from_another_place_change_nothing(landed: Landed) -> None:
    before = Manifest.read(landed.settings, "interactions").fingerprint()
    url = f"file://{landed.out / 'inbox' / 'web'}"
    assert {each.status for each in ingest(landed.settings, "web", [url]).files} == {DUPLICATE}
    assert Manifest.read(landed.settings, "interactions").fingerprint() == before


def test_the_first_key_that_a_row_brings_is_the_customers_and_the_others_land_beside_it(
    landed: Landed,
) -> None:
    for channel, first, second in (("web", "user", "anonymous"), ("app", "user", "device")):
        [(known, unknown, both)] = landed.files.execute(
            f"SELECT count(user_id), count(*) - count(user_id), count(CASE WHEN user_id IS NOT NULL THEN "
            f"{second if second == 'device' else 'anonymous'}_id END) "
            f"FROM (SELECT DISTINCT * FROM {channel}_events)"
        ).fetchall()
        # In the app everybody is logged in.
        assert (min(known, both) > 0, unknown > 0) == (True, channel == "web")
        kinds = dict(landed.lake("customer_key_type, count(*)", "GROUP BY ALL", channel))
        assert kinds == {name: rows for name, rows in ((first, known), (second, unknown)) if rows}
        beside = landed.lake("DISTINCT customer_key_type, identifier_type", "", channel, further=True)
        assert beside == [(first, second)]
        assert landed.lake("count(*)", "", channel, further=True) == [(both,)]


def test_every_identifier_belongs_to_an_interaction_and_has_the_columns_of_the_lake(landed: Landed) -> None:
    manifest = Manifest.read(landed.settings, "interactions")
    for path in manifest.identifiers():
        with path.open("rb") as file:
            assert pq.read_schema(file).names == list(IDENTIFIER_COLUMNS)
    ids = {row[0] for row in landed.lake("interaction_id")}
    assert {row[0] for row in landed.lake("interaction_id", further=True)} <= ids
    contacts = [str(path) for path in manifest.identifiers("crm")]
    assert landed.files.execute(
        f"SELECT DISTINCT identifier_type FROM read_parquet({contacts}) WHERE source_id = 'crm_contacts' "
        "ORDER BY 1"
    ).fetchall() == [("email",), ("household",), ("loyalty_card",), ("phone",), ("social",), ("user",)]


def test_the_tills_own_card_identifies_nobody(landed: Landed) -> None:
    [(at_the_till, card, nobody)] = landed.files.execute(
        "SELECT count(CASE WHEN card_id LIKE 'TILL-%' THEN 1 END), "
        "count(CASE WHEN card_id NOT LIKE 'TILL-%' THEN 1 END), count(CASE WHEN "
        "household_id IS NULL AND (card_id IS NULL OR card_id LIKE 'TILL-%') AND payment_token IS NULL "
        "THEN 1 END) FROM pos_lines"
    ).fetchall()
    assert min(at_the_till, nobody) > 0
    kinds = dict(
        landed.lake("customer_key_type, count(*)", "WHERE source_id = 'pos_lines' GROUP BY ALL", "pos")
    )
    assert (kinds["receipt"], kinds["loyalty_card"]) == (nobody, card)
    assert landed.lake("count(*)", "WHERE customer_key LIKE 'TILL%'", "pos") == [(0,)]
    assert landed.lake("count(*)", "WHERE identifier LIKE 'TILL%'", "pos", further=True) == [(0,)]


def test_a_return_names_its_receipt_and_the_time_of_its_line(landed: Landed) -> None:
    wanted = landed.files.execute(
        "SELECT transaction_id, product_id, CAST(sold_at AS TIMESTAMPTZ), CAST(returned_at AS TIMESTAMPTZ) "
        "FROM pos_returns ORDER BY return_id"
    ).fetchall()
    found = landed.lake(
        "session_id, product_id, original_at, occurred_at", "WHERE interaction_type = 'Order Refunded'", "pos"
    )
    assert sorted(found) == sorted(wanted)
    lines = landed.lake("session_id, product_id, customer_key", "WHERE source_id = 'pos_lines'", "pos")
    returns = landed.lake("session_id, product_id, customer_key", "WHERE source_id = 'pos_returns'", "pos")
    # Whose line it was is who brought it back: so the refund finds its line.
    assert set(returns) <= set(lines)


def test_complaints_are_told_from_other_tickets(landed: Landed) -> None:
    wanted = landed.files.execute(
        "SELECT CASE WHEN is_complaint = 'true' AND event <> 'Message Sent' "
        "THEN replace(event, 'Ticket', 'Complaint') ELSE event END AS name, count(*) "
        "FROM service_messages GROUP BY name"
    ).fetchall()
    found = landed.lake("interaction_type, count(*)", "GROUP BY ALL", "service")
    assert dict(found) == dict(wanted)
    assert "Complaint Opened" in dict(found)


def test_a_visitors_clock_is_set_right_and_what_it_said_is_kept(landed: Landed) -> None:
    wrong = landed.files.execute(
        "SELECT event_id FROM web_events WHERE abs(epoch(CAST(received_at AS TIMESTAMPTZ)) - "
        "epoch(CAST(sent_at AS TIMESTAMPTZ))) > 1800"
    ).fetchall()
    assert len(wrong) > 0
    ids = {hashlib.md5(f"web\x1fweb_events\x1f{each}".encode()).hexdigest() for (each,) in wrong}
    rows = landed.lake("interaction_id, occurred_at, original_at, sent_at, received_at", "", "web")
    assert {row[0] for row in rows} >= ids
    for _, occurred, original, sent, received in rows:
        assert occurred - original == received - sent
    # By the right clock nothing happened after it was received.
    assert all(occurred <= received for _, occurred, _, _, received in rows)


def test_no_personal_value_of_any_file_is_readable_in_the_lake_or_in_a_report(landed: Landed) -> None:
    raw: set[str] = set()
    for key, columns in PERSONAL.items():
        table = key.replace("/", "_")
        for column in columns:
            rows = landed.files.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()
            raw |= {str(value) for (value,) in rows if value}
    assert len(raw) > 500
    texts: list[str] = []
    for path in sorted(landed.settings.lake.rglob("*.parquet")):
        with path.open("rb") as file:
            table = pq.read_table(file)
        texts += [
            str(value)
            for column in table.columns
            if str(column.type) in ("string", "large_string")
            for value in pc.unique(column).to_pylist()
        ]
    texts += [path.read_text() for path in landed.settings.lake.rglob("*.json")]
    texts.append(json.dumps([report.summary() for report in landed.reports.values()]))
    everything = "\n".join(texts)
    assert [value for value in raw if value in everything] == []
    # Nor by their bytes: the vault's file and the quarantine hold ciphertext.
    for path in landed.settings.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [value for value in raw if value.encode() in content], path.name


def test_one_address_has_one_token_in_every_channel_and_the_vault_knows_it(landed: Landed) -> None:
    tokeniser = Tokeniser(landed.settings)
    [(address,)] = landed.files.execute(
        "SELECT email FROM email_events WHERE email IN (SELECT email FROM crm_contacts) ORDER BY 1 LIMIT 1"
    ).fetchall()
    token = tokeniser.token("email", address)
    assert landed.lake(
        "DISTINCT customer_key_type, _key_version", f"WHERE customer_key = '{token.text}'", "email"
    ) == [("email", token.key_version)]
    beside = landed.lake(
        "DISTINCT identifier_type, _key_version", f"WHERE identifier = '{token.text}'", "crm", further=True
    )
    assert beside == [("email", token.key_version)]
    vault = Vault(landed.settings)
    assert vault.reveal([token.text], reader="identity") == {token.text: address}
    vault.close()


def test_a_key_that_is_no_token_says_version_0_and_of_a_birth_only_the_year_is_left(landed: Landed) -> None:
    assert landed.lake("DISTINCT _key_version", "", "web") == [(0,)]
    rows = landed.lake("properties", "WHERE source_id = 'crm_contacts'", "crm")
    people = [json.loads(text) for (text,) in rows]
    assert {
        set(each)
        == {
            "first_name",
            "last_name",
            "birth_date",
            "street",
            "postcode",
            "preferred_locale",
            "registered_at",
        }
        for each in people
    } == {True}
    assert all(each["first_name"].startswith("name_1_") for each in people)
    assert all(each["street"].startswith("address_1_") for each in people)
    assert all(1900 < each["birth_date"] < 2020 for each in people)


def test_rows_of_every_channel_have_the_columns_of_the_lake(landed: Landed) -> None:
    for path in Manifest.read(landed.settings, "interactions").files():
        with path.open("rb") as file:
            assert pq.read_schema(file).names == list(INTERACTION_COLUMNS)


def test_a_feed_lands_under_the_names_and_types_of_its_contract(landed: Landed) -> None:
    manifest = Manifest.read(landed.settings, "catalog")
    for feed in ("stores", "stock", "prices"):
        [(rows,)] = landed.files.execute(
            f"SELECT count(*) FROM read_parquet({[str(path) for path in manifest.files(feed)]})"
        ).fetchall()
        assert rows == landed.mall.rows[f"{feed}/{feed}"]
    prices = [str(path) for path in manifest.files("prices")]
    assert landed.files.execute(
        f"SELECT DISTINCT reason, typeof(price), valid_to IS NULL FROM read_parquet({prices}) "
        "WHERE reason = 'list'"
    ).fetchall() == [("list", "DECIMAL(18,4)", True)]
    stock = [str(path) for path in manifest.files("stock")]
    known = landed.files.execute(
        f"SELECT DISTINCT _known_assumed, received_at >= changed_at FROM read_parquet({stock})"
    ).fetchall()
    assert known == [(False, True)]
