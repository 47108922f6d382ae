{%- do ref('int_customers_touched') -%}
{{ config(
    materialized="incremental", incremental_strategy="append", on_schema_change="fail",
    pre_hook="{{ forget_touched('rows of the past') }}"
) }}

with redeemed as (
    select distinct
        customers.customer_id,
        events.offer_id
    from {{ ref('int_campaign_events') }} as events
    inner join {{ ref('dim_customers') }} as customers on events.source_number = customers.source_number
    where
        events.interaction_type = 'Coupon Applied'
        and events.offer_id is not null
),

windows as (
    select distinct
        customer_id,
        campaign_id,
        starts_at,
        ends_at
    from {{ ref('int_offer_pairs') }}
),

purchases as (
    select distinct
        windows.customer_id,
        windows.campaign_id,
        lines.product_id
    from windows
    inner join {{ ref('dim_customers') }} as customers on windows.customer_id = customers.customer_id
    inner join {{ ref('int_lines_read') }} as lines
        on
            customers.source_number = lines.source_number
            and lines.occurred_at >= windows.starts_at
            and lines.occurred_at < windows.ends_at
    where lines.interaction_type = 'Order Completed'
),

bought as (
    select distinct
        purchases.customer_id,
        products.offer_id
    from purchases
    inner join {{ ref('dim_offers') }} as offers on purchases.campaign_id = offers.campaign_id
    inner join {{ ref('int_offer_products') }} as products
        on
            offers.offer_id = products.offer_id
            and purchases.product_id = products.product_id
)

select
    pairs.customer_id,
    pairs.offer_id,
    pairs.campaign_id,
    pairs.label_at,
    redeemed.offer_id is not null as is_redeemed,
    bought.offer_id is not null as is_bought,
    cast({{ build_said('build_number') }} as integer) as _build_number
from {{ ref('int_offer_pairs') }} as pairs
left join redeemed
    on
        pairs.customer_id = redeemed.customer_id
        and pairs.offer_id = redeemed.offer_id
left join bought
    on
        pairs.customer_id = bought.customer_id
        and pairs.offer_id = bought.offer_id
