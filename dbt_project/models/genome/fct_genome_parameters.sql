select
    {{ instant(var('decay_anchor')) }} as decay_anchor_at,
    cast({{ var('distinctiveness_prior') }} as double) as distinctiveness_prior
from {{ ref('stg_build__clock') }}
