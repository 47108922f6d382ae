with genes as (
    select
        gene_id,
        min(gene_hash) as gene_hash,
        min(locus_id) as locus_id,
        min(allele) as allele
    from {{ ref('int_product_genes_unioned') }}
    group by gene_id
),

labelled as (
    select
        genes.*,
        loci.locus_number,
        loci.sentence,
        case
            when genes.locus_id = 'brand' then 'brand ' || genes.allele
            when genes.gene_id = 'brand_type:Private' then 'the store''s own brands'
            when genes.locus_id = 'brand_type' then lower(genes.allele) || ' brands'
            when genes.locus_id = 'price_tier' then genes.allele || ' third'
            when genes.locus_id = 'pack_size' then genes.allele || ' packs'
            when genes.locus_id in ('claim', 'motive') then replace(genes.allele, '_', ' ')
            else coalesce(products.label, lower(genes.allele))
        end as label
    from genes
    inner join {{ ref('loci') }} as loci on genes.locus_id = loci.locus_id
    left join {{ ref('dim_products') }} as products on genes.gene_id = 'product:' || products.product_id
)

select
    labelled.gene_id,
    labelled.gene_hash,
    labelled.locus_id,
    labelled.locus_number,
    labelled.allele,
    labelled.label,
    replace(labelled.sentence, '{label}', labelled.label) as sentence,
    population.share as population_share,
    population.population_at
from labelled
left join {{ ref('int_gene_population') }} as population on labelled.gene_hash = population.gene_hash
