{#- Interactions of the builds before whose ids have come again; none, where a build begins anew. -#}
{%- set kept = before('fct_interactions') -%}
{%- do ref('int_interactions_unioned') -%}
{{ config(materialized="table" if env_var("GENOME_CONTINUES", "0") == "1" else "view") }}

{%- set columns = [
    'interaction_id', 'interaction_hash', 'channel', 'source_id', 'interaction_type', 'source_key', 'product_id',
    'offer_id', 'store_id', 'quantity', 'amount', 'received_at', '_batch_id'
] %}

{% if kept -%}
with ids as (
    {% for staging in staged_channels() -%}
    select {{ row_hash('interaction_id') }} as interaction_hash
    from {{ ref(staging) }}
    where {{ landed_since() }}
    {% if not loop.last %}union all
    {% endif -%}
    {% endfor %}
),

-- Found by hash alone; then the rows, beside their time, so that an engine skips what lies before the first of them.
found as (
    select distinct
        interaction_hash,
        available_at
    from {{ kept }}
    where interaction_hash in (select interaction_hash from ids)
)

select
    {{ 'kept.' ~ columns | join(', kept.') }}
from {{ kept }} as kept
inner join found
    on
        kept.interaction_hash = found.interaction_hash
        and kept.available_at = found.available_at
{%- else -%}
{%- for staging in staged_channels() -%}{%- do ref(staging) -%}{%- endfor -%}
select {{ columns | join(', ') }}
from {{ ref('int_interactions_unioned') }}
where false
{%- endif %}
