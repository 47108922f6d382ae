{#- When an offer can be chosen: as its campaign starts (a label time), and at the cut-off while it is live. -#}
with clock as (
    select as_of from {{ ref('stg_build__clock') }}
),

moments as (
    select
        offers.offer_id,
        {{ local_midnight(local_date('offers.starts_at')) }} as valid_at,
        {{ local_date('offers.starts_at') }} as until_date
    from {{ ref('dim_offers') }} as offers
    cross join clock
    where {{ local_midnight(local_date('offers.starts_at')) }} < clock.as_of
    union all
    select
        offers.offer_id,
        clock.as_of as valid_at,
        {{ add_days(local_date('clock.as_of'), 1) }} as until_date
    from {{ ref('dim_offers') }} as offers
    cross join clock
    where offers.starts_at <= clock.as_of and clock.as_of < offers.ends_at
)

select
    offer_id,
    valid_at,
    until_date
from moments
