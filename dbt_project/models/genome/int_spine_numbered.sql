{%- do ref('int_sources_touched') -%}
{%- do ref('dim_customers') -%}
{#- Where the genome is wanted: every customer at the cut-off, and each customer at the label times of training;
    where a build continues the one before, whom it touches, and label times of those whose past has changed. -#}
with clock as (
    select as_of from {{ ref('stg_build__clock') }}
),

customers as (
    {% if continues() -%}
    select distinct
        customer_id,
        customer_number,
        is_whole
    from {{ ref('int_sources_touched') }}
    {%- else -%}
    select distinct
        customer_id,
        customer_number,
        true as is_whole
    from {{ ref('dim_customers') }}
    {%- endif %}
),

moments as (
    select
        customers.customer_id,
        customers.customer_number,
        clock.as_of as valid_at,
        -- Evidence of the cut-off's own day counts as far as it is known by then.
        {{ add_days(local_date('clock.as_of'), 1) }} as until_date,
        true as is_cutoff
    from customers
    cross join clock
    union all
    select distinct
        customers.customer_id,
        customers.customer_number,
        sends.label_at as valid_at,
        {{ local_date('sends.label_at') }} as until_date,
        false as is_cutoff
    from {{ ref('fct_campaign_sends') }} as sends
    inner join customers on sends.customer_id = customers.customer_id
    cross join clock
    where
        sends.label_at < clock.as_of
        and customers.is_whole
)

select
    customer_id,
    customer_number,
    cast(row_number() over (order by customer_number, valid_at) as integer) as spine_number,
    cast(row_number() over (partition by customer_number order by valid_at) as integer) as spine_ordinal,
    valid_at,
    until_date,
    is_cutoff
from moments
