{#- What refunds take back: of all orders that have a refund, or, where a build continues the one before, of those that
    have a refund and of which something became known. A refund names its order and product. Its units are taken from
    that order's lines of the product in their order; several refunds follow one another. Both are laid out as intervals
    of units, and meet where they overlap. -#}
with refunded as (
    select distinct lines.line_hash
    from {{ ref('int_order_lines') }} as lines
    inner join {{ ref('evidence_weights') }} as weights on lines.interaction_type = weights.interaction_type
    where
        weights.reverses is not null
        and lines.product_id is not null
        and lines.order_id is not null
    {% if continues() -%}
    and lines.line_hash in (
        select line_hash
        from {{ ref('int_order_lines') }}
        where _build_number = {{ build_said('build_number') }}
    )
    {%- endif %}
),

-- Found by hash alone; then the rows, beside their time, so that an engine skips what lies before the first of them.
places as (
    select distinct
        line_hash,
        available_at
    from {{ ref('int_order_lines') }}
    where line_hash in (select line_hash from refunded)
),

rows_of_orders as (
    select lines.*
    from {{ ref('int_order_lines') }} as lines
    inner join places
        on
            lines.line_hash = places.line_hash
            and lines.available_at = places.available_at
),

refunds as (
    select
        rows_of_orders.*,
        weights.reverses
    from rows_of_orders
    inner join {{ ref('evidence_weights') }} as weights
        on rows_of_orders.interaction_type = weights.interaction_type
    where
        weights.reverses is not null
        and rows_of_orders.product_id is not null
        and rows_of_orders.order_id is not null
),

refunds_in_turn as (
    select
        *,
        coalesce(sum(coalesce(quantity, 1e15)) over (
            partition by source_number, order_id, product_id, reverses
            order by available_at, interaction_id
            rows between unbounded preceding and 1 preceding
        ), 0) as units_before
    from refunds
),

lines as (
    select
        lines.*,
        weights.weight_for,
        weights.weight_against,
        weights.k,
        coalesce(sum(lines.quantity) over (
            partition by lines.source_number, lines.order_id, lines.product_id, lines.interaction_type
            order by lines.line_number nulls last, lines.interaction_id
            rows between unbounded preceding and 1 preceding
        ), 0) as units_before
    from rows_of_orders as lines
    inner join {{ ref('evidence_weights') }} as weights on lines.interaction_type = weights.interaction_type
    where
        weights.reverses is null
        and lines.quantity > 0
),

taken_back as (
    select
        refunds.source_key,
        refunds.source_number,
        refunds.interaction_id,
        lines.interaction_id as takes_back_id,
        refunds.interaction_type,
        refunds.channel,
        lines.product_id,
        lines.evidence_at,
        greatest(lines.available_at, refunds.available_at) as available_at,
        lines.weight_for,
        lines.weight_against,
        lines.k,
        -- What is left of the line before and after this refund; one that says no quantity takes all.
        lines.quantity
        - least(greatest(refunds.units_before - lines.units_before, 0), lines.quantity) as quantity_before,
        lines.quantity - least(greatest(
            refunds.units_before + coalesce(refunds.quantity, 1e15) - lines.units_before, 0
        ), lines.quantity) as quantity_after
    from refunds_in_turn as refunds
    inner join lines
        on
            refunds.line_hash = lines.line_hash
            and refunds.source_number = lines.source_number
            and refunds.order_id = lines.order_id
            and refunds.product_id = lines.product_id
            and refunds.reverses = lines.interaction_type
),

weighed as (
    select
        *,
        {{ saturation('quantity_after', 'k') }} - {{ saturation('quantity_before', 'k') }} as strength,
        pow({{ saturation('quantity_after', 'k') }}, 2) - pow({{ saturation('quantity_before', 'k') }}, 2)
            as strength_squared
    from taken_back
)

select
    source_key,
    source_number,
    interaction_id,
    takes_back_id,
    interaction_type,
    channel,
    product_id,
    evidence_at,
    available_at,
    weight_for * strength as evidence_for,
    weight_against * strength as evidence_against,
    pow(weight_for + weight_against, 2) * strength_squared as evidence_squared,
    case when quantity_after = 0 then -1 else 0 end as evidence_count,
    quantity_before > quantity_after as takes_something
from weighed
