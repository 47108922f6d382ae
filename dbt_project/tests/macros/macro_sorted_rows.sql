-- Lists of one group are sorted by the first column and stay aligned; no rows give an empty list.
with cases as (
    select 2 as gene_hash, 0.25 as weight
    union all
    select 1, 0.75
),

rows_of_all as (
    select {{ sorted_rows(['gene_hash', 'weight']) }} as gene_rows
    from cases
),

rows_of_none as (
    select {{ sorted_rows(['gene_hash', 'weight']) }} as gene_rows
    from cases
    where gene_hash > 9
)

select 'sorted and aligned' as what
from rows_of_all
where
    {{ list_field('gene_rows', 'gene_hash', 'integer') }} <> [1, 2]
    or {{ list_field('gene_rows', 'weight', 'double') }} <> [0.75, 0.25]
union all
select 'empty' as what
from rows_of_none
where {{ list_field('gene_rows', 'gene_hash', 'integer') }} <> cast([] as integer[])
