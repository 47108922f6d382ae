{#- How many had lately bought what an offer covers, when it could be chosen. Kept: pairs of offer and label time are
    added once their campaign has ended. -#}
{{ config(materialized="incremental", incremental_strategy="append") }}

with offer_labels as (
    select distinct
        offer_id,
        label_at,
        {{ local_date('label_at') }} as label_date
    from {{ ref('int_offer_pairs') }}
    {% if is_incremental() -%}
    except
    select
        offer_id,
        label_at,
        {{ local_date('label_at') }} as label_date
    from {{ this }}
    {%- endif %}
),

covered as (
    select
        offer_labels.*,
        products.product_id
    from offer_labels
    inner join {{ ref('int_offer_products') }} as products on offer_labels.offer_id = products.offer_id
),

days as (
    select
        source_key,
        product_id,
        evidence_date,
        min(available_date) as available_date
    from {{ ref('int_order_lines') }}
    where
        interaction_type = 'Order Completed'
        and product_id in (select product_id from covered)
    group by source_key, product_id, evidence_date
)

select
    covered.offer_id,
    covered.label_at,
    count(distinct days.source_key) as customers_d90_count
from covered
-- A pair that nobody bought has been counted, too.
left join days
    on
        covered.product_id = days.product_id
        and days.available_date < covered.label_date
        and days.evidence_date >= {{ add_days('covered.label_date', -90) }}
group by covered.offer_id, covered.label_at
