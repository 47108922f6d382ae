select
    -- identifiers
    product_id,
    brand_id,
    seller_id,

    -- instants
    valid_from,
    received_at,
    retired_at,

    -- numbers
    cast(price as double) as list_price_amount,

    -- text
    label,
    department,
    category,
    product_type,
    brand_type,
    package_size,

    -- pipeline
    _batch_id,
    _ingested_at
from {{ lake('products') }}
