select
    owner_key,
    other_key,
    proof,
    sighting_count,
    first_known_at,
    known_at,
    known_to,
    reason,
    refused_at,
    weight
from {{ lake('identity_links') }}
