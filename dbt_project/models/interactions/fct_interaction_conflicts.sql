{#- The same id with another content: a sender uses an id twice. The first delivery stays; these are for people. -#}
select
    interaction_id,
    min(channel) as channel,
    min(source_id) as source_id,
    min(interaction_type) as interaction_type,
    count(*) as delivery_count,
    count(distinct content) as content_count,
    min(received_at) as first_received_at,
    max(received_at) as last_received_at
from {{ ref('int_interaction_deliveries') }}
group by interaction_id
having count(distinct content) > 1
