{%- do ref('dim_customers') -%}
{%- do ref('int_customers_touched') -%}
{%- do ref('int_evidence_weighed') -%}
{#- The evidence of touched customers as the build before left it. -#}
{%- set evidence = before('fct_evidence') -%}

select
    evidence.interaction_id,
    evidence.takes_back_id,
    evidence.product_id,
    evidence.evidence_at,
    evidence.available_at,
    evidence.evidence_for,
    evidence.evidence_against,
    evidence.evidence_squared
{% if evidence is not none -%}
from {{ evidence }} as evidence
inner join {{ ref('dim_customers') }} as customers on evidence.source_key = customers.source_key
inner join {{ ref('int_customers_touched') }} as touched on customers.customer_id = touched.customer_id
{%- else -%}
from {{ ref('int_evidence_weighed') }} as evidence
where false
{%- endif %}
