{#- Every staged row is an interaction or a redelivery: the ledger that `genome build` reconciles with the lake. Kept:
    counts of what lands are added. -#}
{{ config(
    materialized="incremental", incremental_strategy="delete+insert", unique_key=["channel", "interaction_type"],
    on_schema_change="fail"
) }}

with landed as (
    {% for staging in staged_channels() -%}
    select
        channel,
        interaction_type
    from {{ ref(staging) }}
    where {{ landed_since() }}
    {% if not loop.last %}union all
    {% endif -%}
    {% endfor %}
),

staged as (
    select
        channel,
        interaction_type,
        count(*) as staged_count
    from landed
    group by channel, interaction_type
),

kept as (
    select
        channel,
        interaction_type,
        count(*) as interaction_count,
        min(occurred_at) as first_at,
        max(occurred_at) as last_at
    from {{ ref('fct_interactions') }}
    where _build_number = {{ build_said('build_number') }}
    group by channel, interaction_type
),

counted as (
    select
        staged.channel,
        staged.interaction_type,
        staged.staged_count,
        coalesce(kept.interaction_count, 0) as interaction_count,
        kept.first_at,
        kept.last_at
    from staged
    left join kept
        on
            staged.channel = kept.channel
            and staged.interaction_type = kept.interaction_type
    {% if is_incremental() -%}
    union all
    select
        channel,
        interaction_type,
        staged_count,
        interaction_count,
        first_at,
        last_at
    from {{ this }}
    {%- endif %}
)

select
    channel,
    interaction_type,
    cast(sum(staged_count) as bigint) as staged_count,
    cast(sum(interaction_count) as bigint) as interaction_count,
    cast(sum(staged_count) - sum(interaction_count) as bigint) as redelivered_count,
    min(first_at) as first_at,
    max(last_at) as last_at
from counted
group by channel, interaction_type
