{{ config(materialized="table") }}

select
    -- instants
    as_of,
    since,

    -- numbers
    build_number
from {{ build_clock() }}
