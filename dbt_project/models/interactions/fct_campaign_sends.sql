with reached as (
    select
        source_key,
        campaign_id,
        occurred_at,
        available_at
    from {{ ref('int_campaign_events') }}
    where
        interaction_type = 'Campaign Sent'
        and campaign_id is not null
),

-- A letter to a household reaches everybody who is known to live there.
members as (
    select
        household_key,
        customer_id as member_id
    from {{ ref('dim_households') }}
    where known_to is null
),

sends as (
    select
        coalesce(members.member_id, customers.customer_id) as customer_id,
        reached.campaign_id,
        min(reached.occurred_at) as sent_at,
        min(reached.available_at) as available_at
    from reached
    inner join {{ ref('dim_customers') }} as customers on reached.source_key = customers.source_key
    left join members on reached.source_key = members.household_key
    group by coalesce(members.member_id, customers.customer_id), reached.campaign_id
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
