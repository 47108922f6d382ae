{#- Every delivery of an id that came more than once. Kept: what lands is looked for among all that came before. -#}
{%- do ref('int_interactions_met') -%}
{{ config(materialized="incremental", incremental_strategy="append") }}

with landed as (
    {% for staging, brings in staged_channels().items() -%}
    select
        interaction_id,
        {{ row_hash('interaction_id') }} as interaction_hash,
        channel,
        source_id,
        interaction_type,
        received_at,
        _batch_id,
        concat_ws(
            '|', interaction_type, source_key, coalesce(product_id, ''), coalesce(offer_id, ''), coalesce(store_id, ''),
            {% if 'quantity' in brings %}coalesce(cast(quantity as string), ''){% else %}''{% endif %},
            {% if 'amount' in brings %}coalesce(cast(amount as string), ''){% else %}''{% endif %}
        ) as content
    from {{ ref(staging) }}
    where {{ landed_since() }}
    {% if not loop.last %}union all
    {% endif -%}
    {% endfor %}
),

-- Almost every id came once: only the others are looked at closely.
ids as (
    {% for staging in staged_channels() -%}
    select {{ row_hash('interaction_id') }} as interaction_hash
    from {{ ref(staging) }}
    where {{ landed_since() }}
    {% if not loop.last %}union all
    {% endif -%}
    {% endfor %}
),

repeated as (
    select interaction_hash
    from ids
    group by interaction_hash
    having count(*) > 1
),

{% if is_incremental() -%}
earlier as (
    select
        interaction_id,
        interaction_hash,
        channel,
        source_id,
        interaction_type,
        received_at,
        _batch_id,
        concat_ws(
            '|', interaction_type, source_key, coalesce(product_id, ''), coalesce(offer_id, ''), coalesce(store_id, ''),
            coalesce(cast(quantity as string), ''), coalesce(cast(amount as string), '')
        ) as content
    from {{ ref('int_interactions_met') }}
),

{% endif -%}
wanted as (
    select interaction_hash from repeated
    {% if is_incremental() -%}
    union
    select interaction_hash from earlier
    {%- endif %}
),

deliveries as (
    select landed.*
    from landed
    inner join wanted on landed.interaction_hash = wanted.interaction_hash
    {% if is_incremental() -%}
    union all
    select earlier.*
    from earlier
    where earlier.interaction_hash not in (select interaction_hash from {{ this }})
    {%- endif %}
)

select
    interaction_id,
    interaction_hash,
    channel,
    source_id,
    interaction_type,
    received_at,
    _batch_id,
    content
from deliveries
