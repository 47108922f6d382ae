{#- The sums of genes between label times of whom a build that continues makes all rows anew, from the history of their
    evidence; of nobody, where a build begins anew: int_gene_sums has them of everybody then. -#}
{%- do ref('int_product_genes_unioned') -%}
{%- do ref('loci') -%}
{%- do ref('int_spine_numbered') -%}

with labels as (
    {{ label_times() }}
),

evidence as (
    select
        sources.customer_number,
        cast(1 + {{ reached_count('labels.label_rows', 'valid_at', 'evidence.available_at') }} as integer) as stretch,
        evidence.product_id,
        evidence.evidence_at,
        evidence.evidence_for,
        evidence.evidence_against,
        evidence.evidence_squared,
        evidence.evidence_count
    from {{ ref('int_evidence_weighed') }} as evidence
    inner join {{ ref('int_sources_touched') }} as sources on evidence.source_number = sources.source_number
    left join labels on sources.customer_number = labels.customer_number
    where sources.is_whole
),

summed as (
    {{ expressed_sums('evidence', ['customer_number', 'stretch']) }}
)

select * from summed
