{%- do ref('int_customers_touched') -%}
{{ config(
    materialized="incremental", incremental_strategy="append",
    pre_hook="{{ forget_touched() }}", post_hook="{{ other_buckets() }}"
) }}

{#- Which products a customer bought on which days, and for how much: what a coupon's use depends on, and what sums by
    product cannot say (on how many days anything that a coupon covers was bought). -#}
with clock as (
    select as_of from {{ ref('stg_build__clock') }}
),

lines as (
    select
        customers.customer_number,
        interactions.source_key,
        interactions.session_id,
        interactions.product_id,
        interactions.interaction_type,
        coalesce(interactions.amount, 0) as amount,
        {{ local_date('interactions.evidence_at') }} as evidence_date,
        {{ local_date('interactions.available_at') }} as available_date
    from {{ ref('int_interactions_read') }} as interactions
    inner join {{ ref('dim_customers') }} as customers on interactions.source_key = customers.source_key
    cross join clock
    where
        interactions.interaction_type in ('Order Completed', 'Order Refunded')
        and interactions.product_id is not null
        and interactions.available_at < clock.as_of
        and {{ in_bucket('customers.customer_number') }}
),

refunded as (
    select *
    from lines
    where interaction_type = 'Order Refunded'
),

orders_of_refunds as (
    select
        lines.source_key,
        lines.session_id,
        lines.product_id,
        min(lines.evidence_date) as evidence_date
    from lines
    where
        lines.interaction_type = 'Order Completed'
        and lines.session_id in (select refunded.session_id from refunded)
    group by lines.source_key, lines.session_id, lines.product_id
),

-- Money given back counts on its order's day, from when the refund is known.
refunds as (
    select
        refunded.customer_number,
        refunded.product_id,
        orders.evidence_date,
        refunded.available_date,
        -abs(refunded.amount) as amount
    from refunded
    inner join orders_of_refunds as orders
        on
            refunded.source_key = orders.source_key
            and refunded.session_id = orders.session_id
            and refunded.product_id = orders.product_id
),

amounts as (
    select
        customer_number,
        product_id,
        evidence_date,
        available_date,
        amount
    from lines
    where interaction_type = 'Order Completed'
    union all
    select
        customer_number,
        product_id,
        evidence_date,
        available_date,
        amount
    from refunds
),

products as (
    select distinct
        product_id,
        {{ hash_bigint("'product:' || product_id") }} as product_hash
    from {{ ref('int_interactions_read') }}
    where product_id is not null
),

days as (
    select
        amounts.customer_number,
        products.product_hash,
        amounts.evidence_date,
        amounts.available_date,
        sum(amounts.amount) as amount
    from amounts
    inner join products on amounts.product_id = products.product_id
    group by amounts.customer_number, products.product_hash, amounts.evidence_date, amounts.available_date
),

spine as (
    select *
    from {{ ref('int_spine_numbered') }}
    where {{ in_bucket('customer_number') }}
),

purchases as (
    select
        spine.spine_number,
        days.product_hash,
        {{ epoch_date('days.evidence_date') }} as bought_day,
        days.amount
    from spine
    inner join days
        on
            spine.customer_number = days.customer_number
            and days.available_date < spine.until_date
            and days.evidence_date >= {{ add_days('spine.until_date', '-' ~ var('purchase_days')) }}
),

vectors as (
    select
        spine_number,
        {{ sorted_rows(['product_hash', 'bought_day', 'amount'], keys=3) }} as purchase_rows
    from purchases
    group by spine_number
)

select
    spine.customer_id,
    spine.valid_at,
    spine.is_cutoff,
    {{ list_field('vectors.purchase_rows', 'product_hash', 'bigint') }} as purchase_hashes,
    {{ list_field('vectors.purchase_rows', 'bought_day', 'integer') }} as purchase_days,
    {{ list_field('vectors.purchase_rows', 'amount', 'float') }} as purchase_amounts
from spine
left join vectors on spine.spine_number = vectors.spine_number
