{{ config(materialized="view") }}

{#- Rows as the build made them that last touched the customer: readers bring those of the cut-off forward
    (genome/lake/present.py). Columns are those of the contract. -#}
select
    {% for name in model.columns -%}
    {% if name == 'known_at' -%}
    valid_at as {{ name }}
    {%- elif name == '_is_cutoff' -%}
    is_cutoff as {{ name }}
    {%- else -%}
    {{ name }}
    {%- endif %}{% if not loop.last %},{% endif %}
    {% endfor %}
from {{ ref('int_customer_traits') }}
