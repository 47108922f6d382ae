select
    -- identifiers
    interaction_id,

    -- text
    motives
from {{ lake('motives') }}
