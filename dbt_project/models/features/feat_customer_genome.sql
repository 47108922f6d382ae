{{ config(materialized="view") }}

{#- Rows as the build made them that last touched the customer: readers bring those of the cut-off forward
    (genome/lake/present.py). -#}
select
    customer_id,
    valid_at,
    valid_at as known_at,
    gene_hashes,
    affinities_now,
    affinities_character,
    shares_now,
    shares_character,
    last_at_days,
    is_cutoff as _is_cutoff,
    _build_number
from {{ ref('int_customer_genomes') }}
