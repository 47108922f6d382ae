select
    scores.customer_id,
    scores.offer_id,
    scores.valid_at,
    scores.known_at,
    scores.score,
    cast(row_number() over (
        partition by scores.customer_id, scores.valid_at order by scores.score desc, scores.offer_id asc
    ) as integer) as offer_rank,
    scores.model_name,
    scores.model_version
from {{ ref('stg_models__offer_scores') }} as scores
