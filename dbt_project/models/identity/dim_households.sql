select
    household_key,
    customer_id,
    known_at,
    known_to
from {{ lake('identity_households') }}
