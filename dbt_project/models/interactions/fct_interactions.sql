{#- Kept: what lands is appended, once. Whoever brings an id again changes nothing. -#}
{%- do ref('int_interactions_met') -%}
{{ config(materialized="incremental", incremental_strategy="append", on_schema_change="fail") }}

select
    interaction_id,
    source_id,
    seller_id,
    channel,
    interaction_type,
    source_key,
    session_id,
    order_id,
    product_id,
    offer_id,
    store_id,
    campaign_id,
    coupon_upc,
    line_number,
    occurred_at,
    received_at,
    available_at,
    evidence_at,
    quantity,
    amount,
    retail_discount_amount,
    coupon_discount_amount,
    coupon_match_amount,
    currency,
    motives,
    _known_assumed,
    _batch_id,
    interaction_hash,
    cast({{ build_said('build_number') }} as integer) as _build_number
from {{ ref('int_interactions_unioned') }} as landed
{% if is_incremental() %}
where
    not exists (
        select 1
        from {{ ref('int_interactions_met') }} as met
        where
            landed.interaction_hash = met.interaction_hash
            and landed.interaction_id = met.interaction_id
    )
{% endif %}
