{{ config(materialized="view") }}

{#- Who has been touched by nothing since an earlier build has the row of that build: it fades up to the cut-off. -#}
with loci as (
    select {{ sorted_rows(['locus_number', 'half_life_now_days', 'half_life_character_days']) }} as locus_rows
    from {{ ref('loci') }}
),

half_lives as (
    select
        {{ list_field('locus_rows', 'half_life_now_days', 'double') }} as days_now,
        {{ list_field('locus_rows', 'half_life_character_days', 'double') }} as days_character
    from loci
),

rows_then as (
    select
        genomes.*,
        half_lives.days_now,
        half_lives.days_character,
        case when genomes.is_cutoff then clock.as_of else genomes.valid_at end as read_at,
        {{ days_between('genomes.valid_at', 'clock.as_of') }} as days_since
    from {{ ref('int_customer_genomes') }} as genomes
    cross join {{ ref('stg_build__clock') }} as clock
    cross join half_lives
)

select
    customer_id,
    read_at as valid_at,
    read_at as known_at,
    gene_hashes,
    case
        when read_at = valid_at then affinities_now
        else {{ faded('affinities_now', 'locus_numbers', 'days_now', 'days_since') }}
    end as affinities_now,
    case
        when read_at = valid_at then affinities_character
        else {{ faded('affinities_character', 'locus_numbers', 'days_character', 'days_since') }}
    end as affinities_character,
    shares_now,
    shares_character,
    last_at_days
from rows_then
