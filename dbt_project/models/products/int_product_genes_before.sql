{#- Product DNA as the build before had it, written down before it is made anew; none where there is no such build. -#}
{%- set kept = before('int_product_genes_unioned') -%}

select
    genes.product_id,
    genes.gene_hash,
    genes.weight,
    genes.valid_from,
    genes.valid_to
{% if kept is not none -%}
from {{ kept }} as genes
{%- else -%}
from (
    select
        cast(null as string) as product_id,
        cast(null as bigint) as gene_hash,
        cast(null as double) as weight,
        {{ build_said('as_of') }} as valid_from,
        {{ build_said('as_of') }} as valid_to
) as genes
where false
{%- endif %}
