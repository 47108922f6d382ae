-- One unit with k = 1 earns half; no quantity earns all; none or fewer earn nothing.
with cases as (
    select 1.0 as quantity, 1.0 as k, 0.5 as expected
    union all
    select 3.0, 1.0, 0.75
    union all
    select null, 1.0, 1.0
    union all
    select 0.0, 0.0, 0.0
    union all
    select -2.0, 1.0, 0.0
)

select *
from cases
where {{ saturation('quantity', 'k') }} <> expected
