{#- What relations between products are read from: each basket and product once, in small numbers, because they are met
    with one another in pairs. Kept: they stand until the next month begins. -#}
{{ config(materialized="incremental", incremental_strategy="append") }}

with lines as (
    select
        customers.customer_number,
        coalesce(interactions.order_id, interactions.session_id) as basket_id,
        products.product_number,
        interactions.evidence_at
    from {{ ref('fct_interactions') }} as interactions
    inner join {{ ref('int_products_related') }} as products on interactions.product_id = products.product_id
    inner join {{ ref('dim_customers') }} as customers on interactions.source_key = customers.source_key
    where
        interactions.interaction_type = 'Order Completed'
        and interactions.quantity > 0
        and coalesce(interactions.order_id, interactions.session_id) is not null
        and interactions.available_at < products.version_at
        and {{ 'false' if is_incremental() else 'true' }}
),

baskets as (
    select
        customer_number,
        basket_id,
        cast(row_number() over (order by customer_number, basket_id) as integer) as basket_number
    from (select distinct customer_number, basket_id from lines) as once
)

select
    baskets.basket_number,
    lines.product_number,
    min(lines.customer_number) as customer_number,
    min(lines.evidence_at) as bought_at
from lines
inner join baskets
    on
        lines.customer_number = baskets.customer_number
        and lines.basket_id = baskets.basket_id
group by baskets.basket_number, lines.product_number
