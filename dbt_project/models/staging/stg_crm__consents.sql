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

    -- booleans
    {{ value_or_null(json_text('properties', 'is_granted'), 'boolean') }} as is_granted,

    -- text
    {{ json_text('properties', 'purpose') }} as purpose,
    {{ json_text('properties', 'channel') }} as consent_channel,
    {{ json_text('properties', 'source') }} as said_in,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('interactions', channel='crm') }}
where
    interaction_type in ('Consent Changed', 'Consent Updated')
    and source_id <> 'crm_contacts'
