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

    {{ json_text('properties', 'post_id') }} as post_id,

    -- instants
    occurred_at,
    received_at,

    -- text
    {{ json_text('properties', '_motives') }} as motives,
    {{ json_text('properties', 'network') }} as network,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('interactions', channel='social') }}
