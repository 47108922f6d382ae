with keys as (
    select
        source_key,
        min(occurred_at) as valid_from,
        min(available_at) as known_at
    from {{ ref('fct_interactions') }}
    where source_key is not null
    group by source_key
)

select
    source_key,
    -- One customer for each key, until identity resolution links keys.
    source_key as customer_id,
    {{ hash_bigint('source_key') }} as source_number,
    {{ hash_bigint('customer_id') }} as customer_number,
    valid_from,
    known_at
from keys
