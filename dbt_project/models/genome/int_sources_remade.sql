{{ config(materialized="view") }}

select distinct
    source_key,
    true as is_whole
from {{ ref('int_evidence_gone') }}
