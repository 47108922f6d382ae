"""The file contracts: every stream the mall sends, its columns, types and format; the one place for them."""

from dataclasses import dataclass

import pyarrow as pa

TYPES = {
    "text": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "instant": pa.timestamp("ms", "UTC"),
    "date": pa.date32(),
}


@dataclass(frozen=True)
class Stream:
    """One kind of file.

    Attributes:
        channel: the inbox folder.
        name: what the file name begins with.
        format: parquet, csv or jsonl, with .gz or .zst.
        time: the column by which rows are sorted and assigned to months.
        columns: name → type, in the file's order.
        message_id: the column by which a row that is sent twice is known; empty where none is.
    """

    channel: str
    name: str
    format: str
    time: str
    columns: dict[str, str]
    message_id: str = ""

    @property
    def key(self) -> str:
        """`channel/name`."""
        return f"{self.channel}/{self.name}"

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema."""
        return pa.schema([(name, TYPES[kind]) for name, kind in self.columns.items()])


def _columns(text: str) -> dict[str, str]:
    """`name:type` words; text where no type is said."""
    pairs = (word.partition(":") for word in text.split())
    return {name: kind or "text" for name, _, kind in pairs}


STREAMS = {
    stream.key: stream
    for stream in (
        Stream("pos", "lines", "parquet", "sold_at", _columns(
            "transaction_id line_number:int store_id sold_at:instant household_id product_id "
            "quantity:int amount:float retail_discount:float coupon_discount:float "
            "coupon_match_discount:float currency received_at:instant seller_id card_id payment_token")),
        Stream("pos", "returns", "csv", "returned_at", _columns(
            "return_id transaction_id line_number:int store_id sold_at:instant returned_at:instant "
            "household_id card_id payment_token product_id quantity:int amount:float currency reason "
            "seller_id received_at:instant")),
        Stream("web", "events", "jsonl.zst", "timestamp", _columns(
            "event_id event timestamp:instant sent_at:instant received_at:instant anonymous_id user_id "
            "session_id seller_id product_id query order_id quantity:int price:float amount:float "
            "currency offer_id referrer page ip_country rating:int text"), "event_id"),
        Stream("app", "events", "parquet", "occurred_at", _columns(
            "event_id event occurred_at:instant sent_at:instant received_at:instant device_id user_id "
            "session_id seller_id product_id query order_id quantity:int price:float amount:float "
            "currency offer_id os timezone"), "event_id"),
        Stream("email", "events", "csv.gz", "occurred_at", _columns(
            "event_id event occurred_at:instant received_at:instant email message_id campaign_id "
            "offer_id seller_id url")),
        Stream("sms_push", "events", "csv", "occurred_at", _columns(
            "event_id event kind occurred_at:instant received_at:instant phone device_id message_id "
            "campaign_id offer_id seller_id")),
        Stream("loyalty", "redemptions", "csv", "redeemed_at", _columns(
            "redemption_id household_id offer_id campaign_id coupon_upc redeemed_at:date card_id "
            "seller_id received_at:instant")),
        Stream("loyalty", "points", "csv", "booked_at", _columns(
            "entry_id event booked_at:instant received_at:instant card_id household_id transaction_id "
            "points:int balance:int tier")),
        Stream("crm", "profiles", "csv", "updated_at", _columns(
            "household_id age_band income_band home_ownership marital_status household_size "
            "household_composition kids_count updated_at:instant received_at:instant")),
        Stream("crm", "contacts", "csv", "updated_at", _columns(
            "contact_id user_id card_id household_id email phone handle first_name last_name "
            "birth_date:date street postcode preferred_locale registered_at:instant updated_at:instant "
            "received_at:instant")),
        Stream("crm", "consents", "csv", "changed_at", _columns(
            "consent_id contact_id email phone purpose channel seller_id is_granted:bool "
            "changed_at:instant received_at:instant source")),
        Stream("survey", "answers", "jsonl", "answered_at", _columns(
            "answer_id survey answered_at:instant received_at:instant email card_id seller_id "
            "product_id score:int comment invitation_id")),
        Stream("social", "events", "jsonl", "occurred_at", _columns(
            "event_id event occurred_at:instant received_at:instant handle network post_id seller_id "
            "product_id text")),
        Stream("location", "pings", "csv.gz", "occurred_at", _columns(
            "ping_id event occurred_at:instant received_at:instant device_id wifi_hash beacon_id "
            "store_id dwell_seconds:int seller_id"), "ping_id"),
        Stream("service", "messages", "jsonl", "sent_at", _columns(
            "message_id ticket_id event sent_at:instant received_at:instant contact_id email phone "
            "medium author is_complaint:bool seller_id product_id transaction_id text")),
        Stream("direct_mail", "sends", "csv", "sent_at", _columns(
            "campaign_id household_id sent_at:instant seller_id received_at:instant")),
        Stream("products", "products", "parquet", "valid_from", _columns(
            "product_id department category product_type brand_id brand_type package_size "
            "valid_from:instant seller_id price:float label retired_at:instant")),
        Stream("offers", "offers", "csv", "announced_at", _columns(
            "offer_id campaign_id campaign_type coupon_upc kind starts_at:instant ends_at:instant "
            "announced_at:instant product_id seller_id discount:float")),
        Stream("stores", "stores", "csv", "valid_from", _columns(
            "store_id seller_id mall_id name floor:int beacon_id latitude:float longitude:float "
            "opens_at closes_at valid_from:instant")),
        Stream("stock", "stock", "parquet", "changed_at", _columns(
            "store_id product_id seller_id state changed_at:instant received_at:instant")),
        Stream("prices", "prices", "csv", "valid_from", _columns(
            "product_id seller_id price:float reason valid_from:instant valid_to:instant")),
    )
}  # fmt: skip
"""Every stream by `channel/name`."""

FEEDS = ("products", "offers", "stores", "stock", "prices")
LIVE = ("web", "app", "location")
"""Channels whose own SDKs would talk to a collector; the others come as files."""
