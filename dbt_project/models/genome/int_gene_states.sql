{#- The running sums of each customer's genes. A row holds from one of the customer's spine moments to the one at
    which new evidence changes it, so that a gene untouched for a year is one row and not one for each moment. -#}
{{ config(post_hook="{{ other_buckets() }}") }}

{%- set sums = [
    'for_now', 'against_now', 'for_character', 'against_character', 'squares_character', 'evidence_count'
] -%}

with labelled as (
    select distinct customer_number
    from {{ ref('int_spine_numbered') }}
    where not is_cutoff
),

increments as (
    {% if continues() -%}
    -- whose past stands has one moment, the cut-off: it sees all sums
    select
        sources.customer_number,
        sums.gene_hash,
        sums.locus_number,
        1 as stretch,
        {{ 'sums.' ~ sums | join(', sums.') }},
        sums.first_at,
        sums.last_at
    from {{ ref('int_gene_sums') }} as sums
    inner join {{ ref('int_sources_touched') }} as sources on sums.source_number = sources.source_number
    where not sources.is_whole
    union all
    select
        customer_number,
        gene_hash,
        locus_number,
        stretch,
        {{ sums | join(', ') }},
        first_at,
        last_at
    from {{ ref('int_gene_sums_whole') }}
    {%- else -%}
    {%- do ref('int_sources_touched') -%}
    {%- do ref('int_gene_sums_whole') -%}
    select
        customer_number,
        gene_hash,
        locus_number,
        stretch,
        {{ sums | join(', ') }},
        first_at,
        last_at
    from {{ ref('int_gene_sums') }}
    where {{ in_bucket('customer_number') }}
    {%- endif %}
),

summed as (
    select
        customer_number,
        gene_hash,
        stretch,
        max(locus_number) as locus_number,
        {% for name in sums -%}
        sum({{ name }}) as {{ name }},
        {% endfor -%}
        min(first_at) as first_at,
        max(last_at) as last_at
    from increments
    group by customer_number, gene_hash, stretch
),

-- Most customers have no label time, and nothing to run over.
running as (
    select
        customer_number,
        gene_hash,
        locus_number,
        stretch as from_ordinal,
        nullif(stretch, stretch) as to_ordinal,
        {{ sums | join(', ') }},
        first_at,
        last_at
    from summed
    where customer_number not in (select customer_number from labelled)
    union all
    select
        customer_number,
        gene_hash,
        locus_number,
        stretch as from_ordinal,
        lead(stretch) over in_order as to_ordinal,
        {% for name in sums -%}
        sum({{ name }}) over in_order as {{ name }},
        {% endfor -%}
        min(first_at) over in_order as first_at,
        max(last_at) over in_order as last_at
    from summed
    where customer_number in (select customer_number from labelled)
    window in_order as (partition by customer_number, gene_hash order by stretch)
)

select
    customer_number,
    gene_hash,
    locus_number,
    from_ordinal,
    to_ordinal,
    for_now,
    against_now,
    for_character,
    against_character,
    squares_character,
    first_at,
    last_at
from running
-- Where all evidence was taken back, what is left of the sums is rounding: no evidence, no gene.
where evidence_count > 0
