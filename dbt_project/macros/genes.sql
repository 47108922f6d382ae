{#- Evidence becomes genes: evidence × the product DNA of its time, decayed on the scale of the fixed anchor so that any
    sums add up, for each value of `keys` and gene. `evidence` is a relation with the columns `keys`, product_id,
    evidence_at, evidence_for, evidence_against, evidence_squared and evidence_count. -#}
{% macro expressed_sums(evidence, keys) %}
{%- set anchor_days = days_between(instant(var('decay_anchor')), 'evidence.evidence_at') -%}
select
    {% for key in keys -%}
    {{ key }},
    {% endfor -%}
    gene_hash,
    max(locus_number) as locus_number,
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
from (
    select
        {% for key in keys -%}
        evidence.{{ key }},
        {% endfor -%}
        evidence.evidence_at,
        evidence.evidence_count,
        genes.gene_hash,
        genes.locus_number,
        evidence.evidence_for * genes.weight as evidence_for,
        evidence.evidence_against * genes.weight as evidence_against,
        evidence.evidence_squared * genes.weight * genes.weight as evidence_squared,
        pow(2.0, {{ anchor_days }} / loci.half_life_now_days) as scale_now,
        pow(2.0, {{ anchor_days }} / loci.half_life_character_days) as scale_character
    from {{ evidence }} as evidence
    inner join {{ ref('int_product_genes_unioned') }} as genes
        on
            evidence.product_id = genes.product_id
            and evidence.evidence_at >= genes.valid_from
            and (genes.valid_to is null or evidence.evidence_at < genes.valid_to)
    inner join {{ ref('loci') }} as loci on genes.locus_number = loci.locus_number
) as expressed
group by {{ keys | join(', ') }}, gene_hash
{% endmacro %}

{#- The label times of each customer who has any, as `reached_count` counts them: between which of them evidence became
    known is its stretch. -#}
{% macro label_times() %}
    select
        customer_number,
        {{ sorted_rows(['valid_at']) }} as label_rows
    from {{ ref('int_spine_numbered') }}
    where not is_cutoff
    group by customer_number
{% endmacro %}

{#- How many rows of a list made by `sorted_rows` have a field that is not after an instant; 0 where there is no list. -#}
{% macro reached_count(rows, field, instant) %}
    {{- return(adapter.dispatch('reached_count', 'customer_genome')(rows, field, instant)) -}}
{% endmacro %}

{% macro duckdb__reached_count(rows, field, instant) %}
    {{- return(
        'case when ' ~ rows ~ ' is null then 0 else len(list_filter(' ~ rows ~ ', lambda r : r.' ~ field ~ ' <= '
        ~ instant ~ ')) end'
    ) -}}
{% endmacro %}

{% macro spark__reached_count(rows, field, instant) %}
    {{- return(
        'case when ' ~ rows ~ ' is null then 0 else size(filter(' ~ rows ~ ', r -> r.' ~ field ~ ' <= ' ~ instant
        ~ ')) end'
    ) -}}
{% endmacro %}
