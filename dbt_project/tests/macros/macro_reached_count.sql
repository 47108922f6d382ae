{#- Two of three instants are not after the one asked for, itself included; of no list none is. -#}
with instants as (
    select {{ instant('2020-01-01 00:00:00+00') }} as valid_at
    union all
    select {{ instant('2020-02-01 00:00:00+00') }} as valid_at
    union all
    select {{ instant('2020-03-01 00:00:00+00') }} as valid_at
),

listed as (
    select {{ sorted_rows(['valid_at']) }} as label_rows
    from instants
),

nothing as (
    select nullif(label_rows, label_rows) as label_rows
    from listed
)

select 'of three' as wrong
from listed
where {{ reached_count('label_rows', 'valid_at', instant('2020-02-01 00:00:00+00')) }} <> 2
union all
select 'of none' as wrong
from nothing
where {{ reached_count('label_rows', 'valid_at', instant('2020-02-01 00:00:00+00')) }} <> 0
