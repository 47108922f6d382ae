{#- Kept: first instants of what has landed are appended, one row for each key and build. -#}
{{ config(materialized="incremental", incremental_strategy="append", on_schema_change="fail") }}

select
    source_key,
    {{ hash_bigint('source_key') }} as source_number,
    min(occurred_at) as valid_from,
    min(available_at) as known_at
from {{ ref('fct_interactions') }}
where
    source_key is not null
    {% if is_incremental() -%}
    and _build_number = {{ build_said('build_number') }}
    {%- endif %}
group by source_key
