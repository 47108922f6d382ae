{%- do ref('int_offers_before') -%}
with newest as (
    select
        offer_id,
        campaign_id,
        campaign_type,
        coupon_upc,
        kind,
        starts_at,
        ends_at,
        received_at
    from {{ ref('stg_offers__products') }}
    qualify row_number() over (partition by offer_id order by received_at desc, starts_at asc, _batch_id asc) = 1
),

first_heard as (
    select
        offer_id,
        min(received_at) as announced_at
    from {{ ref('stg_offers__products') }}
    group by offer_id
),

covered as (
    select
        offers.offer_id,
        offers.product_id,
        products.category,
        products.brand_id
    from {{ ref('int_offer_products') }} as offers
    left join {{ ref('dim_products') }} as products on offers.product_id = products.product_id
),

sizes as (
    select
        offer_id,
        count(*) as product_count,
        count(distinct category) as category_count
    from covered
    group by offer_id
),

main_category as (
    select
        offer_id,
        category
    from covered
    where category is not null
    group by offer_id, category
    qualify row_number() over (partition by offer_id order by count(*) desc, category) = 1
),

main_brand as (
    select
        offer_id,
        brand_id,
        count(*) as brand_product_count
    from covered
    where brand_id is not null
    group by offer_id, brand_id
    qualify row_number() over (partition by offer_id order by count(*) desc, brand_id) = 1
)

select
    newest.offer_id,
    newest.campaign_id,
    newest.campaign_type,
    newest.coupon_upc,
    newest.kind,
    newest.starts_at,
    newest.ends_at,
    first_heard.announced_at,
    cast(sizes.product_count as integer) as product_count,
    coalesce(lower(main_category.category), 'offer ' || newest.offer_id)
    || case
        when sizes.category_count > 1
            then ' and ' || cast(sizes.category_count - 1 as string) || ' more categories'
        else ''
    end
    || case
        when main_brand.brand_product_count * 2 > sizes.product_count then ', brand ' || main_brand.brand_id
        else ''
    end as label
from newest
inner join first_heard on newest.offer_id = first_heard.offer_id
inner join sizes on newest.offer_id = sizes.offer_id
left join main_category on newest.offer_id = main_category.offer_id
left join main_brand on newest.offer_id = main_brand.offer_id
