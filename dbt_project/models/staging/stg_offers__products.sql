select
    -- identifiers
    offer_id,
    campaign_id,
    coupon_upc,
    product_id,
    seller_id,

    -- instants
    starts_at,
    ends_at,
    received_at,

    -- numbers
    discount as discount_share,

    -- text
    campaign_type,
    kind,

    -- pipeline
    _batch_id,
    _ingested_at
from {{ lake('offers') }}
