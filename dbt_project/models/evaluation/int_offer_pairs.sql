{%- do ref('int_customers_touched') -%}
{#- Who could have used which offer: everybody a campaign reached × its offers, once the campaign has ended. -#}
select
    sends.customer_id,
    offers.offer_id,
    offers.campaign_id,
    sends.label_at,
    offers.starts_at,
    offers.ends_at
from {{ ref('fct_campaign_sends') }} as sends
inner join {{ ref('dim_offers') }} as offers on sends.campaign_id = offers.campaign_id
cross join {{ ref('stg_build__clock') }} as build
where
    offers.ends_at <= build.as_of
{%- if continues() %}
and sends.customer_id in (
    select customer_id
    from {{ ref('int_customers_touched') }}
    where is_whole
)
{%- endif %}
