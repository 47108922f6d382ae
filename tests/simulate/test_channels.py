"""What the files say, checked as a connector would read them."""

from typing import Any

import duckdb
import pytest

from genome.simulate.run import Mall
from genome.simulate.sink import BREAKABLE, UNREADABLE
from genome.simulate.tables import STREAMS

Lake = duckdb.DuckDBPyConnection
NATURAL_KEYS = {
    "pos_lines": "transaction_id, line_number",
    "pos_returns": "return_id",
    "email_events": "event_id",
    "sms_push_events": "event_id",
    "loyalty_redemptions": "redemption_id",
    "loyalty_points": "entry_id",
    "crm_contacts": "contact_id, updated_at",
    "crm_consents": "consent_id",
    "survey_answers": "answer_id",
    "social_events": "event_id",
    "service_messages": "message_id",
    "direct_mail_sends": "campaign_id, household_id",
    "products_products": "product_id",
    "offers_offers": "offer_id, product_id",
    "stores_stores": "store_id",
    "stock_stock": "store_id, product_id, changed_at",
}


def one(lake: Lake, query: str) -> Any:
    row = lake.sql(query).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


@pytest.mark.parametrize("name", sorted(NATURAL_KEYS))
def test_the_natural_key_of_a_stream_is_unique(lake: Lake, name: str) -> None:
    assert one(lake, f"select count(*) - count(distinct ({NATURAL_KEYS[name]})) from {name}") == 0


@pytest.mark.parametrize("name", ["web_events", "app_events", "location_pings"])
def test_doubled_rows_are_byte_identical_and_as_many_as_the_summary_says(
    lake: Lake, mall: Mall, name: str
) -> None:
    key = "ping_id" if name == "location_pings" else "event_id"
    total, different, keys = one(
        lake,
        f"select (select count(*) from {name}), "
        f"(select count(*) from (select distinct * from {name})), "
        f"(select count(distinct {key}) from {name})",
    )
    assert different == keys
    assert 0.003 < (total - different) / total < 0.02
    assert mall.doubled[name.replace("_", "/")] == total - different


def test_rows_without_a_readable_time_are_as_many_as_the_summary_says(lake: Lake, mall: Mall) -> None:
    found = {
        key: one(
            lake,
            f"select count(*) filter (where {STREAMS[key].time}::varchar = '{UNREADABLE}') "
            f"from {key.replace('/', '_')}",
        )
        for key in BREAKABLE
    }
    assert {key: count for key, count in found.items() if count} == mall.broken
    assert sum(found.values()) > 0


def test_nothing_arrives_after_the_cut_off_or_before_it_happened(lake: Lake, mall: Mall) -> None:
    for stream in STREAMS.values():
        if "received_at" not in stream.columns:
            continue
        name = stream.key.replace("/", "_")
        last = one(lake, f"select max(received_at::timestamptz) from {name}")
        assert last <= mall.cut_off, name
    assert one(lake, "select count(*) from pos_lines where received_at < sold_at") == 0


def test_a_till_computes_right(lake: Lake) -> None:
    wrong = one(
        lake,
        """select count(*) from pos_lines l join products_products p using (product_id)
        where abs(amount + retail_discount + coupon_discount - price * quantity) > 0.011""",
    )
    assert wrong == 0
    assert one(lake, "select count(*) from pos_lines where coupon_discount > 0") > 10


def test_lines_of_a_receipt_belong_to_one_till_and_one_person(lake: Lake) -> None:
    assert (
        one(
            lake,
            """select count(*) from (select transaction_id from pos_lines group by all
            having count(distinct (store_id, sold_at, household_id, card_id, payment_token)) > 1
              or max(line_number) != count(*))""",
        )
        == 0
    )


def test_shops_sell_only_while_they_are_open(lake: Lake) -> None:
    hours = one(
        lake,
        """select min(hour(local)), max(hour(local)), count(*) filter (where local::date = '2024-12-25'),
          count(*) filter (where local::date = '2024-12-24')
        from (select sold_at at time zone 'America/New_York' as local from pos_lines)""",
    )
    assert hours[:3] == (8, 21, 0)
    assert hours[3] > 50


def test_redemptions_are_of_offers_that_exist_within_their_window(lake: Lake) -> None:
    total, fine = one(
        lake,
        """select count(*), count(*) filter (where exists (select 1 from offers_offers o
          where o.offer_id = r.offer_id
            and r.redeemed_at::date >= (o.starts_at::timestamptz at time zone 'America/New_York')::date
            and r.redeemed_at::date < (o.ends_at::timestamptz at time zone 'America/New_York')::date))
        from loyalty_redemptions r""",
    )
    assert total > 20
    assert total == fine


def test_products_sell_only_between_launch_and_retirement(lake: Lake) -> None:
    wrong, dated = one(
        lake,
        """select
          count(*) filter (where sold_at < valid_from or sold_at >= coalesce(retired_at, 'infinity')),
          count(distinct product_id) filter (where retired_at is not null)
        from pos_lines join products_products using (product_id)""",
    )
    assert dated > 3
    assert wrong == 0


def test_an_empty_shelf_sells_nothing(lake: Lake) -> None:
    sold, empties = one(
        lake,
        """with spells as (select store_id, product_id, state, changed_at,
            lead(changed_at, 1, 'infinity') over (partition by store_id, product_id
              order by changed_at) as until
          from stock_stock)
        select (select count(*) from pos_lines l join spells s on s.store_id = l.store_id
            and s.product_id = l.product_id and s.state = 'out'
            and l.sold_at >= s.changed_at and l.sold_at < s.until),
          (select count(*) from spells where state = 'out')""",
    )
    assert empties > 30
    assert sold == 0


def test_who_is_away_does_not_shop_at_home_but_still_surfs(lake: Lake) -> None:
    zones = dict(lake.sql("select timezone, count(*) from app_events group by all").fetchall())
    assert set(zones) == {"America/New_York", "Europe/Madrid"}
    assert 0.005 < zones["Europe/Madrid"] / sum(zones.values()) < 0.2


def test_marketing_is_sent_only_to_who_agreed(lake: Lake) -> None:
    wrong, mails = one(
        lake,
        """with consent as (select email, is_granted::boolean as granted, changed_at::timestamptz as at,
            lead(changed_at::timestamptz, 1, 'infinity') over (partition by email
              order by changed_at) as until
          from crm_consents where purpose = 'marketing' and channel = 'email' and seller_id = 'mall'
            and email is not null)
        select count(*) filter (where not granted), count(*) from email_events e join consent c
          on c.email = e.email and e.occurred_at::timestamptz >= c.at and e.occurred_at::timestamptz < c.until
        where e.event = 'Email Delivered'""",
    )
    assert mails > 300
    assert wrong == 0


def test_points_add_up_to_the_balance(lake: Lake) -> None:
    wrong, cards = one(
        lake,
        """with entries as (select card_id, points::int as points, balance::int as balance, booked_at,
            lag(balance::int) over (partition by card_id order by booked_at::timestamptz, event) as before
          from points where event != 'Tier Changed')
        select count(*) filter (where balance != before + points), count(distinct card_id) from entries
        where before is not null""".replace("from points", "from loyalty_points"),
    )
    assert cards > 50
    assert wrong == 0


def test_the_source_that_failed_delivers_everything_in_the_night_after(lake: Lake, mall: Mall) -> None:
    faults = mall.parameters["channels"]
    assert faults["outage_channel"] == "loyalty"
    rows = lake.sql(
        """select (received_at::timestamptz at time zone 'America/New_York')::date as day, count(*),
          max(date_diff('hour', booked_at::timestamptz, received_at::timestamptz))
        from loyalty_points group by 1 order by 1"""
    ).fetchall()
    arrived = {str(day): (count, hours) for day, count, hours in rows}
    assert "2024-12-20" not in arrived
    assert "2024-12-21" not in arrived
    assert arrived["2024-12-22"][0] > 1.5 * arrived["2024-12-19"][0]
    assert arrived["2024-12-22"][1] > 48


def test_beacons_lose_pings_and_some_clocks_are_wrong(lake: Lake) -> None:
    entered, left, skewed, total = one(
        lake,
        """select count(*) filter (where event = 'Store Entered'),
          count(*) filter (where event = 'Store Exited'),
          count(*) filter (where occurred_at::timestamptz > received_at::timestamptz + interval '30 minutes'),
          count(*) from location_pings""",
    )
    assert entered > 100
    assert entered != left
    assert 0 < skewed / total < 0.1


def test_texts_are_about_the_product_and_say_why(lake: Lake) -> None:
    opened, written = one(
        lake,
        """select count(*), count(*) filter (where length(text) > 20) from service_messages
        where event = 'Ticket Opened'""",
    )
    assert opened > 10
    assert opened == written
    assert one(lake, "select count(*) from service_messages where text like '%{}%'") == 0


def test_mistyped_addresses_reach_surveys_and_service_but_never_the_crm(lake: Lake) -> None:
    assert one(lake, "select count(*) from crm_contacts where email like '%exmaple%'") == 0
    written = one(
        lake,
        """select count(*)
        from (select email from survey_answers union all select email from service_messages)
        where email like '%exmaple%'""",
    )
    assert written > 0
