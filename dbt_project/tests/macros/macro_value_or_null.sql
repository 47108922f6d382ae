-- A value that is not of the type is null and no error.
with cases as (
    select '12' as value, 12 as expected
    union all
    select 'twelve', null
    union all
    select null, null
),

judged as (
    select
        expected,
        {{ value_or_null('value', 'integer') }} as found
    from cases
)

select *
from judged
where found is distinct from expected
