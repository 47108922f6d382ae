{{ config(materialized="view") }}

{#- What a refund can still meet: the live path looks up here what it cannot have seen itself. -#}
select
    lines.source_key,
    lines.order_id,
    lines.product_id,
    lines.interaction_type,
    lines.interaction_id,
    lines.line_number,
    lines.quantity,
    lines.evidence_at,
    lines._build_number
from {{ ref('int_order_lines') }} as lines
cross join {{ ref('stg_build__clock') }} as clock
where
    lines.product_id is not null
    and lines.order_id is not null
    and {{ days_between('lines.evidence_at', 'clock.as_of') }} < {{ var('purchase_days') }}
