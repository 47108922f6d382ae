{%- do ref('int_product_genes_before') -%}
{#- A locus that is a column of the product's versions: its id, and the column that holds its allele. -#}
{%- set columns = {
    'department': 'department',
    'category': 'category',
    'product_type': 'product_type',
    'brand': 'brand_id',
    'brand_type': 'brand_type',
    'pack_size': 'pack_size_band',
    'product': 'product_id',
} -%}

with genes as (
    {% for locus, column in columns.items() -%}
    select
        product_id,
        '{{ locus }}' as locus_id,
        {{ column }} as allele,
        -- One allele in each of these loci, so it holds the whole weight.
        cast(1.0 as double) as weight,
        valid_from,
        valid_to
    from {{ ref('int_product_versions') }}
    where {{ column }} is not null
    union all
    {% endfor -%}
    select
        product_id,
        'price_tier' as locus_id,
        price_tier as allele,
        cast(1.0 as double) as weight,
        valid_from,
        valid_to
    from {{ ref('int_price_tiers_dated') }}
    where price_tier is not null
    union all
    select
        claims.product_id,
        'claim' as locus_id,
        claims.allele,
        claims.weight,
        claims.valid_from,
        versions.valid_to
    from {{ ref('int_product_claims') }} as claims
    inner join {{ ref('int_product_versions') }} as versions
        on
            claims.product_id = versions.product_id
            and claims.valid_from = versions.valid_from
    union all
    -- A motive bears its own gene: evidence without a product names the motive in the product's place.
    select distinct
        'motive:' || allele as product_id,
        'motive' as locus_id,
        allele,
        cast(1.0 as double) as weight,
        {{ instant('1970-01-01 00:00:00+00') }} as valid_from,
        cast(null as timestamp with time zone) as valid_to
    from {{ ref('vocabulary') }}
    where locus_id = 'motive'
)

select
    genes.product_id,
    genes.locus_id || ':' || genes.allele as gene_id,
    {{ hash_bigint("genes.locus_id || ':' || genes.allele") }} as gene_hash,
    genes.locus_id,
    loci.locus_number,
    genes.allele,
    genes.weight,
    genes.valid_from,
    genes.valid_to
from genes
inner join {{ ref('loci') }} as loci on genes.locus_id = loci.locus_id
