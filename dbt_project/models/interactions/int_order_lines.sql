{#- Kept: lines and refunds that become known are appended, so that a customer's orders, and the lines that a refund
    takes back, are found without reading all interactions. -#}
{{ config(materialized="incremental", incremental_strategy="append", on_schema_change="fail") }}

with kinds as (
    select reverses as interaction_type
    from {{ ref('evidence_weights') }}
    where reverses is not null
    union
    select interaction_type
    from {{ ref('evidence_weights') }}
    where reverses is not null
),

lines as (
    select
        interactions.*,
        coalesce(interactions.order_id, interactions.session_id) as named_order_id
    from {{ ref('int_interactions_known') }} as interactions
    inner join kinds on interactions.interaction_type = kinds.interaction_type
)

select
    source_key,
    source_number,
    named_order_id as order_id,
    product_id,
    {{ hash_bigint("'product:' || product_id") }} as product_hash,
    {{ row_hash("concat_ws('|', source_key, named_order_id, product_id)") }} as line_hash,
    -- A line that names no order is one of its own. Orders of one key are told apart by it: a number is read faster.
    {{ row_hash("coalesce(named_order_id, interaction_id)") }} as order_number,
    interaction_type,
    interaction_id,
    channel,
    line_number,
    store_id,
    quantity,
    amount,
    retail_discount_amount,
    coupon_discount_amount,
    coupon_match_amount,
    occurred_at,
    evidence_at,
    available_at,
    {{ local_date('evidence_at') }} as evidence_date,
    {{ local_date('available_at') }} as available_date,
    cast({{ build_said('build_number') }} as integer) as _build_number
from lines
