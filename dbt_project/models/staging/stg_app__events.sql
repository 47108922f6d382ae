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
    sent_at,

    -- numbers
    cast(quantity as double) as quantity,
    cast(amount as double) as amount,
    {{ value_or_null(json_text('properties', 'price'), 'double') }} as price_amount,

    -- text
    {{ json_text('properties', '_motives') }} as motives,
    currency,
    {{ json_text('properties', 'query') }} as query,
    {{ json_text('properties', 'os') }} as os,
    {{ json_text('properties', 'timezone') }} as device_timezone,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('interactions', channel='app') }}
