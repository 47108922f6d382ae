with best as (
    select
        customer_id,
        valid_at,
        known_at,
        offer_rank,
        offer_id,
        score,
        model_name,
        model_version
    from {{ ref('fct_offer_scores') }}
    where offer_rank <= {{ var('scored_offers') }}
),

listed as (
    select
        customer_id,
        valid_at,
        max(known_at) as known_at,
        {{ sorted_rows(['offer_rank', 'offer_id', 'score']) }} as offers,
        max(model_name) as model_name,
        max(model_version) as model_version
    from best
    group by customer_id, valid_at
)

select
    customer_id,
    valid_at,
    known_at,
    {{ list_field('offers', 'offer_id', 'string') }} as offer_ids,
    {{ list_field('offers', 'score', 'double') }} as scores,
    model_name,
    model_version
from listed
