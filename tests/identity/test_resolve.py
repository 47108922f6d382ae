"""From interactions in the lake to who is who, as dbt reads it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.identities import Met, land

from genome.identity import resolve
from genome.identity.tokens import Tokeniser, rotate
from genome.identity.vault import Vault
from genome.settings import Settings

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def day(number: int) -> datetime:
    return DAY + timedelta(days=number)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", now=day(60), threads=1)


def table(settings: Settings, name: str) -> pd.DataFrame:
    return pq.read_table(resolve.current(settings)[name]).to_pandas()


def customers(settings: Settings, at: datetime | None = None) -> dict[str, str]:
    rows = table(settings, "identity_keys")
    then = rows.known_to.isna() if at is None else (rows.known_at <= at) & ~(rows.known_to <= at)
    return dict(rows[then][["source_key", "customer_id"]].itertuples(index=False, name=None))


def refused(settings: Settings) -> dict[tuple[str, str], str]:
    rows = table(settings, "identity_links")
    rows = rows[rows.reason.notna()]
    return {(row.owner_key, row.other_key): row.reason for row in rows.itertuples()}


CARD = Met(day(0), "contact:C1", ("user:U1", "loyalty_card:L1", "email:E1", "household:H"), "crm")


def test_a_visitor_is_one_with_the_account_from_the_login_on(home: Settings) -> None:
    land(home, "a", [CARD, Met(day(1), "anonymous:A"), Met(day(3), "user:U1", ("anonymous:A",))])
    done = resolve.resolve(home)
    assert (done.links, done.refused, done.customers) == (5, 0, 1)
    assert customers(home, day(2)) == {
        "contact:C1": "contact:C1",
        "user:U1": "contact:C1",
        "loyalty_card:L1": "contact:C1",
        "email:E1": "contact:C1",
        "anonymous:A": "anonymous:A",
        "household:H": "contact:C1",
    }
    assert customers(home)["anonymous:A"] == "contact:C1"


def test_the_customer_is_called_by_the_key_that_was_known_first(home: Settings) -> None:
    land(home, "a", [Met(day(1), "anonymous:A"), Met(day(3), "user:U", ("anonymous:A",))])
    resolve.resolve(home)
    assert customers(home) == {"anonymous:A": "anonymous:A", "user:U": "anonymous:A"}


def test_a_second_account_on_a_cookie_takes_it_back_from_the_first(home: Settings) -> None:
    land(
        home,
        "a",
        [
            Met(day(1), "user:U1", ("anonymous:T",)),
            Met(day(2), "anonymous:T"),
            Met(day(5), "user:U2", ("anonymous:T",)),
        ],
    )
    resolve.resolve(home)
    assert customers(home, day(3))["anonymous:T"] == "user:U1"
    assert customers(home)["anonymous:T"] == "anonymous:T"
    assert refused(home) == {("user:U1", "anonymous:T"): "shared", ("user:U2", "anonymous:T"): "shared"}


def test_a_payment_card_of_two_loyalty_cards_is_nobodys(home: Settings) -> None:
    land(
        home,
        "a",
        [
            Met(day(1), "loyalty_card:L1", ("payment_token:P",), "pos"),
            Met(day(2), "loyalty_card:L2", ("payment_token:P",), "pos"),
            Met(day(3), "loyalty_card:L2", ("payment_token:Q",), "pos"),
        ],
    )
    resolve.resolve(home)
    assert customers(home)["payment_token:Q"] == "loyalty_card:L2"
    assert customers(home)["loyalty_card:L1"] == "loyalty_card:L1"
    assert set(refused(home).values()) == {"shared"}


def test_a_card_that_pays_with_everybodys_money_is_a_tills(home: Settings) -> None:
    land(
        home, "a", [Met(day(each), "loyalty_card:L", (f"payment_token:{each}",), "pos") for each in range(13)]
    )
    resolve.resolve(home)
    assert customers(home, day(11))["payment_token:5"] == "loyalty_card:L"
    assert "payment_token:5" not in customers(home)
    assert set(refused(home).values()) == {"too_many"}


def test_what_is_typed_into_a_form_needs_a_second_day_and_no_record_against_it(home: Settings) -> None:
    land(
        home,
        "a",
        [
            CARD,
            Met(day(1), "contact:C1", ("email:typo",), "service"),
            Met(day(2), "contact:C1", ("email:typo",), "service"),
            Met(day(1), "contact:C9", ("email:E9",), "service"),
            Met(day(1), "contact:C8", ("email:E8",), "service"),
            Met(day(1) + timedelta(hours=2), "contact:C8", ("email:E8",), "service"),
            Met(day(4), "contact:C8", ("email:E8",), "service"),
        ],
    )
    resolve.resolve(home)
    assert refused(home) == {
        ("contact:C1", "email:typo"): "typed_against_record",
        ("contact:C9", "email:E9"): "typed_once",
    }
    assert customers(home)["email:E8"] == "contact:C8"
    assert "email:E8" not in customers(home, day(3))


def test_an_address_that_would_join_two_persons_joins_none(home: Settings) -> None:
    land(
        home,
        "a",
        [
            CARD,
            Met(day(1), "contact:C2", ("user:U2",), "crm"),
            Met(day(3), "user:U2", ("email:E1",), "app"),
        ],
    )
    resolve.resolve(home)
    assert customers(home, day(2))["email:E1"] == "contact:C1"
    assert customers(home)["contact:C2"] == customers(home)["user:U2"] == "contact:C2"
    assert customers(home)["contact:C1"] == "contact:C1"
    assert "email:E1" not in customers(home)
    assert set(refused(home).values()) == {"conflict"}


def test_a_household_belongs_to_a_person_while_one_alone_is_known(home: Settings) -> None:
    land(
        home,
        "a",
        [
            CARD,
            Met(day(1), "household:H", (), "direct_mail"),
            Met(day(7), "contact:C2", ("loyalty_card:L2", "household:H"), "crm"),
        ],
    )
    resolve.resolve(home)
    assert customers(home, day(5))["household:H"] == "contact:C1"
    assert customers(home)["household:H"] == "household:H"
    assert set(refused(home).values()) == {"several_persons"}
    links = table(home, "identity_links")
    assert links[links.other_key == "household:H"].refused_at.nunique() == 1
    members = table(home, "identity_households")
    assert sorted(members[members.known_to.isna()].customer_id) == ["contact:C1", "contact:C2"]


def test_a_household_alone_stays_what_it_is(home: Settings) -> None:
    land(home, "a", [Met(day(1), "household:7", (), "pos"), Met(day(2), "receipt:1", (), "pos")])
    done = resolve.resolve(home)
    assert done.keys == 0
    assert customers(home) == {}


def test_nothing_new_is_nothing_to_do_and_a_late_fact_leaves_the_past_belief(home: Settings) -> None:
    land(home, "a", [CARD, Met(day(3), "user:U1", ("anonymous:A",))])
    first = resolve.resolve(home)
    assert not first.skipped
    before = customers(home, day(4))
    assert resolve.resolve(home).skipped
    # It happened on the second day and became known on the ninth.
    land(home, "b", [Met(day(2), "user:U2", ("anonymous:A",), received_at=day(9))])
    assert not resolve.resolve(home).skipped
    assert customers(home, day(4)) == before
    assert customers(home, day(10)).get("anonymous:A") is None


def test_an_empty_lake_resolves_to_nothing(home: Settings) -> None:
    done = resolve.resolve(home)
    assert (done.keys, done.links, done.customers) == (0, 0, 0)
    assert len(table(home, "identity_keys")) == 0


def test_two_runs_over_the_same_lake_write_the_same_bytes(home: Settings) -> None:
    land(home, "a", [CARD, Met(day(3), "user:U1", ("anonymous:A",))])
    resolve.resolve(home)
    first = resolve.digest(home)
    resolve.resolve(home, force=True)
    assert resolve.digest(home) == first != ""


def test_an_address_stays_one_when_the_tokens_key_is_exchanged(home: Settings) -> None:
    vault = Vault(home)
    old = Tokeniser(home).token("email", "ada@example.com")
    vault.put([old])
    land(
        home,
        "a",
        [Met(day(0), "contact:C1", (f"email:{old.text}",), "crm"), Met(day(1), f"email:{old.text}")],
    )
    resolve.resolve(home)
    rotate(home)
    vault.retoken()
    vault.close()
    new = Tokeniser(home).token("email", "ada@example.com")
    assert new.text != old.text
    land(home, "b", [Met(day(3), f"email:{new.text}", (), "email")])
    assert not resolve.resolve(home).skipped
    assert customers(home)[f"email:{new.text}"] == customers(home)[f"email:{old.text}"] == "contact:C1"
    assert f"email:{new.text}" not in customers(home, day(2))
