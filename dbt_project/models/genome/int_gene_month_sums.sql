{#- What everybody revealed, by month. Kept: what has changed of touched customers' evidence is added. -#}
{%- do ref('int_evidence_before') -%}
{%- do ref('int_evidence_weighed') -%}
{%- do ref('int_product_genes_unioned') -%}
{%- do ref('loci') -%}
{{ config(materialized="incremental", incremental_strategy="append") }}

{% if is_incremental() -%}
{%- set compared -%}
    interaction_id, takes_back_id, product_id, evidence_at, available_at, evidence_for, evidence_against,
    evidence_squared
{%- endset -%}
with appeared as (
    select {{ compared }} from {{ ref('int_evidence_weighed') }}
    except all
    select {{ compared }} from {{ ref('int_evidence_before') }}
),

gone as (
    select {{ compared }} from {{ ref('int_evidence_before') }}
    except all
    select {{ compared }} from {{ ref('int_evidence_weighed') }}
),

changes as (
    select
        *,
        1 as factor
    from appeared
    union all
    select
        *,
        -1 as factor
    from gone
),

scaled as (
    select
        genes.gene_hash,
        genes.locus_number,
        {{ local_date('changes.available_at') }} as available_date,
        changes.factor * changes.evidence_for * genes.weight as evidence_for,
        changes.factor * changes.evidence_against * genes.weight as evidence_against,
        changes.factor * changes.evidence_squared * genes.weight * genes.weight as evidence_squared,
        pow(
            2.0,
            {{ days_between(instant(var('decay_anchor')), 'changes.evidence_at') }} / loci.half_life_character_days
        ) as scale
    from changes
    inner join {{ ref('int_product_genes_unioned') }} as genes
        on
            changes.product_id = genes.product_id
            and changes.evidence_at >= genes.valid_from
            and (genes.valid_to is null or changes.evidence_at < genes.valid_to)
    inner join {{ ref('loci') }} as loci on genes.locus_number = loci.locus_number
)

select
    gene_hash,
    max(locus_number) as locus_number,
    cast(date_trunc('month', available_date) as date) as month_date,
    sum(evidence_for * scale) as for_character,
    sum(evidence_against * scale) as against_character,
    sum(evidence_squared * scale * scale) as squares_character,
    {{ build_said('build_number') }} as build_number
from scaled
group by gene_hash, date_trunc('month', available_date)
{%- else -%}
select
    gene_hash,
    max(locus_number) as locus_number,
    cast(date_trunc('month', available_date) as date) as month_date,
    sum(for_character) as for_character,
    sum(against_character) as against_character,
    sum(squares_character) as squares_character,
    {{ build_said('build_number') }} as build_number
from {{ ref('int_gene_days') }}
group by gene_hash, date_trunc('month', available_date)
{%- endif %}
