{#- How often each product was bought by anybody, for each day; sums decayed on the anchor's scale. -#}
select
    product_id,
    available_date,
    sum(line_count) as line_count,
    sum(lines_h28) as lines_h28,
    sum(lines_h180) as lines_h180
from {{ ref('int_product_sales') }}
group by product_id, available_date
