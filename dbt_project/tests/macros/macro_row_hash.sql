-- The same text gives the same number, which is never negative, so that it is a number on every engine.
with cases as (
    select
        {{ row_hash("'an-id'") }} as one,
        {{ row_hash("'an-id'") }} as again,
        {{ row_hash("'another'") }} as other
)

select *
from cases
where one <> again or one = other or one < 0 or other < 0
