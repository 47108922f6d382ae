{{ config(materialized="view") }}

{#- Who has been touched by nothing since an earlier build has the rows of that build: affinities fade up to the
    cut-off; shares, and what is made of them, stand. -#}
select
    genes.customer_id,
    named.gene_id,
    genes.gene_hash,
    named.locus_id,
    genes.affinity_now * {{ decay('genes.as_of', 'clock.as_of', 'loci.half_life_now_days') }} as affinity_now,
    genes.affinity_character
    * {{ decay('genes.as_of', 'clock.as_of', 'loci.half_life_character_days') }} as affinity_character,
    genes.share_now,
    genes.share_character,
    genes.trend,
    genes.confidence,
    genes.distinctiveness,
    genes.first_at,
    genes.last_at,
    clock.as_of
from {{ ref('int_customer_genes') }} as genes
inner join {{ ref('dim_genes') }} as named on genes.gene_hash = named.gene_hash
inner join {{ ref('loci') }} as loci on genes.locus_number = loci.locus_number
cross join {{ ref('stg_build__clock') }} as clock
