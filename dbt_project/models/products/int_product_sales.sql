{%- do ref('fct_interactions') -%}
{#- What was sold of each product on each day. Kept: sales that have become known since are added. -#}
{{ config(materialized="incremental", incremental_strategy="append") }}

with known as (
    {{ became_known() }}
),

sales as (
    select
        product_id,
        {{ local_date('available_at') }} as available_date,
        {{ days_between(instant(var('decay_anchor')), 'evidence_at') }} as anchor_days,
        -- What is given away, or by a quantity of nought, says nothing about a price.
        quantity > 0 and amount + retail_discount_amount > 0 as is_priced,
        amount + retail_discount_amount as shelf_amount,
        quantity
    from known
    where
        interaction_type = 'Order Completed'
        and product_id is not null
)

select
    product_id,
    available_date,
    count(*) as line_count,
    sum(pow(2.0, anchor_days / 28)) as lines_h28,
    sum(pow(2.0, anchor_days / 180)) as lines_h180,
    sum(case when is_priced then shelf_amount end) as shelf_amount,
    sum(case when is_priced then quantity end) as quantity,
    {{ build_said('build_number') }} as build_number
from sales
group by product_id, available_date
