{{ config(materialized="view") }}

{#- Who has been touched by nothing since an earlier build has the row of that build: what is decayed in it fades up to
    the cut-off, everything else stands. Columns are those of the contract. -#}
with rows_then as (
    select
        traits.*,
        case when traits.is_cutoff then clock.as_of else traits.valid_at end as read_at
    from {{ ref('int_customer_traits') }} as traits
    cross join {{ ref('stg_build__clock') }} as clock
)

select
    {% for name in model.columns -%}
    {% if name in ['valid_at', 'known_at'] -%}
    read_at as {{ name }}
    {%- elif name.endswith('_h28_sum') -%}
    {{ name }} * {{ decay('valid_at', 'read_at', 28) }} as {{ name }}
    {%- elif name.endswith('_h180_sum') -%}
    {{ name }} * {{ decay('valid_at', 'read_at', 180) }} as {{ name }}
    {%- else -%}
    {{ name }}
    {%- endif %}{% if not loop.last %},{% endif %}
    {% endfor %}
from rows_then
