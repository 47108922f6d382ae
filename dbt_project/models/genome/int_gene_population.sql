{#- What people choose in general: evidence of everybody that was available when the cut-off's month began. It is
    frozen for the month, so that a customer's distinctiveness does not move because others shop today. -#}
with version as (
    select cast(date_trunc('month', {{ local_date('as_of') }}) as date) as population_date
    from {{ ref('stg_build__clock') }}
),

genes as (
    select
        months.gene_hash,
        max(months.locus_number) as locus_number,
        sum(months.for_character) as for_character,
        sum(months.against_character) as against_character,
        sum(months.squares_character) as squares_character
    from {{ ref('fct_gene_months') }} as months
    cross join version
    where months.month_date < version.population_date
    group by months.gene_hash
    -- What was taken back of everybody was chosen by nobody.
    having sum(months.evidence_count) > 0
),

loci as (
    select
        locus_number,
        sum(greatest(for_character - against_character, 0)) as total_character,
        pow(sum(for_character + against_character), 2) / nullif(sum(squares_character), 0) as evidence_count
    from genes
    group by locus_number
)

select
    genes.gene_hash,
    genes.locus_number,
    greatest(genes.for_character - genes.against_character, 0) / nullif(loci.total_character, 0) as share,
    loci.evidence_count,
    {{ local_midnight('version.population_date') }} as population_at
from genes
inner join loci on genes.locus_number = loci.locus_number
cross join version
