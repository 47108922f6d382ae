select
    -- identifiers
    product_id,
    seller_id,

    -- instants
    valid_from,
    valid_to,
    received_at,

    -- numbers
    cast(price as double) as price_amount,

    -- text
    reason,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('prices') }}
