-- Element i fades by the half-life of its own locus: 28 days halve the first and leave a quarter of the second.
with cases as (
    select
        [1.0, 1.0] as amounts,
        [2, 1] as loci,
        [14.0, 28.0] as half_lives,
        28 as days
)

select *
from cases
where {{ faded('amounts', 'loci', 'half_lives', 'days') }} <> [0.5, 0.25]
