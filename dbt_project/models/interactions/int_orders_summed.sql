with lines as (
    select
        source_key,
        coalesce(order_id, session_id, interaction_id) as order_id,
        store_id,
        available_at,
        evidence_at,
        product_id,
        amount,
        retail_discount_amount,
        coupon_discount_amount,
        coupon_match_amount
    from {{ ref('int_interactions_read') }}
    where interaction_type = 'Order Completed'
),

orders as (
    select
        source_key,
        order_id,
        min(store_id) as store_id,
        min(evidence_at) as ordered_at,
        -- An order counts as soon as its last line is known.
        max(available_at) as available_at,
        count(*) as line_count,
        sum(amount) as amount,
        sum(retail_discount_amount) as retail_discount_amount,
        sum(coupon_discount_amount + coupon_match_amount) as coupon_discount_amount,
        count(case when coupon_discount_amount > 0 then 1 end) as coupon_line_count
    from lines
    group by source_key, order_id
)

select
    *,
    {{ local_date('ordered_at') }} as ordered_date,
    {{ local_hour('ordered_at') }} as ordered_hour
from orders
