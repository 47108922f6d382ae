{#- How often each product was bought by anybody, for each day; sums decayed on the anchor's scale. -#}
with lines as (
    select
        interactions.product_id,
        {{ local_date('interactions.available_at') }} as available_date,
        {{ days_between(instant(var('decay_anchor')), 'interactions.evidence_at') }} as anchor_days
    from {{ ref('fct_interactions') }} as interactions
    cross join {{ ref('stg_build__clock') }} as build
    where
        interactions.interaction_type = 'Order Completed'
        and interactions.product_id is not null
        and interactions.available_at < build.as_of
)

select
    product_id,
    available_date,
    count(*) as line_count,
    sum(pow(2.0, anchor_days / 28)) as lines_h28,
    sum(pow(2.0, anchor_days / 180)) as lines_h180
from lines
group by product_id, available_date
