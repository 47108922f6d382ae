{#- Evidence × product DNA, summed for each source key and gene. Kept: a build appends the sums of what it is the first
    to know (and, with the opposite sign, of what it takes out), so that a gene of a key is the sum of its rows. A build
    that begins anew makes a row for each stretch between the label times of the customer. -#}
{%- do ref('int_product_genes_unioned') -%}
{%- do ref('loci') -%}
{%- do ref('int_spine_numbered') -%}
{%- do ref('int_evidence_gone') -%}
{{ config(
    materialized="incremental", incremental_strategy="append", on_schema_change="fail",
    post_hook="{{ other_buckets() }}"
) }}

with labels as (
    {{ label_times() }}
),

people as (
    select
        customers.source_number,
        customers.customer_number,
        labels.label_rows
    from {{ ref('dim_customers') }} as customers
    left join labels on customers.customer_number = labels.customer_number
    where {{ in_bucket('customers.customer_number') }}
),

evidence as (
    select
        people.source_number,
        people.customer_number,
        {% if continues() -%}
        cast(1 as integer) as stretch,
        {%- else -%}
        cast(1 + {{ reached_count('people.label_rows', 'valid_at', 'evidence.available_at') }} as integer) as stretch,
        {%- endif %}
        evidence.product_id,
        evidence.evidence_at,
        evidence.evidence_for,
        evidence.evidence_against,
        evidence.evidence_squared,
        evidence.evidence_count
    from {{ ref('int_evidence_weighed') }} as evidence
    inner join people on evidence.source_number = people.source_number
    {% if is_incremental() -%}
    where evidence._build_number = {{ build_said('build_number') }}
    union all
    select
        people.source_number,
        people.customer_number,
        cast(1 as integer) as stretch,
        gone.product_id,
        gone.evidence_at,
        -gone.evidence_for as evidence_for,
        -gone.evidence_against as evidence_against,
        -gone.evidence_squared as evidence_squared,
        -gone.evidence_count as evidence_count
    from {{ ref('int_evidence_gone') }} as gone
    inner join people on gone.source_number = people.source_number
    {%- endif %}
),

summed as (
    {{ expressed_sums('evidence', ['source_number', 'customer_number', 'stretch']) }}
)

select * from summed
