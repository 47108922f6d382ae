{%- do ref('int_offers_before') -%}
{#- Newest announcement of each offer, one row for each product that it covers. -#}
with newest as (
    select
        offer_id,
        max(received_at) as received_at
    from {{ ref('stg_offers__products') }}
    group by offer_id
)

select distinct
    offers.offer_id,
    offers.product_id
from {{ ref('stg_offers__products') }} as offers
inner join newest
    on
        offers.offer_id = newest.offer_id
        and offers.received_at = newest.received_at
