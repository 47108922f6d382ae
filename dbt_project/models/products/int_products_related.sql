{#- The products that relations are looked for between: of each type the most bought ones, with the attributes that held
    when the cut-off's month began. Relations are frozen for that month, and know nothing of later. Kept: they stand
    until the next month begins. -#}
{{ config(materialized="incremental", incremental_strategy="append") }}

with version as (
    select {{ local_midnight("date_trunc('month', " ~ local_date('as_of') ~ ")") }} as version_at
    from {{ ref('stg_build__clock') }}
),

sold as (
    select
        days.product_id,
        sum(days.line_count) as line_count
    from {{ ref('int_product_days') }} as days
    cross join version
    where
        days.available_date < {{ local_date('version.version_at') }}
        and {{ 'false' if is_incremental() else 'true' }}
    group by days.product_id
    having sum(days.line_count) >= {{ var('relation_minimum_lines') }}
),

described as (
    select
        sold.product_id,
        versions.category,
        coalesce(versions.product_type, versions.category) as product_type,
        versions.pack_size_band,
        tiers.price_tier,
        tiers.unit_price,
        sold.line_count,
        version.version_at
    from sold
    inner join {{ ref('int_product_versions') }} as versions on sold.product_id = versions.product_id
    cross join version
    left join {{ ref('int_price_tiers_dated') }} as tiers
        on
            sold.product_id = tiers.product_id
            and version.version_at >= tiers.valid_from
            and (tiers.valid_to is null or version.version_at < tiers.valid_to)
    where
        versions.category is not null
        and version.version_at >= versions.valid_from
        and (versions.valid_to is null or version.version_at < versions.valid_to)
),

most_bought as (
    select *
    from described
    qualify
        row_number() over (partition by product_type order by line_count desc, product_id asc)
        <= {{ var('relation_products_of_a_type') }}
)

select
    *,
    cast(row_number() over (order by product_id) as integer) as product_number
from most_bought
