{#- Kept: what lands is appended. -#}
{{ config(materialized="incremental", incremental_strategy="append", on_schema_change="fail") }}

select
    source_key,
    {{ hash_bigint('source_key') }} as source_number,
    interaction_id,
    occurred_at,
    received_at,
    greatest(occurred_at, received_at) as available_at,
    age_band,
    income_band,
    home_ownership,
    marital_status,
    household_size,
    household_composition,
    kids_count,
    _batch_id
from {{ ref('stg_crm__profiles') }}
where
    interaction_type = 'Profile Updated'
    and {{ landed_since() }}
