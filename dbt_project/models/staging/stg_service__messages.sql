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

    {{ json_text('properties', 'transaction_id') }} as transaction_id,

    -- instants
    occurred_at,
    received_at,

    -- booleans
    {{ value_or_null(json_text('properties', 'is_complaint'), 'boolean') }} as is_complaint,

    -- text
    -- An agent's words say nothing about the customer.
    case
        when coalesce({{ json_text('properties', 'author') }}, '') <> 'agent'
            then {{ json_text('properties', '_motives') }}
    end as motives,
    {{ json_text('properties', 'medium') }} as medium,
    {{ json_text('properties', 'author') }} as author,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('interactions', channel='service') }}
