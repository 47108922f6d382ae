{{ config(materialized="view") }}

select
    customer_id,
    is_whole
from {{ ref('int_customers_touched') }}
