{#- What the build before had taken back of these lines and what is taken back otherwise now: a line or a refund became
    known that comes before others in their order. -#}
{%- set kept = before('int_evidence_weighed') -%}

{% if kept is not none -%}
select
    kept.source_key,
    kept.source_number,
    kept.interaction_id,
    kept.takes_back_id,
    kept.product_id,
    kept.evidence_at,
    kept.available_at,
    kept.evidence_for,
    kept.evidence_against,
    kept.evidence_squared,
    kept.evidence_count
from {{ kept }} as kept
where
    kept.takes_back_id in (select takes_back_id from {{ ref('int_evidence_taken_back') }})
    and not exists (
        select 1
        from {{ ref('int_evidence_taken_back') }} as again
        where
            again.takes_something
            and kept.interaction_id = again.interaction_id
            and kept.takes_back_id = again.takes_back_id
            and kept.available_at = again.available_at
            and kept.evidence_for = again.evidence_for
            and kept.evidence_against = again.evidence_against
            and kept.evidence_squared = again.evidence_squared
            and kept.evidence_count = again.evidence_count
    )
{%- else -%}
select
    source_key,
    source_number,
    interaction_id,
    takes_back_id,
    product_id,
    evidence_at,
    available_at,
    evidence_for,
    evidence_against,
    evidence_squared,
    evidence_count
from {{ ref('int_evidence_taken_back') }}
where false
{%- endif %}
