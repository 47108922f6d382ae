{#- An order's lines may become known one after the other (a till that was cut off): what became known at one instant is
    a row, so that at any time an order is what was known of it by then. Kept: what becomes known is appended. -#}
{{ config(materialized="incremental", incremental_strategy="append", on_schema_change="fail") }}

select
    source_number,
    order_number,
    available_at,
    min(store_id) as store_id,
    min(evidence_at) as ordered_at,
    count(*) as line_count,
    sum(amount) as amount,
    sum(retail_discount_amount) as retail_discount_amount,
    sum(coupon_discount_amount + coupon_match_amount) as coupon_discount_amount,
    count(case when coupon_discount_amount > 0 then 1 end) as coupon_line_count,
    cast({{ build_said('build_number') }} as integer) as _build_number
from {{ ref('int_order_lines') }}
where
    interaction_type = 'Order Completed'
    {% if is_incremental() -%}
    and _build_number = {{ build_said('build_number') }}
    {%- endif %}
group by source_number, order_number, available_at
