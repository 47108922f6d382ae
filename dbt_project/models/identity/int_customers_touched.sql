{%- do ref('int_build_premises') -%}
{#- Whom a build that continues the one before has to make anew. -#}

with clock as (
    select * from {{ ref('stg_build__clock') }}
),

sources as (
    -- what has landed, and what lay in the future of the build before
    select source_key
    from {{ ref('fct_interactions') }}
    where _build_number = {{ build_said('build_number') }}
    union
    select source_key
    from {{ ref('fct_interactions') }}
    where available_at >= {{ build_said('since') }}
),

touched as (
    select customers.customer_id
    from {{ ref('dim_customers') }} as customers
    inner join sources on customers.source_key = sources.source_key
    union
    select customer_id
    from {{ ref('int_customers_mapped') }}
    where build_number = {{ build_said('build_number') }}
    union
    -- who has lost a key
    select former_customer_id as customer_id
    from {{ ref('int_customers_mapped') }}
    where
        build_number = {{ build_said('build_number') }}
        and former_customer_id is not null
    union
    -- who was reached by a campaign, also by a letter to their household
    select customer_id
    from {{ ref('int_campaign_sends_mapped') }}
    where build_number = {{ build_said('build_number') }}
    union
    -- whose label time has come, and whose campaign has ended
    select sends.customer_id
    from {{ ref('int_campaign_sends_mapped') }} as sends
    left join {{ ref('dim_offers') }} as offers on sends.campaign_id = offers.campaign_id
    cross join clock
    where
        (sends.label_at >= clock.since and sends.label_at < clock.as_of)
        or (offers.ends_at > clock.since and offers.ends_at <= clock.as_of)
)

select
    customer_id,
    {{ hash_bigint('customer_id') }} as customer_number
from touched
where {{ 'true' if continues() else 'false' }}
