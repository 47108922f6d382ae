{{ config(materialized="view") }}

select
    source_key,
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
    evidence_count,
    _build_number
from {{ ref('int_evidence_weighed') }}
