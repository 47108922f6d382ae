{#- A month's tiers come from sales before the month began, so an interaction never sees its own price; and from sales
    before its notice, so that builds of the days before know them already and the live path need not wait for the
    first build of the month. -#}
{%- set notice = var('price_tier_notice_days') -%}

with clock as (
    select {{ add_days(local_date('as_of'), notice) }} as as_of_date
    from {{ ref('stg_build__clock') }}
),

sold as (
    select
        product_id,
        -- Sales after a month's notice count as those of the month.
        cast(date_trunc('month', {{ add_days('available_date', notice) }}) as date) as month_date,
        sum(shelf_amount) as shelf_amount,
        sum(quantity) as quantity
    from {{ ref('int_product_sales') }}
    where quantity is not null
    group by 1, 2
),

months as (
    select distinct month_date from sold
    union
    select cast(date_trunc('month', as_of_date) as date) as month_date
    from clock
),

known as (
    select
        months.month_date,
        {{ local_midnight(add_days('months.month_date', '-' ~ notice)) }} as notice_at,
        sold.product_id,
        -- Rounded, so that equal prices are equal: sums of money differ in their last bits.
        round(sum(sold.shelf_amount) / sum(sold.quantity), 6) as unit_price
    from months
    inner join sold on months.month_date > sold.month_date
    group by months.month_date, sold.product_id
),

tiered as (
    select
        known.month_date,
        known.product_id,
        known.unit_price,
        {{ third('versions.category, known.month_date', 'known.unit_price') }} as price_third
    from known
    inner join {{ ref('int_product_versions') }} as versions
        on
            known.product_id = versions.product_id
            and known.notice_at >= versions.valid_from
            and (versions.valid_to is null or known.notice_at < versions.valid_to)
    where versions.category is not null
),

changes as (
    select *
    from tiered
    qualify
        lag(month_date) over (partition by product_id order by month_date) is null
        or lag(price_third) over (partition by product_id order by month_date) is distinct from price_third
)

select
    product_id,
    case price_third when 1 then 'lower' when 2 then 'middle' when 3 then 'upper' end as price_tier,
    unit_price,
    {{ local_midnight('month_date') }} as valid_from,
    {{ local_midnight('lead(month_date) over (partition by product_id order by month_date)') }} as valid_to
from changes
