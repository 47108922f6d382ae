{#- The order lines that customers' rows are made from: all; where a build continues, of whom it touches. -#}
{{ config(materialized="table" if env_var("GENOME_CONTINUES", "0") == "1" else "view") }}

select
    source_number,
    order_number,
    product_id,
    product_hash,
    interaction_type,
    amount,
    occurred_at,
    evidence_at,
    available_at,
    evidence_date,
    available_date
from {{ ref('int_order_lines') }}
{% if continues() -%}
where source_number in (select source_number from {{ ref('int_sources_touched') }})
{%- else %}
{%- do ref('int_sources_touched') -%}
{%- endif %}
