{#- What could stand in for a product, what goes with it, and what would be a step up, each kind with the best first. A
    lift is how many times as often as by chance; what is kept is its lower bound (two standard errors below the
    count), so that few cases prove little. Kept: they stand until the next month begins. -#}
{{ config(materialized="incremental", incremental_strategy="append", on_schema_change="fail") }}

with counts as (
    select
        product_number,
        count(*) as basket_count,
        count(distinct customer_number) as people_count
    from {{ ref('int_purchases_related') }}
    group by product_number
),

products as (
    select
        products.*,
        counts.basket_count,
        counts.people_count
    from {{ ref('int_products_related') }} as products
    inner join counts on products.product_number = counts.product_number
),

types as (
    select
        products.product_type,
        count(distinct purchases.customer_number) as people_count
    from {{ ref('int_purchases_related') }} as purchases
    inner join products on purchases.product_number = products.product_number
    group by products.product_type
),

baskets as (
    select max(basket_number) as basket_count
    from {{ ref('int_purchases_related') }}
),

both_ways as (
    select
        product_number,
        other_number,
        together_count,
        people_count,
        one_first_count as moved_count,
        other_first_count as moved_back_count
    from {{ ref('int_product_pairs') }}
    union all
    select
        other_number as product_number,
        product_number as other_number,
        together_count,
        people_count,
        other_first_count as moved_count,
        one_first_count as moved_back_count
    from {{ ref('int_product_pairs') }}
),

pairs as (
    select
        one.product_id,
        other.product_id as other_product_id,
        both_ways.together_count,
        both_ways.people_count,
        both_ways.moved_count,
        both_ways.moved_back_count,
        one.category = other.category as is_same_category,
        one.product_type = other.product_type as is_same_type,
        coalesce(one.pack_size_band, '') = coalesce(other.pack_size_band, '') as is_same_size,
        coalesce(one.price_tier <> other.price_tier, false) as is_other_tier,
        other.unit_price / nullif(one.unit_price, 0) as price_step,
        one.basket_count as one_basket_count,
        one.people_count as one_people_count,
        both_ways.together_count / cast(least(one.basket_count, other.basket_count) as double) as together_share,
        cast(one.basket_count as double) * other.basket_count / baskets.basket_count as together_by_chance,
        cast(one.people_count as double) * other.people_count / types.people_count as people_by_chance,
        one.version_at
    from both_ways
    inner join products as one on both_ways.product_number = one.product_number
    inner join products as other on both_ways.other_number = other.product_number
    inner join types on one.product_type = types.product_type
    cross join baskets
),

complements as (
    select
        product_id,
        other_product_id,
        'complement' as relation,
        together_count as support_count,
        together_count / cast(one_basket_count as double) as confidence,
        together_count / together_by_chance as lift,
        (together_count - 2 * sqrt(together_count)) / together_by_chance as lift_low,
        price_step,
        version_at
    from pairs
    where
        not is_same_category
        and together_count >= {{ var('relation_minimum_support') }}
),

substitutes as (
    select
        product_id,
        other_product_id,
        'substitute' as relation,
        people_count as support_count,
        people_count / cast(one_people_count as double) as confidence,
        people_count / people_by_chance as lift,
        (people_count - 2 * sqrt(people_count)) / people_by_chance as lift_low,
        price_step,
        version_at
    from pairs
    where
        is_same_type
        and people_count >= {{ var('relation_minimum_support') }}
        and together_share <= {{ var('substitute_together_share') }}
),

-- Those who bought the dearer one after the cheaper one; more of them than went the other way.
premiums as (
    select
        product_id,
        other_product_id,
        'premium' as relation,
        moved_count as support_count,
        moved_count / cast(one_people_count as double) as confidence,
        people_count / people_by_chance as lift,
        (people_count - 2 * sqrt(people_count)) / people_by_chance as lift_low,
        price_step,
        version_at
    from pairs
    where
        is_same_type
        and is_same_size
        and is_other_tier
        and price_step between {{ var('premium_price_step') }} and {{ var('premium_price_step_most') }}
        and moved_count > moved_back_count
        and moved_count >= {{ var('relation_minimum_support') }}
),

related as (
    select * from complements
    where lift_low > 1
    union all
    select * from substitutes
    where lift_low > 1
    union all
    select * from premiums
),

ranked as (
    select
        related.*,
        row_number() over (
            partition by related.product_id, related.relation
            order by
                case when related.relation = 'premium' then related.confidence else related.lift_low end desc,
                related.other_product_id
        ) as relation_rank
    from related
)

select
    ranked.product_id,
    ranked.relation,
    cast(ranked.relation_rank as integer) as relation_rank,
    ranked.other_product_id,
    cast(ranked.support_count as integer) as support_count,
    ranked.confidence,
    ranked.lift,
    ranked.lift_low,
    ranked.price_step,
    ranked.version_at as known_at
from ranked
where
    ranked.relation_rank <= {{ var('relations_of_a_product') }}
    and {{ 'false' if is_incremental() else 'true' }}
