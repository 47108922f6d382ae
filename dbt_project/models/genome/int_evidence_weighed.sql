{#- One row for each interaction that says something about a product, one for each taking back of such a row, and one
    for each motive that somebody named. -#}
with clock as (
    select as_of from {{ ref('stg_build__clock') }}
),

interactions as (
    select
        interactions.interaction_id,
        interactions.interaction_type,
        interactions.channel,
        customers.source_number,
        coalesce(interactions.order_id, interactions.session_id) as order_id,
        interactions.product_id,
        interactions.line_number,
        interactions.quantity,
        interactions.evidence_at,
        interactions.available_at
    from {{ ref('int_interactions_read') }} as interactions
    inner join {{ ref('dim_customers') }} as customers on interactions.source_key = customers.source_key
    cross join clock
    where
        interactions.product_id is not null
        and interactions.available_at < clock.as_of
),

weighed as (
    select
        interactions.*,
        weights.weight_for,
        weights.weight_against,
        weights.k
    from interactions
    inner join {{ ref('evidence_weights') }} as weights on interactions.interaction_type = weights.interaction_type
    where weights.reverses is null
),

reversals as (
    select
        interactions.*,
        weights.reverses
    from interactions
    inner join {{ ref('evidence_weights') }} as weights on interactions.interaction_type = weights.interaction_type
    where
        weights.reverses is not null
        and interactions.order_id is not null
),

-- A refund names its order and product. Its units are taken from that order's lines of the product in their
-- order; several refunds follow one another. Both are laid out as intervals of units, and meet where they overlap.
reversible_lines as (
    select
        weighed.*,
        coalesce(sum(weighed.quantity) over (
            partition by weighed.source_number, weighed.order_id, weighed.product_id, weighed.interaction_type
            order by weighed.line_number nulls last, weighed.interaction_id
            rows between unbounded preceding and 1 preceding
        ), 0) as units_before
    from weighed
    where
        weighed.quantity > 0
        and exists (
            select 1
            from reversals
            where
                weighed.source_number = reversals.source_number
                and weighed.order_id = reversals.order_id
                and weighed.product_id = reversals.product_id
                and weighed.interaction_type = reversals.reverses
        )
),

reversals_in_turn as (
    select
        *,
        coalesce(sum(coalesce(quantity, 1e15)) over (
            partition by source_number, order_id, product_id, reverses
            order by available_at, interaction_id
            rows between unbounded preceding and 1 preceding
        ), 0) as units_before
    from reversals
),

taken_back as (
    select
        reversals.interaction_id,
        lines.interaction_id as takes_back_id,
        reversals.interaction_type,
        reversals.channel,
        lines.source_number,
        lines.product_id,
        lines.evidence_at,
        greatest(lines.available_at, reversals.available_at) as available_at,
        lines.weight_for,
        lines.weight_against,
        lines.k,
        -- What is left of the line before and after this refund; one that says no quantity takes all.
        lines.quantity
        - least(greatest(reversals.units_before - lines.units_before, 0), lines.quantity) as quantity_before,
        lines.quantity - least(greatest(
            reversals.units_before + coalesce(reversals.quantity, 1e15) - lines.units_before, 0
        ), lines.quantity) as quantity_after
    from reversals_in_turn as reversals
    inner join reversible_lines as lines
        on
            reversals.source_number = lines.source_number
            and reversals.order_id = lines.order_id
            and reversals.product_id = lines.product_id
            and reversals.reverses = lines.interaction_type
),

signed as (
    select
        interaction_id,
        -- Evidence itself takes nothing back: a null of the right type, spelled alike on every engine.
        nullif(interaction_id, interaction_id) as takes_back_id,
        interaction_type,
        channel,
        source_number,
        product_id,
        evidence_at,
        available_at,
        weight_for,
        weight_against,
        {{ saturation('quantity', 'k') }} as strength,
        pow({{ saturation('quantity', 'k') }}, 2) as strength_squared,
        1 as evidence_count
    from weighed
    where quantity is null or quantity > 0
    union all
    select
        interaction_id,
        takes_back_id,
        interaction_type,
        channel,
        source_number,
        product_id,
        evidence_at,
        available_at,
        weight_for,
        weight_against,
        {{ saturation('quantity_after', 'k') }} - {{ saturation('quantity_before', 'k') }} as strength,
        pow({{ saturation('quantity_after', 'k') }}, 2) - pow({{ saturation('quantity_before', 'k') }}, 2)
            as strength_squared,
        case when quantity_after = 0 then -1 else 0 end as evidence_count
    from taken_back
    where quantity_before > quantity_after
    union all
    select
        interaction_id,
        nullif(interaction_id, interaction_id) as takes_back_id,
        interaction_type,
        channel,
        source_number,
        product_id,
        evidence_at,
        available_at,
        weight_for,
        weight_against,
        1.0 as strength,
        1.0 as strength_squared,
        1 as evidence_count
    from {{ ref('int_motives_named') }}
)

select
    interaction_id,
    takes_back_id,
    interaction_type,
    channel,
    source_number,
    product_id,
    evidence_at,
    available_at,
    {{ local_date('available_at') }} as available_date,
    {{ days_between(instant(var('decay_anchor')), 'evidence_at') }} as anchor_days,
    weight_for * strength as evidence_for,
    weight_against * strength as evidence_against,
    pow(weight_for + weight_against, 2) * strength_squared as evidence_squared,
    evidence_count
from signed
