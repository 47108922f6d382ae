{#- What everybody revealed, by the month in which it became available. A month is never changed by a later one, so
    the population that a person was compared with at any time can be added up again. -#}
select
    gene_hash,
    max(locus_number) as locus_number,
    month_date,
    sum(for_character) as for_character,
    sum(against_character) as against_character,
    sum(squares_character) as squares_character,
    cast(sum(evidence_count) as bigint) as evidence_count
from {{ ref('int_gene_month_sums') }}
group by gene_hash, month_date
