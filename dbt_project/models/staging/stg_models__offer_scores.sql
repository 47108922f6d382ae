select
    -- identifiers
    customer_id,
    offer_id,
    model_name,
    model_version,

    -- instants
    valid_at,
    known_at,

    -- numbers
    cast(score as double) as score
from {{ lake('offer_scores') }}
