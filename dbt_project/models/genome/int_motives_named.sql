{#- Text becomes DNA: one row for each motive that a person named in words of their own. What came in are the motives
    alone ("price -ethics"), as the vocabulary recognised them; a `-` stands before those that the words speak against. -#}
with alleles as (
    select distinct allele
    from {{ ref('vocabulary') }}
    where locus_id = 'motive'
),

spoken as (
    select
        *,
        ' ' || motives || ' ' as words
    from {{ ref('int_interactions_known') }}
    where motives is not null
),

named as (
    select
        spoken.*,
        alleles.allele,
        position(' -' || alleles.allele || ' ' in spoken.words) > 0 as is_against,
        position(' ' || alleles.allele || ' ' in spoken.words) > 0 as is_named
    from spoken
    cross join alleles
)

select
    named.interaction_id,
    named.interaction_type,
    named.channel,
    named.source_key,
    named.source_number,
    -- A motive bears its own gene, as a product bears its genes.
    'motive:' || named.allele as product_id,
    named.evidence_at,
    named.available_at,
    case when named.is_against then 0 else weights.weight end as weight_for,
    case when named.is_against then weights.weight else 0 end as weight_against
from named
inner join {{ ref('motive_weights') }} as weights on named.interaction_type = weights.interaction_type
where
    named.is_named
    or named.is_against
