{#- The same id with another content: a sender that uses an id twice. The first delivery stays; these are for people. -#}
with landed as (
    {% for staging, brings in staged_channels().items() -%}
    select
        interaction_id,
        channel,
        source_id,
        interaction_type,
        received_at,
        concat_ws(
            '|', interaction_type, source_key, product_id, offer_id, store_id,
            {% if 'quantity' in brings %}cast(quantity as string){% else %}''{% endif %},
            {% if 'amount' in brings %}cast(amount as string){% else %}''{% endif %}
        ) as content
    from {{ ref(staging) }}
    {% if not loop.last %}union all
    {% endif -%}
    {% endfor %}
),

-- Almost every id came once: only the others are looked at closely.
redelivered as (
    select interaction_id
    from landed
    group by interaction_id
    having count(*) > 1
)

select
    landed.interaction_id,
    min(landed.channel) as channel,
    min(landed.source_id) as source_id,
    min(landed.interaction_type) as interaction_type,
    count(*) as delivery_count,
    count(distinct landed.content) as content_count,
    min(landed.received_at) as first_received_at,
    max(landed.received_at) as last_received_at
from landed
inner join redelivered on landed.interaction_id = redelivered.interaction_id
group by landed.interaction_id
having count(distinct landed.content) > 1
