{#- Package sizes are printed as people read them (16 OZ, 6 PK/12 OZ, .5 GAL). The first number and unit count. -#}
{%- set units = {
    'OZ': ('mass', 1), 'FL': ('volume', 1), 'LB': ('mass', 16), 'LBS': ('mass', 16), 'G': ('mass', 0.035274),
    'GM': ('mass', 0.035274), 'GR': ('mass', 0.035274), 'KG': ('mass', 35.274), 'ML': ('volume', 0.033814),
    'CL': ('volume', 0.33814), 'L': ('volume', 33.814), 'LT': ('volume', 33.814), 'PT': ('volume', 16),
    'QT': ('volume', 32), 'GAL': ('volume', 128), 'GA': ('volume', 128), 'CT': ('count', 1), 'PK': ('count', 1),
    'PC': ('count', 1), 'EA': ('count', 1), 'STEM': ('count', 1), 'STEMS': ('count', 1), 'DZ': ('count', 12),
    'DOZ': ('count', 12), 'LOAD': ('loads', 1), 'LOADS': ('loads', 1), 'LD': ('loads', 1), 'LDS': ('loads', 1),
    'IN': ('length', 1), 'FT': ('length', 12), 'SQ': ('area', 1), 'ROLL': ('count', 1)
} -%}

with latest_deliveries as (
    -- A version delivered again replaces what was delivered before under the same valid_from.
    select *
    from {{ ref('stg_products__versions') }}
    qualify row_number() over (partition by product_id, valid_from order by received_at desc, _batch_id desc) = 1
),

versions as (
    select
        product_id,
        department,
        category,
        product_type,
        brand_id,
        brand_type,
        package_size,
        label,
        valid_from,
        lead(valid_from) over (partition by product_id order by valid_from) as valid_to,
        upper(regexp_extract(package_size, '([0-9]*[.]?[0-9]+)[ -]*([A-Za-z]+)', 2)) as unit,
        try_cast(regexp_extract(package_size, '([0-9]*[.]?[0-9]+)[ -]*([A-Za-z]+)', 1) as double) as number
    from latest_deliveries
),

measured as (
    select
        *,
        case unit
            {%- for unit, (measure, factor) in units.items() %}
            when '{{ unit }}' then '{{ measure }}'
            {%- endfor %}
        end as measure,
        number * case unit
            {%- for unit, (measure, factor) in units.items() %}
            when '{{ unit }}' then {{ factor }}
            {%- endfor %}
        end as pack_size
    from versions
),

-- The sizes that a version is compared with are those of its category at the moment it appears, not later ones.
moments as (
    select distinct
        category,
        measure,
        valid_from as moment_at
    from measured
    where category is not null and pack_size > 0
),

ranked as (
    select
        measured.product_id,
        measured.valid_from,
        moments.moment_at,
        {{ third('measured.category, measured.measure, moments.moment_at', 'measured.pack_size') }} as pack_third
    from moments
    inner join measured
        on
            moments.category = measured.category
            and moments.measure = measured.measure
            and moments.moment_at >= measured.valid_from
            and (measured.valid_to is null or moments.moment_at < measured.valid_to)
    where measured.pack_size > 0
)

select
    measured.product_id,
    measured.department,
    measured.category,
    measured.product_type,
    measured.brand_id,
    measured.brand_type,
    measured.package_size,
    measured.label,
    measured.measure,
    measured.pack_size,
    case ranked.pack_third when 1 then 'small' when 2 then 'medium' when 3 then 'large' end as pack_size_band,
    measured.valid_from,
    measured.valid_to
from measured
left join ranked
    on
        measured.product_id = ranked.product_id
        and measured.valid_from = ranked.valid_from
        and measured.valid_from = ranked.moment_at
