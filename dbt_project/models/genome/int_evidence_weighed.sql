{#- One row for each interaction that says something about a product, one for each taking back of such a row, and one
    for each motive that somebody named. Kept: what a build is the first to know is appended. -#}
{%- do ref('int_evidence_gone') -%}
{{ config(
    materialized="incremental", incremental_strategy="append", on_schema_change="fail",
    pre_hook="{{ forget_evidence_gone() }}"
) }}

with spoken as (
    select
        interactions.source_key,
        interactions.source_number,
        interactions.interaction_id,
        interactions.interaction_type,
        interactions.channel,
        interactions.product_id,
        interactions.evidence_at,
        interactions.available_at,
        weights.weight_for,
        weights.weight_against,
        {{ saturation('interactions.quantity', 'weights.k') }} as strength
    from {{ ref('int_interactions_known') }} as interactions
    inner join {{ ref('evidence_weights') }} as weights on interactions.interaction_type = weights.interaction_type
    where
        weights.reverses is null
        and interactions.product_id is not null
        and (interactions.quantity is null or interactions.quantity > 0)
    union all
    select
        source_key,
        source_number,
        interaction_id,
        interaction_type,
        channel,
        product_id,
        evidence_at,
        available_at,
        weight_for,
        weight_against,
        1.0 as strength
    from {{ ref('int_motives_named') }}
),

signed as (
    select
        source_key,
        source_number,
        interaction_id,
        -- Evidence itself takes nothing back: a null of the right type, spelled alike on every engine.
        nullif(interaction_id, interaction_id) as takes_back_id,
        interaction_type,
        channel,
        product_id,
        evidence_at,
        available_at,
        weight_for * strength as evidence_for,
        weight_against * strength as evidence_against,
        pow(weight_for + weight_against, 2) * pow(strength, 2) as evidence_squared,
        1 as evidence_count
    from spoken
    union all
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
        evidence_for,
        evidence_against,
        evidence_squared,
        evidence_count
    from {{ ref('int_evidence_taken_back') }} as taken
    where
        takes_something
    {% if is_incremental() -%}
    and not exists (
        select 1
        from {{ this }} as kept
        where
            taken.interaction_id = kept.interaction_id
            and taken.takes_back_id = kept.takes_back_id
    )
    {%- endif %}
)

select
    *,
    cast({{ build_said('build_number') }} as integer) as _build_number
from signed
