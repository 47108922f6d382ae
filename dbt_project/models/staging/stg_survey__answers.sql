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

    -- instants
    occurred_at,
    received_at,

    -- numbers
    {{ value_or_null(json_text('properties', 'score'), 'integer') }} as score,

    -- text
    {{ json_text('properties', '_motives') }} as motives,
    {{ json_text('properties', 'survey') }} as survey,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('interactions', channel='survey') }}
