{#- Every staged row is an interaction or a redelivery: the ledger that `genome build` reconciles with the lake. -#}
with landed as (
    {% for staging in staged_channels() -%}
    select
        channel,
        interaction_type
    from {{ ref(staging) }}
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
    group by channel, interaction_type
)

select
    staged.channel,
    staged.interaction_type,
    staged.staged_count,
    coalesce(kept.interaction_count, 0) as interaction_count,
    staged.staged_count - coalesce(kept.interaction_count, 0) as redelivered_count,
    kept.first_at,
    kept.last_at
from staged
left join kept
    on
        staged.channel = kept.channel
        and staged.interaction_type = kept.interaction_type
