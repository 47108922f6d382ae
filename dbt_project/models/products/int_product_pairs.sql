{#- Pairs of products, each pair once: in how many baskets both were, and, of two of one type, how many people bought
    both, and which of them first. Kept: they stand until the next month begins. -#}
{{ config(materialized="incremental", incremental_strategy="append") }}

with purchases as (
    select * from {{ ref('int_purchases_related') }}
    where {{ 'false' if is_incremental() else 'true' }}
),

together as (
    select
        one.product_number,
        other.product_number as other_number,
        count(*) as together_count
    from purchases as one
    inner join purchases as other
        on
            one.basket_number = other.basket_number
            and one.product_number < other.product_number
    group by one.product_number, other.product_number
),

people as (
    select
        purchases.customer_number,
        purchases.product_number,
        products.product_type,
        min(purchases.bought_at) as first_at
    from purchases
    inner join {{ ref('int_products_related') }} as products on purchases.product_number = products.product_number
    group by purchases.customer_number, purchases.product_number, products.product_type
),

shared as (
    select
        one.product_number,
        other.product_number as other_number,
        count(*) as people_count,
        sum(case when one.first_at < other.first_at then 1 else 0 end) as one_first_count,
        sum(case when other.first_at < one.first_at then 1 else 0 end) as other_first_count
    from people as one
    inner join people as other
        on
            one.customer_number = other.customer_number
            and one.product_type = other.product_type
            and one.product_number < other.product_number
    group by one.product_number, other.product_number
    having count(*) >= {{ var('relation_minimum_support') }}
)

select
    coalesce(together.product_number, shared.product_number) as product_number,
    coalesce(together.other_number, shared.other_number) as other_number,
    coalesce(together.together_count, 0) as together_count,
    coalesce(shared.people_count, 0) as people_count,
    coalesce(shared.one_first_count, 0) as one_first_count,
    coalesce(shared.other_first_count, 0) as other_first_count
from together
full outer join shared
    on
        together.product_number = shared.product_number
        and together.other_number = shared.other_number
where
    together.together_count >= {{ var('relation_minimum_support') }}
    or shared.people_count is not null
