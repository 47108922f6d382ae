{#- Which label times each customer had when the build before looked. Kept: what is new, has moved or is gone. -#}
{{ config(
    materialized="incremental", incremental_strategy="delete+insert", unique_key=["customer_id", "campaign_id"]
) }}

select
    {% if is_incremental() -%}
    coalesce(sends.customer_id, kept.customer_id) as customer_id,
    coalesce(sends.campaign_id, kept.campaign_id) as campaign_id,
    coalesce(sends.label_at, kept.label_at) as label_at,
    sends.customer_id is null as is_gone,
    {%- else -%}
    sends.customer_id,
    sends.campaign_id,
    sends.label_at,
    false as is_gone,
    {%- endif %}
    {{ build_said('build_number') }} as build_number
from {{ ref('fct_campaign_sends') }} as sends
{% if is_incremental() -%}
full outer join {{ this }} as kept
    on
        sends.customer_id = kept.customer_id
        and sends.campaign_id = kept.campaign_id
where
    kept.customer_id is null
    or (sends.customer_id is null) <> kept.is_gone
    or sends.label_at <> kept.label_at
{%- endif %}
