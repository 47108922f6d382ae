{#- What a build is the first to use. What it has used before is in the tables that are kept. -#}
{{ config(materialized="table" if env_var("GENOME_CONTINUES", "0") == "1" else "view") }}

with known as (
    {% if continues() -%}
    -- it has landed since the build before …
    select *
    from {{ ref('fct_interactions') }}
    where
        _build_number = {{ build_said('build_number') }}
        and available_at < {{ build_said('as_of') }}
    union all
    -- … or its time had not come then
    select *
    from {{ ref('fct_interactions') }}
    where
        available_at >= {{ build_said('since') }}
        and available_at < {{ build_said('as_of') }}
        and _build_number < {{ build_said('build_number') }}
    {%- else -%}
    select *
    from {{ ref('fct_interactions') }}
    where available_at < {{ build_said('as_of') }}
    {%- endif %}
)

select
    known.*,
    customers.customer_id,
    customers.source_number,
    customers.customer_number
from known
inner join {{ ref('dim_customers') }} as customers on known.source_key = customers.source_key
