{#- Text becomes DNA: one row for each motive that a person named in words of their own. What came in are the motives
    alone ("price -ethics"), as the vocabulary recognised them; a `-` stands before those that the words speak against. -#}
with alleles as (
    select distinct allele
    from {{ ref('vocabulary') }}
    where locus_id = 'motive'
),

-- Only what people said in words of their own bears a weight. Where a text was read anew, by a later vocabulary, it
-- says what was heard then: the reading has changed and not the person, so the interaction's own times stay.
heard as (
    select
        interactions.interaction_id,
        interactions.interaction_type,
        interactions.channel,
        interactions.source_key,
        interactions.source_number,
        interactions.evidence_at,
        interactions.available_at,
        weights.weight,
        case when again.interaction_id is null then interactions.motives else again.motives end as motives
    from {{ ref('int_interactions_known') }} as interactions
    inner join {{ ref('motive_weights') }} as weights on interactions.interaction_type = weights.interaction_type
    left join {{ ref('stg_texts__motives') }} as again on interactions.interaction_id = again.interaction_id
),

spoken as (
    select
        *,
        ' ' || motives || ' ' as words
    from heard
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
    case when named.is_against then 0 else named.weight end as weight_for,
    case when named.is_against then named.weight else 0 end as weight_against
from named
where
    named.is_named
    or named.is_against
