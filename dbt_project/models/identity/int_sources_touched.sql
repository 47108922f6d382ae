{#- The source keys of the customers that a build makes anew. -#}
select
    customers.source_key,
    customers.source_number,
    customers.customer_id,
    customers.customer_number,
    touched.is_whole
from {{ ref('dim_customers') }} as customers
inner join {{ ref('int_customers_touched') }} as touched on customers.customer_id = touched.customer_id
