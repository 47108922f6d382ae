{{ config(materialized="view") }}

{#- Who has been touched by nothing since an earlier build has the row of that build, without what is too old now. -#}
with rows_then as (
    select
        purchases.*,
        case when purchases.is_cutoff then clock.as_of else purchases.valid_at end as read_at,
        case
            when purchases.is_cutoff
                then {{ epoch_date(add_days(local_date('clock.as_of'), '1 - ' ~ var('purchase_days'))) }}
            -- a label time's row is as it was
            else -1000000
        end as since_day
    from {{ ref('int_customer_purchases') }} as purchases
    cross join {{ ref('stg_build__clock') }} as clock
)

select
    customer_id,
    read_at as valid_at,
    read_at as known_at,
    {{ items_since('purchase_hashes', 'purchase_days', 'since_day') }} as purchase_hashes,
    {{ items_since('purchase_days', 'purchase_days', 'since_day') }} as purchase_days,
    {{ items_since('purchase_amounts', 'purchase_days', 'since_day') }} as purchase_amounts
from rows_then
