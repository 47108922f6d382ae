with sends as (
    select
        customers.customer_id,
        interactions.campaign_id,
        min(interactions.occurred_at) as sent_at,
        min(interactions.available_at) as available_at
    from {{ ref('fct_interactions') }} as interactions
    inner join {{ ref('dim_customers') }} as customers on interactions.source_key = customers.source_key
    where
        interactions.interaction_type = 'Campaign Sent'
        and interactions.campaign_id is not null
    group by customers.customer_id, interactions.campaign_id
),

campaigns as (
    select
        campaign_id,
        min(starts_at) as starts_at
    from {{ ref('dim_offers') }}
    group by campaign_id
)

select
    sends.customer_id,
    sends.campaign_id,
    sends.sent_at,
    sends.available_at,
    {{ local_midnight(local_date('coalesce(campaigns.starts_at, sends.sent_at)')) }} as label_at
from sends
left join campaigns on sends.campaign_id = campaigns.campaign_id
