{{ config(materialized="view") }}

{%- set channels = staged_channels() -%}
{%- set common = [
    'interaction_id', 'source_id', 'seller_id', 'channel', 'interaction_type', 'source_key', 'session_id',
    'product_id', 'offer_id', 'store_id', 'occurred_at', 'received_at', '_known_assumed', '_batch_id'
] -%}
{%- set extras = {
    'line_number': 'integer', 'quantity': 'double', 'amount': 'double', 'retail_discount_amount': 'double',
    'coupon_discount_amount': 'double', 'coupon_match_amount': 'double', 'currency': 'string',
    'campaign_id': 'string', 'coupon_upc': 'string', 'order_id': 'string', 'motives': 'string'
} -%}

{#- It stands twice below: an engine would write down a relation that is named twice before it reads it. -#}
{%- set landed -%}
    {% for staging, brings in channels.items() -%}
    select
        {% for column in common -%}
        {{ column }},
        {% endfor -%}
        {% for column, type in extras.items() -%}
        {% if column in brings %}{{ column }}{% else %}cast(null as {{ type }}){% endif %} as {{ column }},
        {% endfor -%}
        {{ row_hash('interaction_id') }} as interaction_hash
    from {{ ref(staging) }}
    where {{ landed_since() }}
    {% if not loop.last %}union all
    {% endif -%}
    {% endfor %}
{%- endset %}

-- A redelivery brings the same id again. Only those few rows are sorted: the others pass by.
with redelivered as (
    select interaction_hash
    from (
        {% for staging in channels -%}
        select {{ row_hash('interaction_id') }} as interaction_hash
        from {{ ref(staging) }}
        where {{ landed_since() }}
        {% if not loop.last %}union all
        {% endif -%}
        {% endfor %}
    ) as ids
    group by interaction_hash
    having count(*) > 1
),

first_deliveries as (
    select deliveries.*
    from ({{ landed }}) as deliveries
    inner join redelivered on deliveries.interaction_hash = redelivered.interaction_hash
    qualify
        row_number() over (
            partition by deliveries.interaction_id order by deliveries.received_at, deliveries._batch_id
        ) = 1
),

once as (
    select deliveries.*
    from ({{ landed }}) as deliveries
    left join redelivered on deliveries.interaction_hash = redelivered.interaction_hash
    where redelivered.interaction_hash is null
    union all
    select * from first_deliveries
)

select
    *,
    -- When it could first be used, and from when it fades: a clock from the future cannot age all else away.
    greatest(occurred_at, received_at) as available_at,
    least(occurred_at, received_at) as evidence_at
from once
