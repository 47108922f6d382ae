-- Equal values share a third; a group of two is too small to say.
with cases as (
    select 'a' as category, 1.0 as price, 1 as expected
    union all
    select 'a', 1.0, 1
    union all
    select 'a', 2.0, 3
    union all
    select 'b', 1.0, null
    union all
    select 'b', 2.0, null
),

judged as (
    select
        expected,
        {{ third('category', 'price') }} as found
    from cases
)

select *
from judged
where found is distinct from expected
