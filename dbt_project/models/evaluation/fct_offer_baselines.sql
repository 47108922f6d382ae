{%- do ref('int_customers_touched') -%}
{{ config(
    materialized="incremental", incremental_strategy="append", on_schema_change="fail",
    pre_hook="{{ forget_touched('rows of the past') }}"
) }}

{#- What simple rankers would say of each pair, from what was known before the label time. A day on which anything
    that the offer covers was bought counts once, however many lines it has. -#}
with covered as (
    select
        offers.offer_id,
        offers.campaign_id,
        products.product_id
    from {{ ref('dim_offers') }} as offers
    inner join {{ ref('int_offer_products') }} as products on offers.offer_id = products.offer_id
),

lines as (
    select
        customers.customer_id,
        lines.product_id,
        lines.evidence_date,
        lines.available_date
    from {{ ref('int_lines_read') }} as lines
    inner join {{ ref('dim_customers') }} as customers on lines.source_number = customers.source_number
    where
        lines.interaction_type = 'Order Completed'
        and lines.product_id in (select distinct product_id from covered)
),

days as (
    select
        customer_id,
        product_id,
        evidence_date,
        min(available_date) as available_date
    from lines
    group by customer_id, product_id, evidence_date
),

sends as (
    select distinct
        customer_id,
        campaign_id,
        label_at,
        {{ local_date('label_at') }} as label_date
    from {{ ref('int_offer_pairs') }}
),

own_days as (
    select distinct
        sends.customer_id,
        covered.offer_id,
        sends.label_at,
        days.evidence_date
    from sends
    inner join days
        on
            sends.customer_id = days.customer_id
            and days.available_date < sends.label_date
    inner join covered
        on
            sends.campaign_id = covered.campaign_id
            and days.product_id = covered.product_id
),

own as (
    select
        customer_id,
        offer_id,
        count(*) as own_day_count,
        sum(pow(2.0, -{{ days_between(local_midnight('evidence_date'), 'label_at') }} / 90)) as own_days_h90_sum
    from own_days
    group by customer_id, offer_id
)

select
    pairs.customer_id,
    pairs.offer_id,
    pairs.campaign_id,
    pairs.label_at,
    cast(coalesce(own.own_day_count, 0) as bigint) as own_day_count,
    coalesce(own.own_days_h90_sum, 0) as own_days_h90_sum,
    cast(coalesce(popularity.customers_d90_count, 0) as bigint) as customers_d90_count,
    cast({{ build_said('build_number') }} as integer) as _build_number
from {{ ref('int_offer_pairs') }} as pairs
left join own
    on
        pairs.customer_id = own.customer_id
        and pairs.offer_id = own.offer_id
left join {{ ref('int_offer_popularity') }} as popularity
    on
        pairs.offer_id = popularity.offer_id
        and pairs.label_at = popularity.label_at
