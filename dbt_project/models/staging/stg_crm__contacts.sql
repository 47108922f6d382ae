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
    {{ value_or_null(json_text('properties', 'birth_date'), 'integer') }} as birth_year,

    -- text
    {{ json_text('properties', 'first_name') }} as first_name_token,
    {{ json_text('properties', 'last_name') }} as last_name_token,
    {{ json_text('properties', 'street') }} as street_token,
    {{ json_text('properties', 'postcode') }} as postcode,
    {{ json_text('properties', 'preferred_locale') }} as preferred_locale,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('interactions', channel='crm') }}
where source_id = 'crm_contacts'
