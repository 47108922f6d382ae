{#- What customers are made from: all that is known of everybody; where a build continues, of whoever it touches. -#}
{{ config(materialized="table" if env_var("GENOME_CONTINUES", "0") == "1" else "view") }}

select interactions.*
from {{ ref('fct_interactions') }} as interactions
{% if continues() -%}
where
    interactions.source_key in (
        select customers.source_key
        from {{ ref('dim_customers') }} as customers
        inner join {{ ref('int_customers_touched') }} as touched on customers.customer_id = touched.customer_id
    )
{%- else %}
{%- do ref('int_customers_touched') -%}
{%- endif %}
