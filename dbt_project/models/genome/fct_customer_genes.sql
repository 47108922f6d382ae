{{ config(materialized="view") }}

{#- Rows as the build made them that last touched the customer: readers bring affinities forward
    (genome/lake/present.py). -#}
select
    genes.customer_id,
    named.gene_id,
    genes.gene_hash,
    named.locus_id,
    genes.affinity_now,
    genes.affinity_character,
    genes.share_now,
    genes.share_character,
    genes.trend,
    genes.confidence,
    genes.distinctiveness,
    genes.first_at,
    genes.last_at,
    genes.as_of,
    genes._build_number
from {{ ref('int_customer_genes') }} as genes
inner join {{ ref('dim_genes') }} as named on genes.gene_hash = named.gene_hash
