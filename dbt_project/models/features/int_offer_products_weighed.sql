{#- How popular each covered product was with everybody before each of the offer's moments. -#}
select
    moments.offer_id,
    moments.valid_at,
    products.product_id,
    coalesce(sum(days.lines_h28), 0)
    * pow(2.0, -{{ days_between(instant(var('decay_anchor')), 'moments.valid_at') }} / 28) as lines_h28_sum,
    coalesce(sum(days.lines_h180), 0)
    * pow(2.0, -{{ days_between(instant(var('decay_anchor')), 'moments.valid_at') }} / 180) as lines_h180_sum
from {{ ref('int_offer_moments') }} as moments
inner join {{ ref('int_offer_products') }} as products on moments.offer_id = products.offer_id
left join {{ ref('int_product_days') }} as days
    on
        products.product_id = days.product_id
        and days.available_date < moments.until_date
group by moments.offer_id, moments.valid_at, products.product_id
