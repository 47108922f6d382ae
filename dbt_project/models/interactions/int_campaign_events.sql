{#- Kept: what becomes known is appended. -#}
{{ config(materialized="incremental", incremental_strategy="append", on_schema_change="fail") }}

select
    source_key,
    source_number,
    interaction_type,
    campaign_id,
    coupon_upc,
    offer_id,
    occurred_at,
    evidence_at,
    available_at
from {{ ref('int_interactions_known') }}
where interaction_type in ('Campaign Sent', 'Coupon Applied')
