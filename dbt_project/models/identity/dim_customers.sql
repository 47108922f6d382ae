with keys as (
    select
        source_key,
        min(occurred_at) as valid_from,
        min(available_at) as known_at
    from {{ ref('fct_interactions') }}
    where source_key is not null
    group by source_key
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
    {{ hash_bigint('keys.source_key') }} as source_number,
    {{ hash_bigint('customer_id') }} as customer_number,
    keys.valid_from,
    keys.known_at
from keys
left join believed on keys.source_key = believed.source_key
