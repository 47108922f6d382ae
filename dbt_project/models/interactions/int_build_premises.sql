{#- What a build that continues the one before relies on. A row is a reason to begin anew instead: `genome build` does
    it by itself. -#}
{%- set notice = var('price_tier_notice_days') -%}
{%- set popularity = before('int_offer_popularity') -%}

with clock as (
    select
        since,
        {{ local_date('since') }} as since_date
    from {{ ref('stg_build__clock') }}
),

landed as (
    select *
    from {{ ref('fct_interactions') }}
    where _build_number = {{ build_said('build_number') }}
),

-- Prices of months that have begun, and the population that a month compares with, stand.
known_before as (
    select 'interactions that say they were known in a month that is closed' as reason
    from landed
    cross join clock
    where
        cast(date_trunc('month', {{ add_days(local_date('landed.available_at'), notice) }}) as date)
        < cast(date_trunc('month', {{ add_days('clock.since_date', notice) }}) as date)
        or cast(date_trunc('month', {{ local_date('landed.available_at') }}) as date)
        < cast(date_trunc('month', clock.since_date) as date)
),

-- Of several deliveries the first one stays; one that says it came before the one that is kept would replace it.
came_before as (
    select 'a delivery that was received before the one that is kept' as reason
    from {{ ref('int_interaction_deliveries') }} as deliveries
    inner join {{ ref('fct_interactions') }} as kept
        on
            deliveries.interaction_hash = kept.interaction_hash
            and deliveries.interaction_id = kept.interaction_id
    where
        deliveries.received_at < kept.received_at
        or (deliveries.received_at = kept.received_at and deliveries._batch_id < kept._batch_id)
),

{% if popularity is not none -%}
-- What was popular when an offer could be chosen has been counted.
counted as (
    select max(label_at) as label_at from {{ popularity }}
),

known_before_a_label as (
    select 'interactions that say they were known before a label time whose campaign has ended' as reason
    from landed
    inner join counted on landed.available_at < counted.label_at
),

{% endif -%}
reasons as (
    select reason from known_before
    union
    select reason from came_before
    {% if popularity is not none -%}
    union
    select reason from known_before_a_label
    {%- endif %}
)

select reason
from reasons
where {{ 'true' if continues() else 'false' }}
