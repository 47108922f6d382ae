select
    -- instants
    as_of
from {{ build_clock() }}
