{%- do ref('int_customers_touched') -%}
{{ config(
    materialized="incremental", incremental_strategy="append",
    pre_hook="{{ forget_touched('rows of the cut-off') }}", post_hook="{{ other_buckets() }}"
) }}

{#- Which products a customer bought on which days, and for how much: what a coupon's use depends on, and what sums by
    product cannot say (on how many days anything that a coupon covers was bought). -#}
with lines as (
    select
        customers.customer_number,
        lines.source_number,
        lines.order_number,
        lines.product_id,
        lines.product_hash,
        lines.interaction_type,
        coalesce(lines.amount, 0) as amount,
        lines.evidence_date,
        lines.available_date
    from {{ ref('int_lines_read') }} as lines
    inner join {{ ref('dim_customers') }} as customers on lines.source_number = customers.source_number
    where
        lines.product_id is not null
        and {{ in_bucket('customers.customer_number') }}
),

refunded as (
    select *
    from lines
    where interaction_type = 'Order Refunded'
),

orders_of_refunds as (
    select
        lines.source_number,
        lines.order_number,
        lines.product_id,
        min(lines.evidence_date) as evidence_date
    from lines
    where
        lines.interaction_type = 'Order Completed'
        and lines.order_number in (select refunded.order_number from refunded)
    group by lines.source_number, lines.order_number, lines.product_id
),

-- Money given back counts on its order's day, from when the refund is known.
refunds as (
    select
        refunded.customer_number,
        refunded.product_hash,
        orders.evidence_date,
        refunded.available_date,
        -abs(refunded.amount) as amount
    from refunded
    inner join orders_of_refunds as orders
        on
            refunded.source_number = orders.source_number
            and refunded.order_number = orders.order_number
            and refunded.product_id = orders.product_id
),

amounts as (
    select
        customer_number,
        product_hash,
        evidence_date,
        available_date,
        amount
    from lines
    where interaction_type = 'Order Completed'
    union all
    select
        customer_number,
        product_hash,
        evidence_date,
        available_date,
        amount
    from refunds
),

days as (
    select
        customer_number,
        product_hash,
        evidence_date,
        available_date,
        sum(amount) as amount
    from amounts
    group by customer_number, product_hash, evidence_date, available_date
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
        {{ sorted_rows(['product_hash', 'bought_day', 'amount']) }} as purchase_rows
    from purchases
    group by spine_number
)

select
    spine.customer_id,
    spine.customer_number,
    spine.valid_at,
    spine.is_cutoff,
    {{ list_field('vectors.purchase_rows', 'product_hash', 'bigint') }} as purchase_hashes,
    {{ list_field('vectors.purchase_rows', 'bought_day', 'integer') }} as purchase_days,
    {{ list_field('vectors.purchase_rows', 'amount', 'float') }} as purchase_amounts,
    cast({{ build_said('build_number') }} as integer) as _build_number
from spine
left join vectors on spine.spine_number = vectors.spine_number
