{#- The running sums of each customer's genes. A row holds from one of the customer's spine moments to the one at
    which new evidence changes it, so that a gene untouched for a year is one row and not one for each moment. -#}
with source_days as (
    select distinct
        source_number,
        available_date
    from {{ ref('int_gene_days') }}
),

-- The first moment of the spine that sees a day's evidence.
day_moments as (
    select
        source_days.source_number,
        source_days.available_date,
        customers.customer_number,
        min(spine.spine_ordinal) as spine_ordinal
    from source_days
    inner join {{ ref('dim_customers') }} as customers on source_days.source_number = customers.source_number
    inner join {{ ref('int_spine_numbered') }} as spine
        on
            customers.customer_number = spine.customer_number
            and source_days.available_date < spine.until_date
    group by source_days.source_number, source_days.available_date, customers.customer_number
),

increments as (
    select
        day_moments.customer_number,
        days.gene_hash,
        day_moments.spine_ordinal,
        max(days.locus_number) as locus_number,
        sum(days.for_now) as for_now,
        sum(days.against_now) as against_now,
        sum(days.for_character) as for_character,
        sum(days.against_character) as against_character,
        sum(days.squares_character) as squares_character,
        sum(days.evidence_count) as evidence_count,
        min(days.first_at) as first_at,
        max(days.last_at) as last_at
    from {{ ref('int_gene_days') }} as days
    inner join day_moments
        on
            days.source_number = day_moments.source_number
            and days.available_date = day_moments.available_date
    group by day_moments.customer_number, days.gene_hash, day_moments.spine_ordinal
),

running as (
    select
        customer_number,
        gene_hash,
        locus_number,
        spine_ordinal as from_ordinal,
        lead(spine_ordinal) over in_order as to_ordinal,
        sum(for_now) over in_order as for_now,
        sum(against_now) over in_order as against_now,
        sum(for_character) over in_order as for_character,
        sum(against_character) over in_order as against_character,
        sum(squares_character) over in_order as squares_character,
        sum(evidence_count) over in_order as evidence_count,
        min(first_at) over in_order as first_at,
        max(last_at) over in_order as last_at
    from increments
    window in_order as (partition by customer_number, gene_hash order by spine_ordinal)
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
