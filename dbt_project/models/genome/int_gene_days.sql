{#- Evidence × product DNA, summed for each source key, gene and day on which it became available. -#}
with expressed as (
    select
        evidence.source_number,
        genes.gene_hash,
        genes.locus_number,
        evidence.available_date,
        evidence.evidence_at,
        evidence.evidence_for * genes.weight as evidence_for,
        evidence.evidence_against * genes.weight as evidence_against,
        evidence.evidence_squared * genes.weight * genes.weight as evidence_squared,
        evidence.evidence_count,
        pow(2.0, evidence.anchor_days / loci.half_life_now_days) as scale_now,
        pow(2.0, evidence.anchor_days / loci.half_life_character_days) as scale_character
    from {{ ref('int_evidence_weighed') }} as evidence
    inner join {{ ref('int_product_genes_unioned') }} as genes
        on
            evidence.product_id = genes.product_id
            and evidence.evidence_at >= genes.valid_from
            and (genes.valid_to is null or evidence.evidence_at < genes.valid_to)
    inner join {{ ref('loci') }} as loci on genes.locus_number = loci.locus_number
)

select
    source_number,
    gene_hash,
    max(locus_number) as locus_number,
    available_date,
    sum(evidence_for * scale_now) as for_now,
    sum(evidence_against * scale_now) as against_now,
    sum(evidence_squared * scale_now * scale_now) as squares_now,
    sum(evidence_for * scale_character) as for_character,
    sum(evidence_against * scale_character) as against_character,
    sum(evidence_squared * scale_character * scale_character) as squares_character,
    cast(sum(evidence_count) as integer) as evidence_count,
    -- A refund takes evidence back but does not unmake the day on which it was given.
    min(evidence_at) as first_at,
    max(evidence_at) as last_at
from expressed
group by source_number, gene_hash, available_date
