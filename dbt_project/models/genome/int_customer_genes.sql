{%- do ref('int_customers_touched') -%}
{{ config(
    materialized="incremental", incremental_strategy="append",
    pre_hook="{{ forget_touched('all rows') }}"
) }}

{#- Distinctiveness after Monroe et al. 2008: log-odds against the population with an informative Dirichlet prior. -#}
{%- set prior = var('distinctiveness_prior') -%}

with clock as (
    select
        as_of,
        {{ days_between(instant(var('decay_anchor')), 'as_of') }} as anchor_days
    from {{ ref('stg_build__clock') }}
),

locus_population as (
    select
        locus_number,
        max(evidence_count) as evidence_count,
        count(*) as gene_count
    from {{ ref('int_gene_population') }}
    group by locus_number
),

-- Genes that nobody had chosen before get one imagined choice each, or their prior would be 0.
backgrounds as (
    select
        genes.gene_hash,
        coalesce(population.share, 0) * locus_population.evidence_count as population_count,
        locus_population.evidence_count as population_total,
        (coalesce(population.share, 0) * locus_population.evidence_count + 1)
        / (locus_population.evidence_count + locus_population.gene_count) as prior_share
    from {{ ref('dim_genes') }} as genes
    inner join locus_population on genes.locus_number = locus_population.locus_number
    left join {{ ref('int_gene_population') }} as population on genes.gene_hash = population.gene_hash
),

states as (
    select
        spine.customer_id,
        states.*,
        clock.as_of,
        pow(2.0, -clock.anchor_days / loci.half_life_now_days) as scale_now,
        pow(2.0, -clock.anchor_days / loci.half_life_character_days) as scale_character,
        greatest(states.for_now - states.against_now, 0) / nullif(totals.total_now, 0) as share_now,
        greatest(states.for_character - states.against_character, 0) / nullif(totals.total_character, 0)
            as share_character,
        pow(totals.evidence_character, 2) / nullif(totals.squares_character, 0) as locus_confidence
    from {{ ref('int_spine_numbered') }} as spine
    inner join {{ ref('int_gene_states') }} as states
        on
            spine.customer_number = states.customer_number
            and states.to_ordinal is null
    inner join {{ ref('int_locus_totals') }} as totals
        on
            spine.spine_number = totals.spine_number
            and states.locus_number = totals.locus_number
    inner join {{ ref('loci') }} as loci on states.locus_number = loci.locus_number
    cross join clock
    where spine.is_cutoff
),

counted as (
    select
        states.*,
        states.share_character * states.locus_confidence as own_count,
        backgrounds.population_count,
        backgrounds.population_total,
        backgrounds.prior_share * {{ prior }} as prior_count
    from states
    left join backgrounds on states.gene_hash = backgrounds.gene_hash
),

compared as (
    select
        *,
        own_count + prior_count as own_with,
        locus_confidence + {{ prior }} - own_count - prior_count as own_without,
        population_count + prior_count as population_with,
        population_total + {{ prior }} - population_count - prior_count as population_without
    from counted
)

select
    compared.customer_id,
    compared.customer_number,
    compared.gene_hash,
    compared.locus_number,
    (compared.for_now - compared.against_now) * compared.scale_now as affinity_now,
    (compared.for_character - compared.against_character) * compared.scale_character as affinity_character,
    compared.share_now,
    compared.share_character,
    compared.share_now - compared.share_character as trend,
    pow(compared.for_character + compared.against_character, 2) / nullif(compared.squares_character, 0) as confidence,
    -- Where a locus has one gene only, nothing can be distinct in it.
    case
        when compared.own_without > 1e-9 and compared.population_without > 1e-9
            then
                (
                    ln(compared.own_with / compared.own_without)
                    - ln(compared.population_with / compared.population_without)
                )
                / sqrt(
                    1 / compared.own_with + 1 / compared.own_without
                    + 1 / compared.population_with + 1 / compared.population_without
                )
    end as distinctiveness,
    compared.first_at,
    compared.last_at,
    compared.as_of,
    cast({{ build_said('build_number') }} as integer) as _build_number
from compared
