{%- do ref('dim_customers') -%}
{%- do ref('int_customers_touched') -%}
{{ config(
    materialized="incremental", incremental_strategy="append", on_schema_change="fail",
    pre_hook=["{{ forget_touched('source_key') }}", "{{ forget_old_lines() }}"]
) }}

{#- What a refund can still meet: the live path looks up here what it cannot have seen itself. -#}
with kinds as (
    select reverses as interaction_type
    from {{ ref('evidence_weights') }}
    where reverses is not null
    union
    select interaction_type
    from {{ ref('evidence_weights') }}
    where reverses is not null
)

select
    interactions.source_key,
    coalesce(interactions.order_id, interactions.session_id) as order_id,
    interactions.product_id,
    interactions.interaction_type,
    interactions.interaction_id,
    interactions.line_number,
    interactions.quantity,
    interactions.evidence_at
from {{ ref('int_interactions_read') }} as interactions
inner join kinds on interactions.interaction_type = kinds.interaction_type
cross join {{ ref('stg_build__clock') }} as clock
where
    interactions.product_id is not null
    and coalesce(interactions.order_id, interactions.session_id) is not null
    and interactions.available_at < clock.as_of
    and {{ days_between('interactions.evidence_at', 'clock.as_of') }} < {{ var('purchase_days') }}
