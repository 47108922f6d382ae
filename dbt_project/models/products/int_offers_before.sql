{#- What each offer covered as the build before had it, written down before it is made anew; none where there is no such
    build. -#}
{%- set offers = before('dim_offers') -%}
{%- set products = before('int_offer_products') -%}

{% if offers is not none and products is not none -%}
select
    offers.offer_id,
    offers.campaign_id,
    offers.starts_at,
    offers.ends_at,
    products.product_id
from {{ offers }} as offers
inner join {{ products }} as products on offers.offer_id = products.offer_id
{%- else -%}
select
    cast(null as string) as offer_id,
    cast(null as string) as campaign_id,
    {{ build_said('as_of') }} as starts_at,
    {{ build_said('as_of') }} as ends_at,
    cast(null as string) as product_id
where false
{%- endif %}
