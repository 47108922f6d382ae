{%- do ref('int_build_premises') -%}
{#- Whom a build that continues the one before has to make anew: the present row of whoever shows something new; all
    rows, those of label times and outcomes too, of whoever's past has changed. -#}

with clock as (
    select * from {{ ref('stg_build__clock') }}
),

-- What no gene and no trait is made of touches nobody: a letter that was delivered, a door that was passed.
speaking as (
    select interaction_type
    from {{ ref('evidence_weights') }}
    union
    select interaction_type
    from {{ ref('motive_weights') }}
    union
    select 'Campaign Sent' as interaction_type
    union
    select 'Coupon Applied' as interaction_type
    union
    select 'Profile Updated' as interaction_type
),

news as (
    select
        known.customer_id,
        min(known.available_at) as first_available_at,
        min(known.occurred_at) as first_occurred_at,
        count(case when known.interaction_type = 'Coupon Applied' then 1 end) as redemption_count
    from {{ ref('int_interactions_known') }} as known
    inner join speaking on known.interaction_type = speaking.interaction_type
    group by known.customer_id
),

-- The last label time that has come and the last window that has closed, of each customer.
past as (
    select
        sends.customer_id,
        max(case when sends.label_at < clock.as_of then sends.label_at end) as label_at,
        max(case when offers.ends_at <= clock.as_of then offers.ends_at end) as ends_at
    from {{ ref('fct_campaign_sends') }} as sends
    left join {{ ref('dim_offers') }} as offers on sends.campaign_id = offers.campaign_id
    cross join clock
    group by sends.customer_id
),

touched as (
    select
        news.customer_id,
        coalesce(
            news.first_available_at < past.label_at
            or news.first_occurred_at < past.ends_at
            -- a coupon may be told of long after its campaign
            or (news.redemption_count > 0 and past.ends_at is not null),
            false
        ) as is_whole
    from news
    left join past on news.customer_id = past.customer_id
    union all
    -- of whom a piece of evidence is gone, which label times had seen
    select
        customers.customer_id,
        true as is_whole
    from {{ ref('int_evidence_gone') }} as gone
    inner join {{ ref('dim_customers') }} as customers on gone.source_number = customers.source_number
    union all
    -- whose keys have moved, and who has lost one
    select
        customer_id,
        true as is_whole
    from {{ ref('int_customers_mapped') }}
    where build_number = {{ build_said('build_number') }}
    union all
    select
        former_customer_id as customer_id,
        true as is_whole
    from {{ ref('int_customers_mapped') }}
    where
        build_number = {{ build_said('build_number') }}
        and former_customer_id is not null
    union all
    -- who was reached by a campaign, also by a letter to their household
    select
        customer_id,
        true as is_whole
    from {{ ref('int_campaign_sends_mapped') }}
    where build_number = {{ build_said('build_number') }}
    union all
    -- whose label time has come, and whose campaign has ended
    select
        sends.customer_id,
        true as is_whole
    from {{ ref('int_campaign_sends_mapped') }} as sends
    left join {{ ref('dim_offers') }} as offers on sends.campaign_id = offers.campaign_id
    cross join clock
    where
        (sends.label_at >= clock.since and sends.label_at < clock.as_of)
        or (offers.ends_at > clock.since and offers.ends_at <= clock.as_of)
)

select
    customer_id,
    {{ hash_bigint('customer_id') }} as customer_number,
    max(case when is_whole then 1 else 0 end) = 1 as is_whole
from touched
where {{ 'true' if continues() else 'false' }}
group by customer_id
