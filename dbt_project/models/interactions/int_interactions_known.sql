{#- What a build is the first to use. What it has used before is in the tables that are kept. -#}
{%- do ref('fct_interactions') -%}
{{ config(materialized="table" if env_var("GENOME_CONTINUES", "0") == "1" else "view") }}

with known as (
    {{ became_known() }}
)

select
    known.*,
    customers.customer_id,
    customers.source_number,
    customers.customer_number
from known
inner join {{ ref('dim_customers') }} as customers on known.source_key = customers.source_key
