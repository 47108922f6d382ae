{#- Which customer each key belonged to when the build before looked. Kept: keys that are new or have moved. -#}
{{ config(materialized="incremental", incremental_strategy="delete+insert", unique_key="source_number") }}

select
    customers.source_number,
    customers.customer_id,
    {% if is_incremental() -%}
    kept.customer_id as former_customer_id,
    {%- else -%}
    nullif(customers.customer_id, customers.customer_id) as former_customer_id,
    {%- endif %}
    {{ build_said('build_number') }} as build_number
from {{ ref('dim_customers') }} as customers
{% if is_incremental() -%}
left join {{ this }} as kept on customers.source_number = kept.source_number
where kept.customer_id is null or kept.customer_id <> customers.customer_id
{%- endif %}
