select
    -- identifiers
    store_id,
    seller_id,
    mall_id,
    beacon_id,

    -- instants
    valid_from,
    received_at,

    -- numbers
    floor,
    latitude,
    longitude,

    -- text
    name,
    opens_at,
    closes_at,

    -- pipeline
    _known_assumed,
    _batch_id,
    _ingested_at
from {{ lake('stores') }}
