-- What is aligned with a day too early goes, wherever it stands; the first day that counts stays.
with cases as (
    select
        ['a', 'b', 'c'] as items,
        [10, 9, 12] as days,
        ['a', 'c'] as expected,
        10 as since
    union all
    select
        ['a', 'b', 'c'] as items,
        [10, 10, 12] as days,
        ['a', 'b', 'c'] as expected,
        10 as since
)

select *
from cases
where {{ items_since('items', 'days', 'since') }} <> expected
