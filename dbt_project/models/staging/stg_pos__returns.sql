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

    {{ json_text('properties', 'order_id') }} as order_id,
    {{ value_or_null(json_text('properties', 'line_number'), 'integer') }} as line_number,

    -- instants
    occurred_at,
    received_at,
    original_at,

    -- numbers
    cast(quantity as double) as quantity,
    cast(amount as double) as amount,

    -- text
    currency,
    {{ json_text('properties', 'reason') }} as reason,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('interactions', channel='pos') }}
where interaction_type = 'Order Refunded'
