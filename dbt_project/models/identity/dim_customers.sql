with keys as (
    select
        source_key,
        source_number,
        min(valid_from) as valid_from,
        min(known_at) as known_at
    from {{ ref('int_keys_seen') }}
    group by source_key, source_number
),

believed as (
    select
        source_key,
        customer_id as believed_id
    from {{ lake('identity_keys') }}
    where known_to is null
)

select
    keys.source_key,
    -- A key that nothing links is a customer of its own.
    coalesce(believed.believed_id, keys.source_key) as customer_id,
    keys.source_number,
    case
        when believed.believed_id is null then keys.source_number
        else {{ hash_bigint('believed.believed_id') }}
    end as customer_number,
    keys.valid_from,
    keys.known_at
from keys
left join believed on keys.source_key = believed.source_key
