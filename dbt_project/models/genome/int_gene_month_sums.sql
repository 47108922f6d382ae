{#- What everybody revealed, by month. Kept: what a build is the first to know is added, and what goes is taken off. -#}
{%- do ref('int_product_genes_unioned') -%}
{%- do ref('loci') -%}
{%- do ref('int_evidence_gone') -%}
{{ config(materialized="incremental", incremental_strategy="append") }}

with evidence as (
    select
        cast(date_trunc('month', {{ local_date('available_at') }}) as date) as month_date,
        product_id,
        evidence_at,
        evidence_for,
        evidence_against,
        evidence_squared,
        evidence_count
    from {{ ref('int_evidence_weighed') }}
    where _build_number = {{ build_said('build_number') }}
    {% if is_incremental() -%}
    union all
    select
        cast(date_trunc('month', {{ local_date('available_at') }}) as date) as month_date,
        product_id,
        evidence_at,
        -evidence_for as evidence_for,
        -evidence_against as evidence_against,
        -evidence_squared as evidence_squared,
        -evidence_count as evidence_count
    from {{ ref('int_evidence_gone') }}
    {%- endif %}
),

summed as (
    {{ expressed_sums('evidence', ['month_date']) }}
)

select
    gene_hash,
    locus_number,
    month_date,
    for_character,
    against_character,
    squares_character,
    evidence_count,
    {{ build_said('build_number') }} as build_number
from summed
