{%- set said = {
    'line_number': 'integer', 'retail_discount': 'double', 'coupon_discount': 'double',
    'coupon_match_discount': 'double', 'order_id': 'varchar'
} -%}

with landed as (
    select
        *,
        {{ json_fields('properties', said) }} as said
    from {{ lake('interactions', channel='pos') }}
    where interaction_type <> 'Order Refunded'
)

select
    -- identifiers
    interaction_id,
    source_id,
    seller_id,
    channel,
    interaction_type,
    customer_key_type || ':' || customer_key as source_key,
    session_id,
    product_id,
    offer_id,
    store_id,

    said.order_id,
    said.line_number,

    -- instants
    occurred_at,
    received_at,

    -- numbers
    cast(quantity as double) as quantity,
    cast(amount as double) as amount,
    coalesce(said.retail_discount, 0) as retail_discount_amount,
    coalesce(said.coupon_discount, 0) as coupon_discount_amount,
    coalesce(said.coupon_match_discount, 0) as coupon_match_amount,

    -- text
    currency,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from landed
