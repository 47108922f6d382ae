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

    -- text
    {{ json_text('properties', 'age_band') }} as age_band,
    {{ json_text('properties', 'income_band') }} as income_band,
    {{ json_text('properties', 'home_ownership') }} as home_ownership,
    {{ json_text('properties', 'marital_status') }} as marital_status,
    {{ json_text('properties', 'household_size') }} as household_size,
    {{ json_text('properties', 'household_composition') }} as household_composition,
    {{ json_text('properties', 'kids_count') }} as kids_count,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('interactions', channel='crm') }}
-- A row of the channel is staged once, whatever its type.
where
    interaction_type not in ('Consent Changed', 'Consent Updated')
    and source_id <> 'crm_contacts'
