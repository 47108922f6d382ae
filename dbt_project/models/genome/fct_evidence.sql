{%- do ref('dim_customers') -%}
{%- do ref('int_evidence_before') -%}
{%- do ref('int_customers_touched') -%}
{{ config(
    materialized="incremental", incremental_strategy="append", on_schema_change="fail",
    pre_hook="{{ forget_touched('source_key') }}"
) }}

select
    customers.source_key,
    evidence.interaction_id,
    evidence.takes_back_id,
    evidence.interaction_type,
    evidence.channel,
    evidence.product_id,
    evidence.evidence_at,
    evidence.available_at,
    evidence.evidence_for,
    evidence.evidence_against,
    evidence.evidence_squared,
    evidence.evidence_count
from {{ ref('int_evidence_weighed') }} as evidence
inner join {{ ref('dim_customers') }} as customers on evidence.source_number = customers.source_number
{% if is_incremental() -%}
inner join {{ ref('int_customers_touched') }} as touched on customers.customer_id = touched.customer_id
{%- endif %}
