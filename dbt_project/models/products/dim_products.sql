with newest as (
    select *
    from {{ ref('int_product_versions') }}
    qualify row_number() over (partition by product_id order by valid_from desc) = 1
)

select
    product_id,
    department,
    category,
    product_type,
    brand_id,
    brand_type,
    package_size,
    pack_size_band,
    coalesce(lower(coalesce(product_type, category, department)), 'product ' || product_id)
    || coalesce(', ' || lower(package_size), '') as label,
    valid_from
from newest
