select
    -- identifiers
    store_id,
    product_id,
    seller_id,

    -- instants
    changed_at,
    received_at,

    -- text
    state,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('stock') }}
