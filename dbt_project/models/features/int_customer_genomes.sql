{%- do ref('int_customers_touched') -%}
{{ config(
    materialized="incremental", incremental_strategy="append",
    pre_hook="{{ forget_touched('rows of the cut-off') }}", post_hook="{{ other_buckets() }}"
) }}

with clock as (
    select {{ days_between(instant(var('decay_anchor')), 'spine.valid_at') }} as anchor_days, spine.*
    from {{ ref('int_spine_numbered') }} as spine
    where {{ in_bucket('spine.customer_number') }}
),

scales as (
    select
        clock.spine_number,
        loci.locus_number,
        pow(2.0, -clock.anchor_days / loci.half_life_now_days) as scale_now,
        pow(2.0, -clock.anchor_days / loci.half_life_character_days) as scale_character,
        nullif(totals.total_now, 0) as total_now,
        nullif(totals.total_character, 0) as total_character
    from clock
    inner join {{ ref('int_locus_totals') }} as totals on clock.spine_number = totals.spine_number
    inner join {{ ref('loci') }} as loci on totals.locus_number = loci.locus_number
),

genes as (
    select
        spine.spine_number,
        states.gene_hash,
        states.locus_number,
        cast((states.for_now - states.against_now) * scales.scale_now as float) as affinity_now,
        cast((states.for_character - states.against_character) * scales.scale_character as float)
            as affinity_character,
        cast(greatest(states.for_now - states.against_now, 0) / scales.total_now as float) as share_now,
        cast(greatest(states.for_character - states.against_character, 0) / scales.total_character as float)
            as share_character,
        {{ epoch_day('states.last_at') }} as last_at_day
    from clock as spine
    inner join {{ ref('int_gene_states') }} as states
        on
            spine.customer_number = states.customer_number
            and spine.spine_ordinal >= states.from_ordinal
            and (states.to_ordinal is null or spine.spine_ordinal < states.to_ordinal)
    inner join scales
        on
            spine.spine_number = scales.spine_number
            and states.locus_number = scales.locus_number
),

vectors as (
    select
        spine_number,
        {{ sorted_rows([
            'gene_hash', 'locus_number', 'affinity_now', 'affinity_character', 'share_now', 'share_character',
            'last_at_day'
        ]) }} as gene_rows
    from genes
    group by spine_number
)

select
    spine.customer_id,
    spine.customer_number,
    spine.valid_at,
    spine.is_cutoff,
    {{ list_field('vectors.gene_rows', 'gene_hash', 'bigint') }} as gene_hashes,
    {{ list_field('vectors.gene_rows', 'locus_number', 'integer') }} as locus_numbers,
    {{ list_field('vectors.gene_rows', 'affinity_now', 'float') }} as affinities_now,
    {{ list_field('vectors.gene_rows', 'affinity_character', 'float') }} as affinities_character,
    {{ list_field('vectors.gene_rows', 'share_now', 'float') }} as shares_now,
    {{ list_field('vectors.gene_rows', 'share_character', 'float') }} as shares_character,
    {{ list_field('vectors.gene_rows', 'last_at_day', 'integer') }} as last_at_days,
    cast({{ build_said('build_number') }} as integer) as _build_number
from clock as spine
left join vectors on spine.spine_number = vectors.spine_number
