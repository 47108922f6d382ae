select
    product_id,
    gene_id,
    gene_hash,
    locus_id,
    weight,
    valid_from,
    valid_to
from {{ ref('int_product_genes_unioned') }}
