{#- Text becomes DNA: what a product's words claim, by the vocabulary. Each different text is looked at once; a term is
    found where it stands as whole words, so a long catalogue costs one pass of plain text search. -#}
with texts as (
    {% for column in ['label', 'category', 'product_type'] -%}
    select
        product_id,
        valid_from,
        {{ column }} as said
    from {{ ref('int_product_versions') }}
    where {{ column }} is not null
    {% if not loop.last %}union all
    {% endif -%}
    {% endfor %}
),

different as (
    select
        said,
        {{ plain_words('said') }} as words
    from (select distinct said from texts) as once
),

terms as (
    select
        allele,
        {{ plain_words('term') }} as words,
        says
    from {{ ref('vocabulary') }}
    where locus_id = 'claim'
),

found as (
    select
        different.said,
        terms.allele,
        terms.says
    from different
    inner join terms on position(terms.words in different.words) > 0
),

-- A phrase that only looks like a claim ("light bulb") takes it back for the whole text.
claimed as (
    select
        said,
        allele
    from found
    group by said, allele
    having count(*) filter (where says = 'none') = 0
)

select
    texts.product_id,
    texts.valid_from,
    claimed.allele,
    cast(1.0 as double) / count(*) over (partition by texts.product_id, texts.valid_from) as weight
from texts
inner join claimed on texts.said = claimed.said
group by texts.product_id, texts.valid_from, claimed.allele
